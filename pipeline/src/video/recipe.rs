//! From codec, quality and size to encoders worth trying: name, pixel format and options, best first.
//!
//! **Odd sizes.** 4:2:0 halves width and height, so H.264 and H.265 cannot even say an odd size in it (their cropping counts
//! in chroma samples). Padding would give a file that every player shows one replicated column too wide, and a comparison
//! tool would see a size that was never generated. We keep the exact picture instead: odd sizes are written as 4:4:4 by these
//! two, which VLC, mpv, ffmpeg and Chrome play and some hardware does not; the finished file carries a note that says so.
//! AV1 has no such limit (libaom and rav1e take odd 4:2:0; SVT-AV1 does not and is skipped); ProRes goes to 4444.
//!
//! **Lossless** keeps RGB: YUV of 8 bits rounds most colours. libx264rgb, x265 and libaom code RGB planes (GBR) exactly.
//!
//! **AV1** is libaom before SVT-AV1: on two cores they take the same time, libaom's files came out smaller (291 against 385 KB on
//! 33 frames of noisy 480p), it takes every size, and SVT-AV1 writes its banner to stderr, which only an environment variable stops.
//!
//! **Speed.** Presets are the middle ones: a clip takes minutes to generate and seconds to encode either way.

use ffmpeg_next::format::Pixel;

use crate::video::codec::Codec;
use crate::video::error::{Result, VideoError};
use crate::video::quality::{self, Quality};
use crate::video::rate::Fps;

/// The largest width or height: H.264's and ProRes's own limits are near, WebP's is this.
pub(crate) const MOST_PIXELS: u32 = 16_383;

/// SVT-AV1 refuses pictures smaller than this.
const SVT_LEAST: u32 = 64;

/// One encoder to try.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// FFmpeg's name of the encoder.
    pub(crate) encoder: &'static str,
    /// What it is fed.
    pub(crate) pixel: Pixel,
    /// Its private options.
    pub(crate) options: Vec<(&'static str, String)>,
    /// What the person should know about the result.
    pub(crate) note: Option<&'static str>,
}

impl Recipe {
    fn new(encoder: &'static str, pixel: Pixel) -> Self {
        Self { encoder, pixel, options: Vec::new(), note: None }
    }

    fn with(mut self, key: &'static str, value: impl std::fmt::Display) -> Self {
        self.options.push((key, value.to_string()));
        self
    }

    fn with_all(mut self, options: Option<(&'static str, String)>) -> Self {
        self.options.extend(options);
        self
    }

    fn noting(mut self, note: Option<&'static str>) -> Self {
        self.note = note;
        self
    }
}

/// The encoders to try for a codec, best first; empty for PNG, which is not FFmpeg's business here.
pub(crate) fn recipes(
    codec: Codec,
    quality: Quality,
    (width, height): (u32, u32),
    fps: Fps,
) -> Result<Vec<Recipe>> {
    let odd = width % 2 == 1 || height % 2 == 1;
    let odd_note =
        odd.then_some("odd width or height: written as 4:4:4, which some hardware players refuse");
    let lossless = quality == Quality::Lossless;
    // Two seconds between key frames: scrubbing stays quick and costs a few percent of size.
    let gop = (2.0 * fps.as_f64()).round().max(1.0) as u32;
    let list = match codec {
        Codec::H264 if lossless => {
            vec![
                Recipe::new("libx264rgb", Pixel::RGB24)
                    .with("qp", 0)
                    .with("preset", "medium")
                    .with("g", gop)
                    .noting(Some(
                        "lossless RGB H.264: few players outside VLC, mpv and ffmpeg read it",
                    )),
            ]
        }
        Codec::H264 => vec![
            Recipe::new("libx264", if odd { Pixel::YUV444P } else { Pixel::YUV420P })
                .with("crf", quality::X264_CRF.at(quality))
                .with("preset", "medium")
                .with_all(x264_steady())
                .with("g", gop)
                .noting(odd_note),
        ],
        // x265 writes its log straight to stderr unless told here.
        Codec::H265 if lossless => vec![
            Recipe::new("libx265", Pixel::GBRP)
                .with("preset", "medium")
                .with("x265-params", "lossless=1:log-level=none")
                .with("g", gop)
                .noting(Some(
                    "lossless RGB H.265: few players outside VLC, mpv and ffmpeg read it",
                )),
        ],
        Codec::H265 => vec![
            Recipe::new("libx265", if odd { Pixel::YUV444P10LE } else { Pixel::YUV420P10LE })
                .with("crf", quality::X265_CRF.at(quality))
                .with("preset", "medium")
                .with("x265-params", "log-level=none")
                .with("g", gop)
                .noting(odd_note),
        ],
        Codec::Av1 if lossless => {
            vec![aom(Pixel::GBRP, gop).with("crf", 0).with("aom-params", "lossless=1").noting(
                Some("lossless RGB AV1: few players outside VLC, mpv, ffmpeg and browsers read it"),
            )]
        }
        Codec::Av1 => {
            let svt = (!odd && width >= SVT_LEAST && height >= SVT_LEAST).then(|| {
                Recipe::new("libsvtav1", Pixel::YUV420P10LE)
                    .with("crf", quality::SVT_AV1_CRF.at(quality))
                    .with("preset", 6)
                    .with("g", gop)
            });
            let aom = aom(Pixel::YUV420P10LE, gop).with("crf", quality::AOM_CRF.at(quality));
            let rav1e = Recipe::new("librav1e", Pixel::YUV420P10LE)
                .with("qp", quality::RAV1E_QP.at(quality))
                .with("speed", 6)
                .with("g", gop);
            [Some(aom), svt, Some(rav1e)].into_iter().flatten().collect()
        }
        // Checksums per slice and every frame a key frame: what archives ask of a master.
        Codec::Ffv1 => {
            vec![
                Recipe::new("ffv1", Pixel::BGRZ)
                    .with("level", 3)
                    .with("g", 1)
                    .with("slicecrc", 1)
                    .with("context", 1),
            ]
        }
        Codec::ProRes | Codec::Gif if lossless => return Err(no_lossless(codec)),
        Codec::ProRes => {
            let profile = match quality.percent() {
                0..25 => "proxy",
                25..60 => "lt",
                60..85 => "standard",
                _ => "hq",
            };
            let recipe =
                Recipe::new("prores_ks", if odd { Pixel::YUV444P10LE } else { Pixel::YUV422P10LE });
            vec![recipe.with("profile", if odd { "4444" } else { profile }).with("vendor", "apl0")]
        }
        Codec::Gif => vec![Recipe::new("gif", Pixel::PAL8)],
        // WebP fixes its own matrix (BT.601), so libwebp gets RGB and converts it itself.
        Codec::WebP => {
            let recipe = Recipe::new("libwebp_anim", Pixel::BGRA);
            vec![if lossless {
                recipe.with("lossless", 1)
            } else {
                recipe.with("lossless", 0).with("quality", quality::WEBP_QUALITY.at(quality))
            }]
        }
        Codec::Png => Vec::new(),
    };
    Ok(list)
}

/// x264's (build 164) macroblock tree gives one of several results at random with AVX-512, on one thread too; with AVX2 it repeats.
/// The same request must give the same bytes, so processors that have the former are told to use the latter.
fn x264_steady() -> Option<(&'static str, String)> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return Some(("x264-params", "asm=avx2,fma3,bmi2".into()));
    }
    None
}

fn aom(pixel: Pixel, gop: u32) -> Recipe {
    Recipe::new("libaom-av1", pixel).with("cpu-used", 6).with("row-mt", 1).with("g", gop)
}

fn no_lossless(codec: Codec) -> VideoError {
    VideoError::CodecCannot {
        codec,
        what: "it has no lossless mode".into(),
        instead: "use ffv1 or png for a master, or quality 100".into(),
    }
}

/// A generous guess of the finished file's bytes, for the check before denoising. Generated clips have ended below it;
/// noise at full quality may not, and then the encoder's own error says so with the latents safe.
pub fn estimated_bytes(
    codec: Codec,
    quality: Quality,
    (width, height): (u32, u32),
    frames: u64,
) -> u64 {
    // Bytes per pixel and frame at draft, good, high and 100; x264 at CRF 17 spends about 0.05 on real clips.
    let per_pixel = match (codec, quality) {
        (Codec::Ffv1 | Codec::Png, _) | (_, Quality::Lossless) => 2.0,
        (Codec::ProRes, _) => 1.2,
        // The file and the raw frames kept beside it until the palette is known.
        (Codec::Gif, _) => 3.0 + 0.7,
        (_, Quality::Percent(p)) => 0.05 + 0.6 * (f64::from(p.min(100)) / 100.0).powi(4),
    };
    (per_pixel * f64::from(width) * f64::from(height) * frames as f64 + 65_536.0) as u64
}
