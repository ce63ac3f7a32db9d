//! Metrics of every frame against the reference: the worker that measures them, and the curves.
//!
//! The worker reads the files itself, all clips in step, so that curves are whole however few frames the window keeps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::latest::Latest;
use tessera_pipeline::metrics::{mean_squared_error, psnr, ssim};
use tessera_pipeline::video::{DecodedFrame, Decoder};

use super::clip::ClipId;

/// Figures that may wait for the window.
const UNREAD: usize = 64;
/// Decibels beyond which a curve says no more; equal frames are there too.
const MOST_DECIBELS: f64 = 60.0;

/// What is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Structural similarity.
    #[default]
    Ssim,
    /// Peak signal-to-noise ratio.
    Psnr,
}

impl Metric {
    /// All, as they are offered.
    pub(crate) const ALL: [Self; 2] = [Self::Ssim, Self::Psnr];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ssim => "SSIM",
            Self::Psnr => "PSNR",
        }
    }

    /// A value in words.
    pub(crate) fn words(self, value: f64) -> String {
        match self {
            Self::Ssim => format!("{value:.4}"),
            Self::Psnr if value.is_infinite() => "identical".into(),
            Self::Psnr => format!("{value:.2} dB"),
        }
    }
}

/// One pair of frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Score {
    /// Decibels; infinite where the frames are equal.
    pub(crate) psnr: f64,
    /// `None` for frames smaller than its window.
    pub(crate) ssim: Option<f64>,
}

impl Score {
    /// One metric of it.
    pub(crate) fn of(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Ssim => self.ssim,
            Metric::Psnr => Some(self.psnr),
        }
    }
}

/// Clips that are to be measured against the first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ask {
    /// The reference and those that are measured against it, all of one size.
    pub(crate) clips: Vec<(ClipId, PathBuf)>,
    /// Frames to measure.
    pub(crate) frames: usize,
}

/// A frame of a pair.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) pair: [ClipId; 2],
    pub(crate) frame: usize,
    pub(crate) score: Score,
}

/// The way to the worker; dropping it ends its thread.
pub(crate) struct Desk {
    asks: Latest<Ask>,
    told: Receiver<Told>,
}

impl Desk {
    /// Starts the thread.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (asks, inbox) = Latest::<Ask>::channel();
        let (outbox, told) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-scores".into()).spawn(move || {
            let mut next = None;
            while let Some(ask) = next.take().or_else(|| inbox.recv().ok()) {
                next = measure(&ask, &inbox, &outbox, &ctx);
            }
        })?;
        Ok(Self { asks, told })
    }

    /// Wants these; what was wanted before is left.
    pub(crate) fn ask(&self, ask: Ask) {
        self.asks.put(ask);
    }

    /// What has come back.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told> {
        self.told.try_iter()
    }
}

/// Measures until the end, or until something else is asked for. What cannot be read ends it: the worker that decodes says why.
fn measure(ask: &Ask, inbox: &Receiver<Ask>, outbox: &Sender<Told>, ctx: &Context) -> Option<Ask> {
    let mut open = Vec::new();
    for (id, path) in &ask.clips {
        open.push((*id, Decoder::open(path).ok()?));
    }
    for frame in 0..ask.frames {
        if let Ok(newer) = inbox.try_recv() {
            return Some(newer);
        }
        let read = |(id, decoder): &mut (ClipId, Decoder)| Some((*id, decoder.next()?.ok()?));
        let mut pictures = open.iter_mut().map(read);
        let (a, reference) = pictures.next()??;
        for (b, picture) in pictures.flatten() {
            let score = score(&reference, &picture);
            outbox.send(Told { pair: [a, b], frame, score }).ok()?;
        }
        ctx.request_repaint();
    }
    None
}

fn score(a: &DecodedFrame, b: &DecodedFrame) -> Score {
    let (width, height) = (a.width as usize, a.height as usize);
    Score {
        psnr: psnr(mean_squared_error(&a.rgb, &b.rgb)),
        ssim: ssim(&a.rgb, &b.rgb, width, height),
    }
}

/// The figures of all pairs that were ever measured; a pair is the same either way round.
#[derive(Debug, Default)]
pub(crate) struct Curves(BTreeMap<[ClipId; 2], Vec<Option<Score>>>);

impl Curves {
    /// Takes a figure in.
    pub(crate) fn take(&mut self, told: &Told) {
        let curve = self.0.entry(sorted(told.pair)).or_default();
        if curve.len() <= told.frame {
            curve.resize(told.frame + 1, None);
        }
        curve[told.frame] = Some(told.score);
    }

    /// Forgets the pairs of a clip.
    pub(crate) fn forget(&mut self, id: ClipId) {
        self.0.retain(|pair, _| !pair.contains(&id));
    }

    /// The figures of a pair so far, by frame.
    pub(crate) fn of(&self, pair: [ClipId; 2]) -> &[Option<Score>] {
        self.0.get(&sorted(pair)).map_or(&[], Vec::as_slice)
    }

    /// Whether all these frames of a pair are measured.
    pub(crate) fn is_whole(&self, pair: [ClipId; 2], frames: usize) -> bool {
        let curve = self.of(pair);
        curve.len() >= frames && curve[..frames].iter().all(Option::is_some)
    }

    /// The frame at which a pair differs most, of the first so many.
    pub(crate) fn worst(&self, pair: [ClipId; 2], metric: Metric, frames: usize) -> Option<usize> {
        let value = |score: &Option<Score>| score.as_ref()?.of(metric).filter(|v| !v.is_nan());
        let all = self.of(pair).iter().take(frames).enumerate();
        let all = all.filter_map(|(frame, score)| Some((frame, value(score)?)));
        all.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(frame, _)| frame)
    }
}

/// A value as it is drawn.
pub(crate) fn drawn(metric: Metric, value: f64) -> f64 {
    match metric {
        Metric::Ssim => value,
        Metric::Psnr => value.min(MOST_DECIBELS),
    }
}

fn sorted([a, b]: [ClipId; 2]) -> [ClipId; 2] {
    [a.min(b), a.max(b)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_frame_is_the_same_either_way_round() {
        let mut curves = Curves::default();
        let (a, b) = (ClipId(4), ClipId(1));
        for (frame, ssim) in [(0, 0.9), (1, f64::NAN), (3, 0.2), (4, 0.1)] {
            let score =
                Score { psnr: if frame == 0 { f64::INFINITY } else { 30.0 }, ssim: Some(ssim) };
            curves.take(&Told { pair: [a, b], frame, score });
        }
        assert_eq!(curves.worst([b, a], Metric::Ssim, 5), Some(4));
        assert_eq!(
            curves.worst([b, a], Metric::Ssim, 4),
            Some(3),
            "frames beyond the common ones do not count"
        );
        assert_eq!(curves.worst([a, b], Metric::Psnr, 5), Some(1));
        assert!(!curves.is_whole([a, b], 5), "a frame is missing");
        curves.forget(b);
        assert!(curves.of([a, b]).is_empty());
    }

    #[test]
    fn figures_are_said_with_their_unit() {
        assert_eq!(Metric::Psnr.words(f64::INFINITY), "identical");
        assert_eq!(Metric::Psnr.words(31.456), "31.46 dB");
        assert_eq!(Metric::Ssim.words(0.98765), "0.9877");
        assert!(drawn(Metric::Psnr, f64::INFINITY).is_finite());
    }
}
