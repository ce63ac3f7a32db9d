//! Colours after a round trip, and what the file says of them to others.

use super::{ffprobe, plan};
use crate::video::{Codec, Decoder, Encoder, Frame, Quality};

const FLAT: [[u8; 3]; 11] = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 255],
    [0, 0, 0],
    [255, 255, 0],
    [0, 255, 255],
    [255, 0, 255],
    [64, 64, 64],
    [128, 128, 128],
    [200, 30, 90],
];

#[test]
fn flat_colours_survive_within_three() {
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::ProRes, Codec::WebP, Codec::Gif] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip").with_extension(codec.default_container().extension());
        let plan = plan(&path, codec, (96, 64));
        let mut encoder = Encoder::create(&plan).unwrap();
        let flat = |colour: [u8; 3]| colour.repeat(96 * 64);
        for colour in FLAT {
            encoder.push(&Frame { width: 96, height: 64, rgb: &flat(colour) }).unwrap();
        }
        encoder.finish().unwrap();
        let mut worst = 0;
        for (frame, colour) in Decoder::open(&path).unwrap().zip(FLAT) {
            let frame = frame.unwrap();
            let off = frame.rgb.iter().zip(flat(colour)).map(|(a, b)| a.abs_diff(b)).max().unwrap();
            assert!(off <= 3, "{codec} {colour:?}: off by {off}, {:?}", &frame.rgb[..3]);
            worst = worst.max(off);
        }
        println!("{codec}: {worst}");
    }
}

#[test]
fn a_grey_ramp_stays_grey_and_straight() {
    let rgb: Vec<u8> = (0..64).flat_map(|_| (0..256).flat_map(|x| [x as u8; 3])).collect();
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::ProRes] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip").with_extension(codec.default_container().extension());
        let plan = plan(&path, codec, (256, 64));
        let mut encoder = Encoder::create(&plan).unwrap();
        encoder.push(&Frame { width: 256, height: 64, rgb: &rgb }).unwrap();
        encoder.finish().unwrap();
        let frame = Decoder::open(&path).unwrap().next().unwrap().unwrap();
        let off = frame.rgb.iter().zip(&rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(off <= 3, "{codec}: off by {off}");
    }
}

#[test]
fn other_programs_are_told_bt709_and_limited_range() {
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::ProRes] {
        for container in codec.containers() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("clip").with_extension(container.extension());
            super::encode(&plan(&path, codec, (96, 64)), 3);
            let said = ffprobe(&path, "color_range,color_space,color_transfer,color_primaries");
            for line in [
                "color_space=bt709",
                "color_transfer=bt709",
                "color_primaries=bt709",
                "color_range=tv",
            ] {
                assert!(
                    said.contains(line),
                    "{codec} in {container}: {line} is missing in\n{said}"
                );
            }
        }
    }
}

/// The `ffmpeg` program is an independent reader: its RGB of our file must be ours.
#[test]
fn ffmpeg_itself_sees_the_same_colours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    let mut plan = plan(&path, Codec::H264, (64, 64));
    plan.quality = Quality::Percent(100);
    for colour in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 160, 40]] {
        let rgb = colour.repeat(64 * 64);
        let mut encoder = Encoder::create(&plan).unwrap();
        encoder.push(&Frame { width: 64, height: 64, rgb: &rgb }).unwrap();
        encoder.finish().unwrap();
        let output = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&path)
            .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
            .output()
            .expect("ffmpeg is installed");
        assert_eq!(output.stdout.len(), rgb.len(), "{}", String::from_utf8_lossy(&output.stderr));
        let off = output.stdout.iter().zip(&rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(off <= 3, "{colour:?}: off by {off}, {:?}", &output.stdout[..3]);
    }
}
