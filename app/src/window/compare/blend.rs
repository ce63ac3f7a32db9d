//! The worker that makes pictures of two: the amplified difference of a pair of frames or where they are unlike, the nearest to the
//! playhead first.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use eframe::egui::{Color32, ColorImage, Context};
use tessera_pipeline::latest::Latest;
use tessera_pipeline::metrics::{SsimMap, difference, ssim_map};
use tessera_pipeline::palette;

use super::clip::ClipId;

/// Pictures that may wait for the window.
const UNREAD: usize = 16;

/// Which picture of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// |a − b|, times this.
    Difference { gain: u8 },
    /// 1 − SSIM around each pixel, from dark to bright.
    Ssim,
}

/// A picture of two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// What it shows.
    pub(crate) kind: Kind,
    /// The clips.
    pub(crate) of: [ClipId; 2],
    /// The frame's index.
    pub(crate) frame: usize,
}

/// A picture that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Which.
    pub(crate) key: Key,
    /// Of these two, of one size.
    pub(crate) pair: [Arc<ColorImage>; 2],
}

impl Job {
    /// Makes it.
    pub(crate) fn paint(&self) -> ColorImage {
        let [a, b] = &self.pair;
        match self.key.kind {
            Kind::Difference { gain } => {
                let bytes = difference(a.as_raw(), b.as_raw(), f32::from(gain));
                // The opaque fourth sample of both is no difference.
                let opaque = |pixel: &[u8]| Color32::from_rgb(pixel[0], pixel[1], pixel[2]);
                ColorImage::new(a.size, bytes.chunks_exact(4).map(opaque).collect())
            }
            Kind::Ssim => unlike(a, b),
        }
    }
}

/// Each pixel in the colour of the window of the map that it is nearest to; grey where there is no map of so small a picture.
fn unlike(a: &ColorImage, b: &ColorImage) -> ColorImage {
    let [width, height] = a.size;
    let rgb = |image: &ColorImage| -> Vec<u8> {
        image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect()
    };
    let Some(map) = ssim_map(&rgb(a), &rgb(b), width, height) else {
        return ColorImage::filled(a.size, Color32::GRAY);
    };
    let near = |pixel: usize, windows: usize| {
        let from = (SsimMap::SIDE - SsimMap::STEP) / 2;
        (pixel.saturating_sub(from) / SsimMap::STEP).min(windows - 1)
    };
    let color = |index: usize| {
        let at = near(index / width, map.height) * map.width + near(index % width, map.width);
        let [r, g, b] = palette::heat(1.0 - map.values[at].clamp(0.0, 1.0));
        Color32::from_rgb(r, g, b)
    };
    ColorImage::new(a.size, (0..width * height).map(color).collect())
}

/// The way to the worker; dropping it ends its thread.
pub(crate) struct Desk {
    asks: Latest<Vec<Job>>,
    told: Receiver<(Key, Arc<ColorImage>)>,
}

impl Desk {
    /// Starts the thread.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (asks, inbox) = Latest::<Vec<Job>>::channel();
        let (outbox, told) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-blend".into()).spawn(move || {
            while let Ok(mut jobs) = inbox.recv() {
                let mut at = 0;
                while let Some(job) = jobs.get(at) {
                    if outbox.send((job.key, Arc::new(job.paint()))).is_err() {
                        return;
                    }
                    ctx.request_repaint();
                    at += 1;
                    if let Ok(newer) = inbox.try_recv() {
                        (jobs, at) = (newer, 0);
                    }
                }
            }
        })?;
        Ok(Self { asks, told })
    }

    /// Wants these, in this order; what was wanted before and nobody began is forgotten.
    pub(crate) fn ask(&self, jobs: Vec<Job>) {
        self.asks.put(jobs);
    }

    /// What has come back.
    pub(crate) fn told(&self) -> impl Iterator<Item = (Key, Arc<ColorImage>)> {
        self.told.try_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_opaque_and_amplified() {
        let image = |value| Arc::new(ColorImage::filled([2, 1], Color32::from_rgb(value, 9, 9)));
        let key = Key { kind: Kind::Difference { gain: 4 }, of: [ClipId(0), ClipId(1)], frame: 0 };
        let painted = Job { key, pair: [image(10), image(15)] }.paint();
        assert_eq!(painted.pixels, [Color32::from_rgb(20, 0, 0); 2]);
    }

    #[test]
    fn a_map_of_likeness_is_bright_where_the_frames_differ() {
        let noise = |x: usize, y: usize| ((x * 37 + y * 91) % 200) as u8;
        let image = |wrong: bool| {
            let pixel = |index: usize| {
                let (x, y) = (index % 32, index / 32);
                let value = noise(x, y);
                Color32::from_gray(if wrong && x >= 16 { 255 - value } else { value })
            };
            Arc::new(ColorImage::new([32, 32], (0..32 * 32).map(pixel).collect()))
        };
        let key = Key { kind: Kind::Ssim, of: [ClipId(0), ClipId(1)], frame: 0 };
        let painted = Job { key, pair: [image(false), image(true)] }.paint();
        let at = |x: usize, y: usize| painted.pixels[y * 32 + x].intensity();
        assert!(at(2, 16) < 0.2 && at(29, 16) > 0.5, "{} {}", at(2, 16), at(29, 16));
    }
}
