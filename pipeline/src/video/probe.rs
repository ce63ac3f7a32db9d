//! Which encoders work on this machine, found by opening each and encoding a frame: FFmpeg lists encoders that need a GPU,
//! a driver or a library that is not there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;

use crate::video::codec::Codec;
use crate::video::convert::Converter;
use crate::video::ffmpeg::{open_encoder, start};
use crate::video::quality::Quality;
use crate::video::rate::Fps;
use crate::video::recipe::{Recipe, recipes};

/// Side of the picture that is tried; the smallest that every encoder takes.
const SIDE: u32 = 64;

/// Whether a codec can be written here, and by what.
#[derive(Debug, Clone)]
pub struct EncoderStatus {
    /// The codec.
    pub codec: Codec,
    /// The encoder that will be used; `None` when none works.
    pub encoder: Option<&'static str>,
    /// The encoders tried, best first and up to the one that works, and what kept the others from it.
    pub attempts: Vec<(&'static str, Option<String>)>,
}

impl EncoderStatus {
    /// Whether the codec can be written.
    pub fn is_available(&self) -> bool {
        self.encoder.is_some()
    }
}

/// Tries every codec at its default quality. The first call takes about a second, later ones nothing.
pub fn probe() -> Vec<EncoderStatus> {
    Codec::ALL.into_iter().map(probe_codec).collect()
}

/// Tries the encoders of one codec at its default quality until one works.
pub fn probe_codec(codec: Codec) -> EncoderStatus {
    start();
    if codec == Codec::Png {
        return EncoderStatus { codec, encoder: Some("png"), attempts: vec![("png", None)] };
    }
    let list = Fps::new(24, 1)
        .and_then(|fps| recipes(codec, Quality::HIGH, (SIDE, SIDE), fps).ok())
        .unwrap_or_default();
    let mut attempts = Vec::new();
    let mut encoder = None;
    for recipe in list {
        let problem = works(&recipe).err();
        let usable = problem.is_none();
        attempts.push((recipe.encoder, problem));
        if usable {
            encoder = Some(recipe.encoder);
            break;
        }
    }
    EncoderStatus { codec, encoder, attempts }
}

/// Whether this encoder takes this pixel format and gives a packet; remembered for the life of the process.
pub(crate) fn works(recipe: &Recipe) -> Result<(), String> {
    static KNOWN: Mutex<BTreeMap<String, Result<(), String>>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{} {:?}", recipe.encoder, recipe.pixel);
    known.entry(key).or_insert_with(|| try_out(recipe).map_err(|e| e.to_string())).clone()
}

fn try_out(recipe: &Recipe) -> Result<(), ffmpeg::Error> {
    let fps = Fps::new(24, 1).ok_or(ffmpeg::Error::Bug)?;
    let mut encoder = open_encoder(recipe, (SIDE, SIDE), fps, true)?;
    let frame = if recipe.pixel == Pixel::PAL8 {
        let mut frame = frame::Video::new(Pixel::PAL8, SIDE, SIDE);
        frame.data_mut(0).fill(0);
        frame.set_pts(Some(0));
        frame
    } else {
        let grey = vec![128; (SIDE * SIDE * 3) as usize];
        Converter::from_rgb(recipe.pixel, SIDE, SIDE, fps)?.rgb(&grey, 0)?
    };
    encoder.send(&frame)?;
    encoder.end()?;
    match encoder.packet()? {
        Some(_) => Ok(()),
        None => Err(ffmpeg::Error::Eof),
    }
}
