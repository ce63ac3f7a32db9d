//! Clips: equal ones, other sizes, a frame late, flicker.

use super::*;

#[test]
fn equal_clips_have_no_distance() {
    let (_, clip) = clips_of(192, 176, 3, 0);
    let same = fidelity(&clip, &clip).unwrap();
    assert_eq!((same.psnr, same.ssim, same.ms_ssim), (f64::INFINITY, Some(1.0), Some(1.0)));
    assert_eq!((same.flicker, same.shift, same.frames.len()), (Some(0.0), None, 3));
    assert_eq!((same.frames[0].flicker, same.frames[1].flicker), (None, Some(0.0)));
    let text = serde_json::to_string(&same).unwrap();
    assert!(text.contains(r#""psnr":"inf""#), "JSON has no infinity: {text}");
    assert_eq!(serde_json::from_str::<Fidelity>(&text).unwrap(), same);
    assert!(serde_json::from_str::<Fidelity>(&text.replace("inf", "much")).is_err());
}

#[test]
fn the_worst_frame_is_found_and_the_clips_ratio_is_of_its_mean_error() {
    let (worse, clip) = clips_of(16, 16, 4, 9);
    let mut half = clip.clone();
    half.frames[2].clone_from(&worse.frames[2]);
    let got = fidelity(&half, &clip).unwrap();
    assert_eq!(got.worst_frame(), 2);
    // A quarter of the frames has all of the error: 10·log₁₀ 4 dB less than that frame.
    assert!((got.psnr - got.frames[2].psnr - 10.0 * 4f64.log10()).abs() < 1e-9);
    assert!(got.frames[0].psnr == f64::INFINITY && got.ssim.unwrap() < 1.0);
    assert_eq!(got.ms_ssim, None, "too small for five scales");
    let small = ssim(&clip.frames[0][..3 * 49], &clip.frames[0][..3 * 49], 7, 7);
    assert_eq!(small, None, "smaller than a window");
}

#[test]
fn clips_of_other_sizes_or_lengths_are_refused_or_aligned() {
    let (_, clip) = clips_of(40, 32, 5, 0);
    let (_, larger) = clips_of(80, 64, 5, 0);
    let mut shorter = clip.clone();
    shorter.frames.truncate(4);
    let error = fidelity(&shorter, &clip).unwrap_err().to_string();
    assert!(error.contains("expected 40×32, 5 frames, got 40×32, 4 frames"), "{error}");
    let error = fidelity(&clip, &larger).unwrap_err().to_string();
    assert!(error.contains("expected 80×64, 5 frames, got 40×32, 5 frames"), "{error}");

    let (a, b, done) = align(shorter.clone(), clip.clone()).unwrap();
    assert_eq!((done.clip_frames_left_out, done.reference_frames_left_out), (0, 1));
    assert_eq!(fidelity(&a, &b).unwrap().psnr, f64::INFINITY);
    let (a, b, done) = align(clip.clone(), larger.clone()).unwrap();
    assert_eq!(done.resampled_from, Some((40, 32)));
    assert_eq!((a.width, a.height, a.frames[0].len()), (80, 64, 80 * 64 * 3));
    assert!(fidelity(&a, &b).is_ok());
    let (a, _, done) = align(clip.clone(), clip.clone()).unwrap();
    assert_eq!((a, done), (clip.clone(), Alignment::default()), "nothing to do");

    let empty = Pictures { frames: Vec::new(), ..clip.clone() };
    assert!(fidelity(&empty, &empty).is_err());
    assert!(align(clip, empty).is_err());
}

#[test]
fn a_clip_that_is_a_frame_late_is_told_so() {
    let (noisy, clip) = clips_of(48, 32, 9, 3);
    let late = |frames: &[Vec<u8>]| {
        let mut all = vec![frames[0].clone()];
        all.extend_from_slice(&frames[..frames.len() - 1]);
        Pictures { frames: all, ..clip.clone() }
    };
    let exact = fidelity(&late(&clip.frames), &clip).unwrap().shift.unwrap();
    assert_eq!((exact.frames, exact.psnr_moved), (1, f64::INFINITY));
    assert!(exact.psnr_as_it_is < 20.0, "{exact:?}");
    let lossy = fidelity(&late(&noisy.frames), &clip).unwrap().shift.unwrap();
    assert!(lossy.frames == 1 && lossy.psnr_moved > 35.0, "{lossy:?}");
    let early = fidelity(&clip, &late(&clip.frames)).unwrap().shift.unwrap();
    assert_eq!(early.frames, -1);
    assert_eq!(fidelity(&noisy, &clip).unwrap().shift, None, "errors alone are no shift");

    let (a, b, done) = align(late(&clip.frames), clip.clone()).unwrap();
    assert_eq!((done.moved, a.frames.len()), (1, 8));
    assert_eq!(fidelity(&a, &b).unwrap().psnr, f64::INFINITY);
}

#[test]
fn flicker_is_the_change_that_the_reference_has_not() {
    let grey = |levels: &[u8]| Pictures {
        width: 8,
        height: 8,
        frames: levels.iter().map(|level| vec![*level; 192]).collect(),
    };
    let (still, flickering) = (grey(&[100; 4]), grey(&[100, 103, 100, 103]));
    let more = fidelity(&flickering, &still).unwrap();
    assert!((more.flicker.unwrap() - 3.0).abs() < 1e-12);
    assert!((more.frames[2].flicker.unwrap() - 3.0).abs() < 1e-12);
    assert!((fidelity(&still, &flickering).unwrap().flicker.unwrap() + 3.0).abs() < 1e-12);
    let brighter = grey(&[140; 4]);
    assert_eq!(fidelity(&brighter, &still).unwrap().flicker, Some(0.0), "wrong, but steady");
    let one = grey(&[100]);
    assert_eq!(fidelity(&one, &one).unwrap().flicker, None);
}
