//! Whether clips can be laid over one another, and their pixels paired, or the reason why not.

use super::clip::Clip;

/// Aspects that differ by less are taken for the same picture at two sizes.
const SAME_ASPECT: f64 = 0.01;

/// The first frames of all clips: as many as the shortest that can be read has.
pub(crate) fn common_frames(clips: &[Clip]) -> usize {
    let readable = clips.iter().filter(|clip| !clip.is_unreadable() && clip.opened.is_some());
    readable.map(Clip::frames).min().unwrap_or(0)
}

/// Why `b` cannot lie over `a` in one frame, if it cannot. Until both are open nothing is refused.
pub(crate) fn overlay_refusal(a: &Clip, b: &Clip) -> Option<String> {
    let ([aw, ah], [bw, bh]) = (a.size()?, b.size()?);
    let aspect = |w: usize, h: usize| w as f64 / h.max(1) as f64;
    let apart = (aspect(aw, ah) / aspect(bw, bh) - 1.0).abs();
    (apart > SAME_ASPECT).then(|| {
        format!("{aw}×{ah} and {bw}×{bh} are pictures of different shapes; they can be seen side by side only.")
    })
}

/// Why pixels of `a` and `b` cannot be paired, if they cannot: differences and metrics need equal sizes.
pub(crate) fn pixel_refusal(a: &Clip, b: &Clip) -> Option<String> {
    let ([aw, ah], [bw, bh]) = (a.size()?, b.size()?);
    ([aw, ah] != [bw, bh]).then(|| {
        format!("{aw}×{ah} and {bw}×{bh}: pixels of different sizes cannot be paired, so there is no difference and no metric.")
    })
}

/// What a person should know about clips of different lengths.
pub(crate) fn length_note(clips: &[Clip]) -> Option<String> {
    let common = common_frames(clips);
    let is_open = |clip: &&Clip| !clip.is_unreadable() && clip.opened.is_some();
    let longest = clips.iter().filter(is_open).map(Clip::frames).max()?;
    (longest > common && common > 0)
        .then(|| format!("The first {common} frames are compared; the longest clip has {longest}."))
}

#[cfg(test)]
mod tests {
    use super::super::clip::{ClipId, Opened, Papers, Source};
    use super::*;

    fn clip(size: [usize; 2], frames: usize) -> Clip {
        let source = Source { path: "a.mp4".into(), name: "a".into() };
        let opened = Opened { size, announced: Some(frames), papers: Papers::default() };
        Clip { opened: Some(opened), ..Clip::new(ClipId(0), source) }
    }

    #[test]
    fn sizes_and_lengths_are_aligned_or_refused_with_both_in_the_words() {
        let (a, half, tall) = (clip([832, 480], 81), clip([416, 240], 49), clip([480, 832], 81));
        assert_eq!(overlay_refusal(&a, &half), None);
        assert!(pixel_refusal(&a, &half).unwrap().contains("416×240"));
        assert!(overlay_refusal(&a, &tall).unwrap().contains("832×480 and 480×832"));
        assert_eq!(pixel_refusal(&a, &a.clone()), None);
        let both = [a, half];
        assert_eq!(common_frames(&both), 49);
        let note = length_note(&both).unwrap();
        assert!(note.contains("49") && note.contains("81"), "{note}");
        assert_eq!(length_note(&both[..1]), None);
    }

    #[test]
    fn a_clip_that_cannot_be_read_does_not_shorten_the_others() {
        let mut broken = clip([8, 8], 0);
        (broken.opened, broken.error) = (None, Some("not a video".into()));
        assert_eq!(common_frames(&[clip([8, 8], 5), broken]), 5);
    }
}
