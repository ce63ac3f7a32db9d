//! Video files: frames in as they are decoded, a whole file out, and frames back for comparison.
//!
//! ```text
//! Frame (RGB) → convert (BT.709, limited) → encoder → muxer → .NAME.tessera-partial-… → fsync, rename → read back → VideoFile
//! path → Decoder → DecodedFrame (RGB, by index) → paired
//! ```
//!
//! Rules held by the tests beside this file: colours are converted by BT.709 *and* tagged so; the settings' JSON is in every
//! file and is read back after every mux; a file has its final name only when it is complete and on the disk; a codec is
//! offered only after its encoder made a packet here; comparison goes by frame index.
//!
//! [`codec`] has the table of codecs and files, [`quality`] what a quality means to each encoder, `recipe` how an odd size is written.

pub mod codec;
pub(crate) mod convert;
mod decoder;
mod encoder;
mod error;
pub(crate) mod ffmpeg;
mod gif;
mod isom;
pub mod metadata;
mod mux;
mod pair;
mod pictures;
mod probe;
pub mod quality;
mod rate;
mod recipe;
#[cfg(test)]
mod tests;
mod webp;

pub use codec::{Codec, Container};
pub use decoder::{DecodedFrame, Decoder, read_metadata};
pub use encoder::{Encoder, Frame, VideoFile, VideoPlan, preflight};
pub use error::{Result, VideoError};
pub use pair::{Paired, paired};
pub use pictures::frame_name;
pub use probe::{EncoderStatus, probe, probe_codec};
pub use quality::Quality;
pub use rate::Fps;
pub use recipe::estimated_bytes;
