//! Which frames are kept decoded: all of them when they fit, else a stretch around the playhead that reaches further ahead.

use std::ops::Range;

/// Bytes of decoded frames that are kept of all clips together.
pub(crate) const MOST_BYTES: usize = 1 << 30;
/// Parts of the stretch; it moves by one of them at a time, because going back means decoding from the start.
const PARTS: usize = 4;

/// The frames to keep of each clip: `bytes` is what one frame of all clips takes.
pub(crate) fn stretch(
    playhead: usize,
    is_forward: bool,
    frames: usize,
    bytes: usize,
    most_bytes: usize,
) -> Range<usize> {
    let fits = (most_bytes / bytes.max(1)).max(1);
    if fits >= frames {
        return 0..frames;
    }
    let part = (fits / PARTS).max(1);
    // A quarter lies behind the playhead's own quarter, the rest ahead, as far as there are frames.
    let behind = if is_forward { 1 } else { PARTS - 2 };
    let start = ((playhead / part).saturating_sub(behind) * part).min(frames - fits);
    start..(start + fits).min(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_kept_when_it_fits() {
        assert_eq!(stretch(40, true, 81, 4 * 832 * 480 * 4, MOST_BYTES), 0..81);
    }

    #[test]
    fn the_playhead_is_always_inside_and_more_lies_ahead_of_it() {
        for is_forward in [true, false] {
            for playhead in 0..1000 {
                let kept = stretch(playhead, is_forward, 1000, 1, 100);
                assert!(kept.contains(&playhead) && kept.len() == 100, "{playhead}: {kept:?}");
                let ahead =
                    if is_forward { kept.end - playhead } else { playhead + 1 - kept.start };
                let is_at_an_end = kept.start == 0 || kept.end == 1000;
                assert!(ahead >= 50 || is_at_an_end, "{playhead}, forward {is_forward}: {kept:?}");
            }
        }
    }

    #[test]
    fn it_moves_in_parts() {
        let mut stretches: Vec<_> =
            (0..1000).map(|playhead| stretch(playhead, false, 1000, 1, 100).start).collect();
        stretches.dedup();
        assert!(stretches.len() <= 1000 / 25 + 1, "{} stretches", stretches.len());
    }
}
