//! Checkpoint folder in, tensors out: text encoder, diffusion transformer, VAE, samplers; no threads, no video files, no UI.
//!
//! A clip is made by four calls: [`folder::ModelFolder::open`] looks at a checkpoint without reading its weights, [`text`]
//! turns prompts into rows, [`wan`] holds the transformer and the VAE, and [`samplers`] joins them over the steps.
//! Where the transformer asks for self-attention it goes through [`attention`], the seam that sparse methods plug into.

pub mod attention;
pub mod cost;
pub mod error;
pub mod finite;
pub mod folder;
pub mod geometry;
pub mod guidance;
pub mod problems;
pub mod samplers;
pub mod text;
pub mod wan;
pub mod watch;
pub mod weights;

pub use error::{Error, Result};
