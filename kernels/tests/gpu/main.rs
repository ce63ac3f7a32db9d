//! The kernels on the first GPU against the CPU's reference: `cargo test --features cuda --test gpu -- --ignored`.
#![cfg(feature = "cuda")]

mod channel_norm;
mod conv;
mod linear;
mod norm;
mod order;
mod rope;
mod support;
