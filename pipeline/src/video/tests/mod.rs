//! Whole files, written and read back on this machine's FFmpeg.

mod colours;
mod failures;
mod round_trip;

use std::path::Path;
use std::process::Command;

use super::{Codec, Encoder, Fps, Frame, Quality, VideoFile, VideoPlan};

/// A smooth picture in which a bright disc moves: motion for the encoder, nothing that 4:2:0 cannot hold.
fn picture(index: u64, width: u32, height: u32) -> Vec<u8> {
    let (cx, cy) = (width as f32 * (0.2 + 0.05 * index as f32), height as f32 * 0.5);
    let radius = width.min(height) as f32 * 0.6;
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let distance = ((x as f32 - cx).powi(2) + (y as f32 - cy).powi(2)).sqrt();
            let glow = (1.0 - distance / radius).max(0.0).powi(2) * 90.0;
            rgb.push((60.0 + 80.0 * x as f32 / width as f32 + glow) as u8);
            rgb.push((110.0 + 40.0 * y as f32 / height as f32 + glow) as u8);
            rgb.push((130.0 - 40.0 * x as f32 / width as f32 + glow) as u8);
        }
    }
    rgb
}

fn plan(path: &Path, codec: Codec, (width, height): (u32, u32)) -> VideoPlan {
    VideoPlan {
        path: path.into(),
        codec,
        width,
        height,
        fps: Fps::new(24, 1).unwrap(),
        quality: Quality::HIGH,
        metadata: settings(),
    }
}

/// Settings as nasty as a prompt can be, over 8 KiB.
fn settings() -> String {
    let prompt =
        "A cat says \"мяу\" & <purrs>; 雪が降る 🎬 \\ 'single' ;=#%\n\tsecond line\r\n".repeat(120);
    let text =
        serde_json::json!({ "version": 1, "prompt": prompt, "seed": u64::MAX, "guidance": 5.0 })
            .to_string();
    assert!(text.len() > 8192);
    // Pretty-printed JSON has raw newlines between the fields.
    text.replacen(',', ",\n  ", 1)
}

fn encode(plan: &VideoPlan, frames: u64) -> VideoFile {
    let mut encoder =
        Encoder::create(plan).unwrap_or_else(|e| panic!("{}: {e}", plan.path.display()));
    for index in 0..frames {
        let rgb = picture(index, plan.width, plan.height);
        encoder.push(&Frame { width: plan.width, height: plan.height, rgb: &rgb }).unwrap();
    }
    encoder.finish().unwrap_or_else(|e| panic!("{}: {e}", plan.path.display()))
}

/// Encoding and decoding move to a thread of their own.
#[test]
fn encoder_and_decoder_can_change_threads() {
    fn moves<T: Send>() {}
    moves::<Encoder>();
    moves::<super::Decoder>();
    moves::<super::Paired>();
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / sum).log10()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// `ffprobe`'s word for some fields of the video stream, `key=value` a line. The check script installs it with FFmpeg.
fn ffprobe(path: &Path, fields: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries"])
        .arg(format!("stream={fields}"))
        .args(["-of", "default=noprint_wrappers=1"])
        .arg(path)
        .output()
        .expect("ffprobe is installed with FFmpeg");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
