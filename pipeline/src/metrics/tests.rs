//! The figures against FFmpeg's own filters, and against what can be worked out by hand.

use candle_core::{Device, Tensor};
use ffmpeg_next::format::Pixel;

use super::*;
use crate::video::Fps;
use crate::video::convert::{self, InputFormat, rgb_frame};

/// A picture with structure, and the same with errors that grow with `strength`.
fn pair(width: usize, height: usize, strength: usize) -> (Vec<u8>, Vec<u8>) {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize
    };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for y in 0..height {
        for x in 0..width {
            for colour in 0..3 {
                let value = (x * (3 + colour) + y * y / 7) % 200 + noise() % 20;
                let wrong = value + noise() % (2 * strength + 1);
                a.push(value as u8);
                b.push(wrong.saturating_sub(strength).min(255) as u8);
            }
        }
    }
    (a, b)
}

/// What FFmpeg's filter says of two pictures under `key`.
fn filtered(chain: &str, key: &str, a: &[u8], b: &[u8], width: usize, height: usize) -> f64 {
    crate::video::ffmpeg::start();
    let size = (width as u32, height as u32);
    let format = InputFormat {
        pixel: Pixel::RGB24,
        width: size.0,
        height: size.1,
        fps: Fps::from_decimal(16.0).unwrap(),
    };
    let mut graph = convert::build(&[("a", format), ("b", format)], chain).unwrap();
    for (name, bytes) in [("a", a), ("b", b)] {
        let mut frame = rgb_frame(bytes, size.0, size.1);
        frame.set_pts(Some(0));
        convert::put(&mut graph, name, &frame).unwrap();
        convert::end(&mut graph, name).unwrap();
    }
    let frame = convert::take(&mut graph).unwrap().unwrap();
    frame.metadata().get(key).unwrap().parse().unwrap()
}

#[test]
fn psnr_and_ssim_are_those_of_ffmpeg() {
    for (width, height, strength) in [(64, 48, 3), (66, 50, 20), (37, 29, 60)] {
        let (a, b) = pair(width, height, strength);
        let planar = "[a]format=gbrp[x];[b]format=gbrp[y];[x][y]";
        let theirs =
            filtered(&format!("{planar}psnr[out]"), "lavfi.psnr.mse_avg", &a, &b, width, height);
        let ours = mean_squared_error(&a, &b);
        assert!((ours - theirs).abs() < 0.01, "{width}×{height}: {ours} against {theirs}");
        let theirs =
            filtered(&format!("{planar}ssim[out]"), "lavfi.ssim.All", &a, &b, width, height);
        let ours = ssim(&a, &b, width, height).unwrap();
        assert!((ours - theirs).abs() < 2e-4, "{width}×{height}: {ours} against {theirs}");
        assert!(ours < 0.999, "the pictures differ");
    }
}

#[test]
fn equal_clips_have_no_distance_and_other_sizes_are_refused() {
    let (a, b) = pair(16, 16, 9);
    let clip = |frames: &[&Vec<u8>]| Pictures {
        width: 16,
        height: 16,
        frames: frames.iter().copied().cloned().collect(),
    };
    let same = fidelity(&clip(&[&a, &b]), &clip(&[&a, &b])).unwrap();
    assert_eq!((same.psnr, same.ssim, same.frames.len()), (None, Some(1.0), 2));
    let half = fidelity(&clip(&[&a, &b]), &clip(&[&a, &a])).unwrap();
    // Half of the frames have all of the error: 10·log₁₀ 2 dB less than the worse frame.
    let worse = half.frames[1].psnr.unwrap();
    assert!((half.psnr.unwrap() - worse - 10.0 * 2f64.log10()).abs() < 1e-9);
    assert!(half.frames[0].psnr.is_none() && half.ssim.unwrap() < 1.0);
    let error = fidelity(&clip(&[&a]), &clip(&[&a, &b])).unwrap_err().to_string();
    assert!(error.contains("(16, 16, 2)") && error.contains("(16, 16, 1)"), "{error}");
    assert_eq!(ssim(&a[..3 * 49], &b[..3 * 49], 7, 7), None, "smaller than a window");
}

#[test]
fn a_shifted_picture_has_the_error_of_its_shift() {
    let a = vec![100u8; 300];
    let b = vec![110u8; 300];
    assert_eq!(mean_squared_error(&a, &b), 100.0);
    assert!((psnr(100.0) - 28.130_803_608_679_1).abs() < 1e-9, "10·log₁₀(65025/100)");
}

#[test]
fn latents_are_compared_by_angle_and_by_distance() {
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    let (a, b) = (tensor(&[3.0, 4.0]), tensor(&[4.0, 3.0]));
    assert!((cosine(&a, &b).unwrap() - 24.0 / 25.0).abs() < 1e-12);
    assert!((relative_error(&a, &b).unwrap() - 2f64.sqrt() / 5.0).abs() < 1e-7);
    assert!((cosine(&a, &tensor(&[6.0, 8.0])).unwrap() - 1.0).abs() < 1e-12);
}

#[test]
fn medians_are_paired_and_their_intervals_repeat() {
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!((median(&[]), median(&[1.0, f64::NAN])), (None, None));
    let base = [10.0, 20.0, 30.0, 40.0, 50.0];
    let better: Vec<f64> = base.iter().zip([1.0, 2.0, 1.5, 0.5, 1.2]).map(|(b, d)| b + d).collect();
    let interval = paired_interval(&better, &base).unwrap();
    assert!((interval.median - 1.2).abs() < 1e-9);
    assert!(interval.low >= 0.5 - 1e-9 && interval.high <= 2.0 + 1e-9);
    assert!(interval.low <= interval.median && interval.median <= interval.high);
    assert_eq!(paired_interval(&better, &base), Some(interval));
}
