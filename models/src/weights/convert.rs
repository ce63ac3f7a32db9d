//! Positioned reads of tensor elements, converted to the wanted type while they come in.
//!
//! A tensor is read in chunks of [`CHUNK`] elements, so that the peak is the converted tensor and one chunk: an F32 file
//! can become BF16 weights without an F32 copy of anything. Memory maps would need unsafe code, and on a 23 GB file they
//! fill the page tables of the process; a positioned read costs one copy, which the conversion makes anyway.

use std::fs::File;
use std::io;

use half::{bf16, f16};
use safetensors::Dtype;

/// Elements read at a time: 4 MiB of F32.
const CHUNK: usize = 1 << 20;

/// A type that weights are converted to.
pub(super) trait Element: Copy {
    fn from_f32(value: f32) -> Self;
    fn from_f16(value: f16) -> Self;
    fn from_bf16(value: bf16) -> Self;
}

impl Element for f32 {
    fn from_f32(value: f32) -> Self {
        value
    }
    fn from_f16(value: f16) -> Self {
        value.to_f32()
    }
    fn from_bf16(value: bf16) -> Self {
        value.to_f32()
    }
}

impl Element for bf16 {
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn from_f16(value: f16) -> Self {
        Self::from_f32(value.to_f32())
    }
    fn from_bf16(value: bf16) -> Self {
        value
    }
}

impl Element for f16 {
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn from_f16(value: f16) -> Self {
        value
    }
    fn from_bf16(value: bf16) -> Self {
        Self::from_f32(value.to_f32())
    }
}

/// Bytes of one element of a type that can be read, or `None` for the others.
pub(super) fn width(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F32 => Some(4),
        Dtype::F16 | Dtype::BF16 => Some(2),
        _ => None,
    }
}

/// Appends `count` elements of `file`, from byte `start` on, to `out`.
pub(super) fn read<T: Element>(
    file: &File,
    start: u64,
    count: usize,
    dtype: Dtype,
    out: &mut Vec<T>,
) -> io::Result<()> {
    let Some(width) = width(dtype) else {
        let message = format!("elements of type {dtype} cannot be read");
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    };
    out.reserve_exact(count);
    let mut buffer = vec![0; count.min(CHUNK) * width];
    let mut done = 0;
    while done < count {
        let part = (count - done).min(CHUNK);
        let bytes = &mut buffer[..part * width];
        read_exact_at(file, bytes, start + (done * width) as u64)?;
        let (fours, twos) = (bytes.as_chunks::<4>().0, bytes.as_chunks::<2>().0);
        match dtype {
            Dtype::F32 => out.extend(fours.iter().map(|b| T::from_f32(f32::from_le_bytes(*b)))),
            Dtype::F16 => out.extend(twos.iter().map(|b| T::from_f16(f16::from_le_bytes(*b)))),
            _ => out.extend(twos.iter().map(|b| T::from_bf16(bf16::from_le_bytes(*b)))),
        }
        done += part;
    }
    Ok(())
}

/// Fills `buffer` from byte `start` of `file`, wherever its cursor is.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

/// Fills `buffer` from byte `start` of `file`, wherever its cursor is.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut start: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, start)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        start += read as u64;
    }
    Ok(())
}
