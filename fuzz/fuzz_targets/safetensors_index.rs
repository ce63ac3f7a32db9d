//! Headers and index files of weights: whatever the bytes, what is accepted lies inside the file and the folder.
//!
//! Input: eight bytes of the file's claimed length (little endian), then the file's beginning. The same bytes
//! are also read as the text of an index.

#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use tessera_models::folder::parse_index;
use tessera_models::weights::header;

fuzz_target!(|data: &[u8]| {
    if let Some((length, head)) = data.split_first_chunk::<8>() {
        read(head, u64::from_le_bytes(*length));
        read(head, head.len() as u64);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(files) = parse_index("index.json", "transformer", text) else { return };
    for file in files.values() {
        let parts: Vec<_> = Path::new(file).components().collect();
        assert!(
            matches!(parts[..], [Component::Normal(_), Component::Normal(_)]),
            "{file:?} leads out"
        );
    }
});

fn read(head: &[u8], file_len: u64) {
    let Ok(header) = header::parse(head, file_len) else { return };
    for (name, entry) in &header.tensors {
        let end = entry.start.checked_add(entry.bytes).expect("an end that is a number");
        assert!(end <= file_len, "{name:?} ends at {end} of {file_len}");
        let bits =
            entry.elements().checked_mul(entry.dtype.bitsize()).expect("a size that is a number");
        assert_eq!(bits as u64, entry.bytes * 8, "{name:?}");
    }
}
