//! Pyramid attention on NVIDIA GPUs. `plan` says which kernel serves a call and how it is launched, and needs no GPU;
//! `launch` calls it.

#[cfg(feature = "cuda")]
mod args;
#[cfg(feature = "cuda")]
mod call;
#[cfg(feature = "cuda")]
mod launch;
mod plan;

#[cfg(feature = "cuda")]
pub(crate) use launch::{attention, dense};
