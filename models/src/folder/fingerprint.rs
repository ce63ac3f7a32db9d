//! A name for a checkpoint's content that is cheap: SHA-256 over configs, tensor headers, file lengths and sampled bytes.
//!
//! Hashing 29 GB would take as long as loading them. Two checkpoints of one architecture differ in nearly every weight,
//! so a few sampled pages a file tell them apart; a copy under another path has the same name.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::shards::Shards;
use crate::weights::convert::read_exact_at;

/// Pages sampled in each file, evenly spread; with a cold disk each costs a seek.
const SAMPLES: u64 = 8;
/// Bytes of one page.
const PAGE: u64 = 4096;

/// Hashes `texts` (file name, content) and the files of `shards`: 64 hex digits.
pub(super) fn of<'a>(
    folder: &Path,
    texts: impl Iterator<Item = (&'a str, &'a str)>,
    shards: impl Iterator<Item = &'a Shards>,
) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        // The length first, so that no two lists of fields make the same bytes.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (name, text) in texts {
        field(name.as_bytes());
        field(text.as_bytes());
    }
    for shard in shards.flat_map(|shards| &shards.files) {
        field(shard.file.as_bytes());
        field(&shard.bytes.to_le_bytes());
        for (name, entry) in &shard.header.tensors {
            field(name.as_bytes());
            field(entry.dtype.to_string().as_bytes());
            field(format!("{:?}", entry.shape).as_bytes());
            field(&entry.start.to_le_bytes());
        }
        let file = File::open(folder.join(&shard.file))?;
        let mut page = vec![0; PAGE.min(shard.bytes) as usize];
        let last = shard.bytes - page.len() as u64;
        for sample in 0..SAMPLES {
            // From the first page to the last; no file is so long that the product overflows.
            read_exact_at(&file, &mut page, last * sample / (SAMPLES - 1))?;
            field(&page);
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        hex.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    Ok(hex)
}
