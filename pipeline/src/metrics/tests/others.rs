//! Our figures against FFmpeg's filters and against the crate av-metrics.

use av_metrics::video::psnr::calculate_frame_psnr;
use av_metrics::video::ssim::calculate_frame_msssim;
use av_metrics::video::{ChromaSampling, Frame};
use ffmpeg_next::format::Pixel;

use super::*;
use crate::video::Fps;
use crate::video::convert::{self, InputFormat, rgb_frame};

/// What FFmpeg's `filter` says of each pair of frames under `key`.
fn figures_of(filter: &str, key: &str, clip: &Pictures, reference: &Pictures) -> Vec<f64> {
    crate::video::ffmpeg::start();
    let (width, height) = (clip.width as u32, clip.height as u32);
    let fps = Fps::from_decimal(16.0).unwrap();
    let format = InputFormat { pixel: Pixel::RGB24, width, height, fps };
    let chain = format!("[a]format=gbrp[x];[b]format=gbrp[y];[x][y]{filter}[out]");
    let mut graph = convert::build(&[("a", format), ("b", format)], &chain).unwrap();
    let mut figures = Vec::new();
    for index in 0..clip.frames.len() {
        for (name, pictures) in [("a", clip), ("b", reference)] {
            let mut frame = rgb_frame(&pictures.frames[index], width, height);
            frame.set_pts(Some(index as i64));
            convert::put(&mut graph, name, &frame).unwrap();
        }
        while let Some(frame) = convert::take(&mut graph).unwrap() {
            figures.push(frame.metadata().get(key).unwrap().parse().unwrap());
        }
    }
    for name in ["a", "b"] {
        convert::end(&mut graph, name).unwrap();
    }
    while let Some(frame) = convert::take(&mut graph).unwrap() {
        figures.push(frame.metadata().get(key).unwrap().parse().unwrap());
    }
    figures
}

#[test]
fn psnr_and_ssim_of_five_clips_are_those_of_ffmpeg() {
    let clips = [(64, 48, 3), (66, 50, 20), (37, 29, 60), (95, 61, 8), (128, 73, 1)];
    for (width, height, strength) in clips {
        let (clip, reference) = clips_of(width, height, 4, strength);
        let ours = fidelity(&clip, &reference).unwrap();
        let psnrs = figures_of("psnr", "lavfi.psnr.psnr_avg", &clip, &reference);
        let ssims = figures_of("ssim", "lavfi.ssim.All", &clip, &reference);
        assert_eq!((psnrs.len(), ssims.len()), (4, 4));
        for (index, frame) in ours.frames.iter().enumerate() {
            let (ratio, similarity) = (frame.psnr, frame.ssim.unwrap());
            assert!(
                (ratio - psnrs[index]).abs() < 1e-3,
                "{width}×{height}, frame {index}: {ratio} dB against {}",
                psnrs[index]
            );
            assert!(
                (similarity - ssims[index]).abs() < 1e-3,
                "{width}×{height}, frame {index}: SSIM {similarity} against {}",
                ssims[index]
            );
            assert!(similarity < 0.9999, "the pictures differ");
        }
        let mean = ssims.iter().sum::<f64>() / 4.0;
        assert!((ours.ssim.unwrap() - mean).abs() < 1e-3);
    }
}

/// A grey picture as av-metrics takes it.
fn grey(rgb: &[u8], width: usize, height: usize) -> Frame<u8> {
    let mut frame = Frame::new_with_padding(width, height, ChromaSampling::Cs400, 0);
    let samples: Vec<u8> = rgb.iter().step_by(3).copied().collect();
    frame.planes[0].copy_from_raw_u8(&samples, width, 1);
    frame
}

#[test]
fn psnr_and_ms_ssim_are_those_of_av_metrics() {
    // Its planes are padded to multiples of 64 and 8, and it counts the padding.
    for (width, height, strength) in [(256, 256, 6), (512, 256, 25)] {
        let (a, b) = pair(width, height, strength);
        // Red stands for luma.
        let [a, b] = [a, b].map(|rgb| {
            rgb.as_chunks::<3>().0.iter().flat_map(|[red, ..]| [*red; 3]).collect::<Vec<u8>>()
        });
        let [first, second] = [&a, &b].map(|rgb| grey(rgb, width, height));
        let theirs = calculate_frame_psnr(&first, &second, 8, ChromaSampling::Cs400).unwrap().y;
        let ours = psnr(mean_squared_error(&a, &b));
        assert!((ours - theirs).abs() < 1e-6, "{width}×{height}: {ours} dB against {theirs}");
        let theirs = calculate_frame_msssim(&first, &second, 8, ChromaSampling::Cs400).unwrap().y;
        // It tells decibels of the error, −10·log₁₀(1 − MS-SSIM); its windows have 9 taps and go on
        // beyond the border, where ours end: no more than this apart.
        let theirs = 1.0 - 10f64.powf(-theirs / 10.0);
        let ours = ms_ssim(&a, &b, width, height).unwrap();
        assert!((ours - theirs).abs() < 3e-3, "{width}×{height}: {ours} against {theirs}");
        assert!(ours < 0.999, "the pictures differ: {ours}");
    }
}

#[test]
fn ffmpegs_own_filters_run_where_they_are_and_say_where_they_are_not() {
    let (slightly, reference) = clips_of(64, 48, 3, 3);
    let (badly, _) = clips_of(64, 48, 3, 60);
    let figure = |clip: &Pictures| match filtered(Filter::Vif, clip, &reference).unwrap() {
        Filtered::Known { clip, frames } => {
            assert_eq!(frames.len(), 3);
            clip
        }
        Filtered::Absent { reason } => panic!("{reason}"),
    };
    let (same, little, much) = (figure(&reference), figure(&slightly), figure(&badly));
    assert!((same - 1.0).abs() < 1e-3, "{same}");
    assert!(much < little && little < 0.99, "{much}, {little}");

    match filtered(Filter::Vmaf, &slightly, &reference).unwrap() {
        Filtered::Absent { reason } => assert!(reason.contains("libvmaf"), "{reason}"),
        Filtered::Known { frames, .. } => assert_eq!(frames.len(), 3),
    }
    let shorter = Pictures { frames: reference.frames[..2].to_vec(), ..reference.clone() };
    assert!(filtered(Filter::Vif, &shorter, &reference).is_err());
}

/// As libvmaf of FFmpeg 9.0 writes it.
#[test]
fn vmafs_log_is_read() {
    let log = r#"{"version": "86da14d", "fps": 1674.34, "frames": [
        {"frameNum": 0, "metrics": {"integer_adm2": 0.962869, "vmaf": 87.25}},
        {"frameNum": 1, "metrics": {"integer_adm2": 0.95, "vmaf": 88.5}}],
        "pooled_metrics": {"vmaf": {"mean": 87.875}}, "aggregate_metrics": {}}"#;
    assert_eq!(filters::vmaf_frames(log), Some(vec![87.25, 88.5]));
    assert_eq!(filters::vmaf_frames("{}"), None);
}
