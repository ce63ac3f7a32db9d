//! The header of a safetensors file: 8 bytes of length, then JSON that says each tensor's type, shape and place.
//!
//! [`parse`] is a pure function of the bytes, so that it can be fuzzed. What it lets through is safe to allocate for:
//! every tensor has the bytes that its type and shape need, tensors follow each other with no hole and no overlap, and
//! the last one ends where the file does. Nothing is allocated from a number that was not checked against the file.

use std::collections::BTreeMap;
use std::fmt;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::problems::Problem;

/// Bytes of the length in front.
pub const PREFIX: usize = 8;

/// Longest header accepted, the safetensors crate's own limit.
pub const MOST_BYTES: u64 = 100_000_000;

/// Where one tensor lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Element type in the file.
    pub dtype: Dtype,
    /// Dimensions, slowest first.
    pub shape: Vec<usize>,
    /// Bytes from the file's beginning to the first element.
    pub start: u64,
    /// Bytes of all elements.
    pub bytes: u64,
}

impl Entry {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A checked header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// All tensors by name.
    pub tensors: BTreeMap<String, Entry>,
}

/// Why a header was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tensor}: expected {expected}, got {got}")]
pub struct HeaderError {
    /// The tensor concerned; empty when it is the file as a whole.
    pub tensor: String,
    /// What should have been there.
    pub expected: String,
    /// What was there.
    pub got: String,
}

impl HeaderError {
    fn new(tensor: &str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { tensor: tensor.to_owned(), expected: expected.into(), got: got.into() }
    }

    /// The same as a problem with `file`.
    pub fn in_file(self, file: &str) -> Problem {
        Problem::new(file, self.tensor, self.expected, self.got)
            .advice("the file is damaged or incomplete: download it again")
    }
}

/// Reads the header's length from the file's first 8 bytes and checks it against the file's length.
///
/// # Errors
/// A file too short to hold it, or a header longer than [`MOST_BYTES`].
pub fn length(head: &[u8], file_len: u64) -> Result<u64, HeaderError> {
    let Some(prefix) = head.first_chunk::<PREFIX>() else {
        return Err(HeaderError::new("", "a safetensors file", format!("{file_len} bytes")));
    };
    let length = u64::from_le_bytes(*prefix);
    let most = MOST_BYTES.min(file_len.saturating_sub(PREFIX as u64));
    if length > most {
        let expected = format!("a header of at most {most} bytes");
        return Err(HeaderError::new("", expected, format!("{length} bytes")));
    }
    Ok(length)
}

/// Parses the file's beginning: the 8 bytes of length and at least the whole header; `file_len` is the file's length.
///
/// # Errors
/// The first thing that does not fit, with the tensor's name.
pub fn parse(head: &[u8], file_len: u64) -> Result<Header, HeaderError> {
    let length = length(head, file_len)?;
    let data_start = PREFIX as u64 + length;
    let Some(json) = usize::try_from(data_start).ok().and_then(|end| head.get(PREFIX..end)) else {
        return Err(HeaderError::new("", format!("{length} bytes of header"), "fewer"));
    };
    let text = std::str::from_utf8(json)
        .map_err(|error| HeaderError::new("", "a header in UTF-8", error.to_string()))?;
    let Listed(mut tensors) = serde_json::from_str(text)
        .map_err(|error| HeaderError::new("", "a safetensors header", error.to_string()))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);

    let mut header = Header::default();
    let mut end = 0;
    for (name, info) in tensors {
        let (from, to) = info.data_offsets;
        if from != end || to < from {
            let got = format!("bytes {from} to {to}");
            return Err(HeaderError::new(&name, format!("data from byte {end} on"), got));
        }
        let needed = info
            .shape
            .iter()
            .try_fold(1usize, |product, &dimension| product.checked_mul(dimension))
            .and_then(|elements| elements.checked_mul(info.dtype.bitsize()))
            .filter(|bits| bits % 8 == 0)
            .map(|bits| bits / 8);
        if needed != Some(to - from) {
            let expected = match needed {
                Some(bytes) => format!("{bytes} bytes for {} {:?}", info.dtype, info.shape),
                None => "a shape that fits in memory".to_owned(),
            };
            return Err(HeaderError::new(&name, expected, format!("{} bytes", to - from)));
        }
        end = to;
        let entry = Entry {
            dtype: info.dtype,
            shape: info.shape,
            start: data_start.saturating_add(from as u64),
            bytes: (to - from) as u64,
        };
        if header.tensors.insert(name.clone(), entry).is_some() {
            return Err(HeaderError::new(&name, "every tensor named once", "the name twice"));
        }
    }
    let needed = data_start.saturating_add(end as u64);
    if needed != file_len {
        let expected = format!("a file of {needed} bytes, as its header says");
        return Err(HeaderError::new("", expected, format!("{file_len} bytes")));
    }
    Ok(header)
}

/// The header's entries in file order. A map would drop the first of two tensors of the same name in silence.
struct Listed(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Listed(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
