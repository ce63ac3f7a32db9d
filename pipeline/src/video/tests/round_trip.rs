//! Every codec in every container: frames, sizes, pictures, settings and bytes.

use super::{encode, ffprobe, names, picture, plan, psnr, settings};
use crate::video::{
    Codec, Container, Decoder, Encoder, Fps, Frame, Quality, VideoError, VideoPlan, paired, probe,
    read_metadata,
};

const FRAMES: u64 = 13;

/// Encodes, reads back and returns the worst frame's PSNR (infinite when exact).
fn round_trip(plan: &VideoPlan) -> f64 {
    let file = encode(plan, FRAMES);
    assert_eq!(file.frames, FRAMES);
    assert_eq!(file.metadata.as_deref(), Some(plan.metadata.as_str()));
    assert_eq!(read_metadata(&plan.path).unwrap().as_deref(), Some(plan.metadata.as_str()));
    assert!(file.bytes > 0);
    let decoder = Decoder::open(&plan.path).unwrap();
    assert_eq!(decoder.size(), (plan.width, plan.height), "{}", plan.path.display());
    let mut worst = f64::INFINITY;
    let mut count = 0;
    for frame in decoder {
        let frame = frame.unwrap();
        assert_eq!(frame.index, count);
        if let Some(seconds) = frame.seconds {
            // GIF has hundredths of a second, Matroska and WebP thousandths.
            let tolerance = if plan.codec == Codec::Gif { 0.011 } else { 0.0011 };
            let expected = plan.fps.seconds_at(count);
            assert!(
                (seconds - expected).abs() < tolerance,
                "{}: {seconds}, {expected}",
                plan.path.display()
            );
        }
        worst = worst.min(psnr(&frame.rgb, &picture(count, plan.width, plan.height)));
        count += 1;
    }
    assert_eq!(count, FRAMES, "{}", plan.path.display());
    println!(
        "{:>9} {:>4} {}x{}: {:>6.2} dB, {} ({})",
        plan.codec, file.container, plan.width, plan.height, worst, file.encoder, file.pixel_format
    );
    worst
}

fn all_containers(codec: Codec, sizes: &[(u32, u32)]) {
    let status = crate::video::probe_codec(codec);
    assert!(status.is_available(), "this FFmpeg cannot write {codec}: {:?}", status.attempts);
    for &size in sizes {
        for container in codec.containers() {
            let folder = tempfile::tempdir().unwrap();
            let mut plan = plan(
                &folder.path().join("clip").with_extension(container.extension()),
                codec,
                size,
            );
            plan.fps = Fps::new(24000, 1001).unwrap();
            let worst = round_trip(&plan);
            if codec.is_always_lossless() {
                assert_eq!(worst, f64::INFINITY, "{codec} must be exact");
            } else {
                // 256 colours for a whole clip are what they are.
                let least = if codec == Codec::Gif { 30.0 } else { 36.0 };
                assert!(worst > least, "{codec} in {container} {size:?}: {worst}");
            }
            assert_eq!(names(folder.path()).len(), 1, "nothing but the file");
        }
    }
}

/// Even, and at least SVT-AV1's 64; odd and tiny; odd and wider.
const SIZES: [(u32, u32); 3] = [(96, 64), (17, 33), (255, 129)];

#[test]
fn h264() {
    all_containers(Codec::H264, &SIZES);
}

#[test]
fn h265() {
    all_containers(Codec::H265, &SIZES);
}

#[test]
fn av1() {
    all_containers(Codec::Av1, &SIZES);
}

#[test]
fn ffv1() {
    all_containers(Codec::Ffv1, &SIZES);
}

#[test]
fn prores() {
    all_containers(Codec::ProRes, &SIZES);
}

/// Its frames are encoded at the end, and that is told.
#[test]
fn gif_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder.path().join("clip.gif"), Codec::Gif, (32, 16));
    let mut encoder = Encoder::create(&plan).unwrap();
    for index in 0..4 {
        let rgb = picture(index, 32, 16);
        encoder.push(&Frame { width: 32, height: 16, rgb: &rgb }).unwrap();
        assert_eq!((encoder.frames(), encoder.encoded()), (index + 1, 0));
    }
    let told = std::cell::RefCell::new(Vec::new());
    encoder.finish_telling(&|frames| told.borrow_mut().push(frames)).unwrap();
    assert_eq!(*told.borrow(), [0, 1, 1, 2, 2, 3, 3, 4]);
}

#[test]
fn gif() {
    all_containers(Codec::Gif, &SIZES);
}

#[test]
fn webp() {
    all_containers(Codec::WebP, &SIZES);
}

#[test]
fn png() {
    all_containers(Codec::Png, &SIZES);
}

#[test]
fn every_codec_of_the_list_works_on_this_ffmpeg() {
    for status in probe() {
        println!("{}: {:?} of {:?}", status.codec, status.encoder, status.attempts);
        assert!(status.is_available(), "{status:?}");
    }
}

#[test]
fn lossless_is_exact_or_refused() {
    for codec in Codec::ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(
            &folder.path().join("clip").with_extension(codec.default_container().extension()),
            codec,
            (96, 64),
        );
        plan.quality = Quality::Lossless;
        if matches!(codec, Codec::ProRes | Codec::Gif) {
            let error = crate::video::preflight(&plan, 10).unwrap_err();
            assert!(matches!(error, VideoError::CodecCannot { .. }), "{error}");
        } else {
            let worst = round_trip(&plan);
            // The file is exact (its first frame shows it), its reader off by one where frames blend: see `webp`.
            assert!(
                worst == f64::INFINITY || codec == Codec::WebP && worst > 48.0,
                "{codec}: {worst} dB"
            );
        }
    }
}

#[test]
fn one_frame_is_a_video_too() {
    for codec in Codec::ALL {
        for container in codec.containers() {
            let folder = tempfile::tempdir().unwrap();
            let plan = plan(
                &folder.path().join("clip").with_extension(container.extension()),
                codec,
                (64, 64),
            );
            let file = encode(&plan, 1);
            assert_eq!(
                file.metadata.as_deref(),
                Some(settings().as_str()),
                "{codec} in {container}"
            );
            assert_eq!(
                Decoder::open(&plan.path).unwrap().count_frames().unwrap(),
                1,
                "{codec} in {container}"
            );
        }
    }
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    for codec in Codec::ALL {
        let folder = tempfile::tempdir().unwrap();
        for container in codec.containers().iter().filter(|c| **c != Container::Folder) {
            let [a, b] = ["a", "b"].map(|name| {
                let plan = plan(
                    &folder.path().join(name).with_extension(container.extension()),
                    codec,
                    (96, 64),
                );
                encode(&plan, FRAMES);
                std::fs::read(&plan.path).unwrap()
            });
            assert!(a == b, "{codec} in {container}: {} and {} bytes", a.len(), b.len());
        }
    }
}

#[test]
fn quality_moves_size_and_fidelity_together() {
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::WebP] {
        let folder = tempfile::tempdir().unwrap();
        let [low, high] = [Quality::DRAFT, Quality::HIGH].map(|quality| {
            let extension = codec.default_container().extension();
            let mut plan = plan(
                &folder.path().join(quality.to_string()).with_extension(extension),
                codec,
                (128, 96),
            );
            plan.quality = quality;
            plan.metadata.clear();
            let file = encode(&plan, FRAMES);
            assert_eq!((file.metadata, read_metadata(&plan.path).unwrap()), (None, None));
            file.bytes
        });
        assert!(low < high, "{codec}: draft {low}, high {high}");
    }
}

#[test]
fn the_index_comes_first_and_h265_is_named_for_apple() {
    for (codec, name) in
        [(Codec::H264, "clip.mp4"), (Codec::H265, "clip.mp4"), (Codec::H265, "clip.mov")]
    {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&folder.path().join(name), codec, (96, 64));
        encode(&plan, FRAMES);
        let bytes = std::fs::read(&plan.path).unwrap();
        let at = |name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap();
        assert!(at(b"moov") < at(b"mdat"), "{name}");
        let tag = ffprobe(&plan.path, "codec_tag_string");
        let expected = if codec == Codec::H265 { "hvc1" } else { "avc1" };
        assert_eq!(tag.trim(), format!("codec_tag_string={expected}"));
    }
}

#[test]
fn pairs_go_by_index_across_containers_and_miscounts_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut mp4 = plan(&folder.path().join("a.mp4"), Codec::H264, (96, 64));
    mp4.fps = Fps::new(24000, 1001).unwrap();
    let mkv = VideoPlan { path: folder.path().join("b.mkv"), ..mp4.clone() };
    let short = VideoPlan { path: folder.path().join("c.mkv"), ..mp4.clone() };
    let small = plan(&folder.path().join("d.mkv"), Codec::Ffv1, (64, 64));
    encode(&mp4, FRAMES);
    encode(&mkv, FRAMES);
    encode(&short, 9);
    encode(&small, 2);
    let open = |plan: &VideoPlan| Decoder::open(&plan.path).unwrap();
    let pairs: Vec<_> = paired(open(&mp4), open(&mkv)).unwrap().map(Result::unwrap).collect();
    assert_eq!(pairs.len() as u64, FRAMES);
    assert!(
        pairs.iter().all(|(a, b)| a.index == b.index && a.rgb == b.rgb),
        "the same stream in two containers"
    );

    let last = paired(open(&short), open(&mp4)).unwrap().last().unwrap().unwrap_err();
    let VideoError::Unpaired { left_frames: Some(9), right_frames: Some(FRAMES), .. } = last else {
        panic!("{last}")
    };
    assert!(
        last.to_string().contains("9 frames") && last.to_string().contains("13 frames"),
        "{last}"
    );
    assert!(matches!(
        paired(open(&small), open(&mp4)),
        Err(VideoError::Unpaired { left_size: (64, 64), .. })
    ));
}
