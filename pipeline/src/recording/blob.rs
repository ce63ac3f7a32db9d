//! How numbers lie in a recording: little-endian, inside a zlib stream, whose checksum tells a damaged blob from a whole one.
//!
//! Levels are two to a byte, the first in the low half. Shares of a softmax are F16 of 2¹² times the share: from 1.5·10⁻⁸ to
//! 1 they keep eleven bits, where plain F16 would lose the small ones that a row of 10⁵ keys is made of.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use half::f16;

/// Factor of shares that are kept as F16; a power of two, so that it costs no precision.
const SHARE: f32 = 4096.0;

/// How hard a blob is squeezed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Not at all: what is noise anyway (latents) only gets its checksum.
    Store,
    /// What the fastest setting gives.
    Fast,
}

/// Bytes to a blob.
pub(super) fn pack(bytes: &[u8], effort: Effort) -> std::io::Result<Vec<u8>> {
    let level = match effort {
        Effort::Store => Compression::none(),
        Effort::Fast => Compression::fast(),
    };
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 2 + 64), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// A blob to its `length` bytes; the error says what is wrong with it.
pub(super) fn unpack(blob: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(length);
    // One byte more than expected is enough to know that it is too long, whatever it claims to hold.
    ZlibDecoder::new(blob)
        .take(length as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("a blob cannot be read ({error})"))?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(format!("a blob holds {} bytes where {length} are expected", bytes.len()))
    }
}

/// Values below 16, two to a byte.
pub(super) fn nibbles(values: &[u8]) -> Vec<u8> {
    values
        .chunks(2)
        .map(|pair| (pair[0] & 15) | pair.get(1).map_or(0, |second| second << 4))
        .collect()
}

/// The first `count` values of bytes that hold two each.
pub(super) fn from_nibbles(bytes: &[u8], count: usize) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [byte & 15, byte >> 4]).take(count).collect()
}

/// Shares as scaled F16.
pub(super) fn shares(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| f16::from_f32(value * SHARE).to_le_bytes()).collect()
}

/// Shares from scaled F16.
pub(super) fn from_shares(bytes: &[u8]) -> Vec<f32> {
    from_halves(bytes).into_iter().map(|value| value / SHARE).collect()
}

/// F32 as F16, the largest finite value standing for larger ones.
pub(super) fn halves(values: &[f32]) -> Vec<u8> {
    let most = f16::MAX.to_f32();
    let half = |value: f32| if value.is_finite() { value.clamp(-most, most) } else { value };
    values.iter().flat_map(|&value| f16::from_f32(half(value)).to_le_bytes()).collect()
}

/// F16 as F32.
pub(super) fn from_halves(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect()
}

/// F32 as they are.
pub(super) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// F32 from their bytes.
pub(super) fn from_floats(bytes: &[u8]) -> Vec<f32> {
    let float = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    bytes.chunks_exact(4).map(float).collect()
}

/// Whole numbers as they are.
pub(super) fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Whole numbers from their bytes.
pub(super) fn from_words(bytes: &[u8]) -> Vec<u32> {
    let word = |four: &[u8]| u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    bytes.chunks_exact(4).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_damage_is_told() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| ((i * i) >> 7) as u8).collect();
        for effort in [Effort::Store, Effort::Fast] {
            let mut blob = pack(&bytes, effort).unwrap();
            assert_eq!(unpack(&blob, bytes.len()).unwrap(), bytes);
            assert!(unpack(&blob, 4999).unwrap_err().contains("5000 bytes where 4999"));
            assert!(unpack(&blob[..blob.len() / 2], bytes.len()).is_err(), "cut off");
            let middle = blob.len() / 2;
            blob[middle] ^= 0x40;
            assert!(unpack(&blob, bytes.len()).is_err(), "a flipped bit");
        }
    }

    #[test]
    fn nibbles_of_odd_and_even_numbers() {
        for values in [vec![], vec![7], vec![1, 0, 7, 4], vec![15, 2, 3]] {
            assert_eq!(from_nibbles(&nibbles(&values), values.len()), values);
        }
    }

    #[test]
    fn small_shares_keep_their_digits() {
        let values = [1.0, 0.3, 1.3e-5, 2.0e-8, 0.0];
        for (back, value) in from_shares(&shares(&values)).into_iter().zip(values) {
            assert!((back - value).abs() <= value * 5e-4, "{back} for {value}");
        }
        assert_eq!(
            from_halves(&halves(&[1e9, f32::NEG_INFINITY, -2.5])),
            [65504.0, f32::NEG_INFINITY, -2.5]
        );
    }
}
