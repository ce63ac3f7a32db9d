//! A touch on H.265 in MP4 and MOV: from `hev1` to `hvc1`.
//!
//! The two names differ in where parameter sets may be: `hvc1` promises that all are in the header (ISO/IEC 14496-15), and
//! Apple's players show nothing else. FFmpeg writes `hev1` unless a field is set that the safe bindings do not offer. Our
//! encoder puts every parameter set in the header, so the promise is true: the name and the `array_completeness`
//! bits of `hvcC` are changed in the finished file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// An index larger than this is no clip of ours.
const MOST_MOOV_BYTES: u64 = 64 << 20;
/// From the start of a visual sample entry to the boxes inside it.
const SAMPLE_ENTRY_BYTES: usize = 86;
/// From the start of `hvcC`'s content to the count of its arrays.
const HVCC_FIXED_BYTES: usize = 22;

/// Renames the sample entry; false when there is no `hev1` to rename.
pub(crate) fn name_hvc1(mut file: &File) -> io::Result<bool> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    while at + 8 <= end {
        let mut header = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header[..8])?;
        let mut size = u64::from(u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
        if size == 1 {
            file.read_exact(&mut header[8..])?;
            size = u64::from_be_bytes([8, 9, 10, 11, 12, 13, 14, 15].map(|i: usize| header[i]));
        }
        if &header[4..8] == b"moov" && size <= MOST_MOOV_BYTES {
            let mut moov = vec![0; size as usize];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut moov)?;
            let changed = rename(&mut moov).is_some();
            if changed {
                file.seek(SeekFrom::Start(at))?;
                file.write_all(&moov)?;
            }
            return Ok(changed);
        }
        if size < 8 {
            break;
        }
        at += size;
    }
    Ok(false)
}

/// Changes the bytes of a `moov` box; `None` when they are not as expected, and then nothing was changed.
fn rename(moov: &mut [u8]) -> Option<()> {
    let mut inside = 8..moov.len();
    for name in [b"trak", b"mdia", b"minf", b"stbl", b"stsd"] {
        inside = find(moov, inside, *name)?;
        inside.start += 8;
    }
    inside.start += 8; // version, flags and the number of entries
    let entry = find(moov, inside, *b"hev1")?;
    let config = find(moov, entry.start + SAMPLE_ENTRY_BYTES..entry.end, *b"hvcC")?;

    let mut marks = Vec::new();
    let mut at = config.start + 8 + HVCC_FIXED_BYTES;
    let arrays = *moov.get(at)?;
    at += 1;
    for _ in 0..arrays {
        marks.push(at);
        let units = u16::from_be_bytes([*moov.get(at + 1)?, *moov.get(at + 2)?]);
        at += 3;
        for _ in 0..units {
            at += 2 + usize::from(u16::from_be_bytes([*moov.get(at)?, *moov.get(at + 1)?]));
        }
    }
    if at > config.end {
        return None;
    }
    for mark in marks {
        *moov.get_mut(mark)? |= 0x80;
    }
    moov.get_mut(entry.start + 4..entry.start + 8)?.copy_from_slice(b"hvc1");
    Some(())
}

/// Where the first box of this name is among the boxes in `inside`, its header included.
fn find(data: &[u8], inside: Range<usize>, name: [u8; 4]) -> Option<Range<usize>> {
    let mut at = inside.start;
    while at + 8 <= inside.end {
        let size = u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?) as usize;
        if size < 8 || at + size > inside.end {
            return None;
        }
        if data.get(at + 4..at + 8)? == name {
            return Some(at..at + size);
        }
        at += size;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: [u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], &name, body].concat()
    }

    #[test]
    fn the_name_and_the_promise_change_together() {
        let mut hvcc = vec![0; HVCC_FIXED_BYTES];
        hvcc.extend([2, 0x20, 0, 1, 0, 2, 9, 9, 0x21, 0, 1, 0, 1, 7]);
        let entry =
            boxed(*b"hev1", &[vec![0; SAMPLE_ENTRY_BYTES - 8], boxed(*b"hvcC", &hvcc)].concat());
        let mut nested = boxed(*b"stsd", &[vec![0; 8], entry].concat());
        for name in [b"stbl", b"minf", b"mdia", b"trak", b"moov"] {
            nested = boxed(*name, &[boxed(*b"free", b"xx"), nested].concat());
        }
        let before = nested.clone();
        rename(&mut nested).unwrap();
        let changed: Vec<_> =
            before.iter().zip(&nested).filter(|(a, b)| a != b).map(|(_, b)| *b).collect();
        assert_eq!(changed, [b'v', b'c', 0xa0, 0xa1]);
        assert!(rename(&mut nested).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = rename(&mut bytes);
        }
    }
}
