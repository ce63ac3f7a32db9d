//! Compare: up to four clips on one playhead, seen side by side, over one another or as their difference, and measured.
//!
//! ```text
//!   files, runs, history ─► Clip ─► Ask ─► reel (decodes) ──── frames ──┐
//!                                  scores (measures) ── figures ────────┼─► Compare ─► tick: one frame of all, ready ─► views
//!                                  blend (pictures of two) ◄─ frames ◄──┘
//! ```
//!
//! The first clip is A, the reference; B is the candidate that is looked at beside it. [`Compare::tick`] moves the playhead only to
//! frames of which every picture is at hand, so that what is seen together belongs together.

mod alignment;
pub(crate) mod apply;
#[cfg(test)]
mod bench;

mod blend;
mod blind;
mod camera;
mod clip;
mod curves;
mod details;
mod frames;
mod keep;
mod lineup;
mod loupe;
mod pictures;
mod reel;
mod scores;
mod stage;
mod transport;
pub(crate) mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::{ColorImage, Pos2, Vec2};

use blend::{Key, Kind};
use camera::Camera;
use clip::Clip;
pub(crate) use clip::{ClipId, Source};
use pictures::Textures;
use scores::{Curves, Metric};
use transport::Transport;

/// Clips that can be compared at once.
pub(crate) const MOST_CLIPS: usize = 4;
/// Frames shown in a second where no clip says.
const USUAL_FPS: f64 = 16.0;
/// The gains of a difference, in turn.
const GAINS: [u8; 7] = [1, 2, 4, 8, 16, 32, 64];

/// How clips are seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each in a tile of its own.
    #[default]
    Side,
    /// A on one side of a line, B on the other.
    Wipe,
    /// B over A, half transparent.
    Overlay,
    /// A and B in turn.
    Blink,
    /// Their amplified difference.
    Difference,
    /// Where they are unlike.
    Ssim,
}

impl Mode {
    /// All, as they are called.
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Side, "Side by side"),
        (Self::Wipe, "Wipe"),
        (Self::Overlay, "Overlay"),
        (Self::Blink, "Blink"),
        (Self::Difference, "Difference"),
        (Self::Ssim, "SSIM map"),
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }

    /// Whether pixels are paired for it.
    fn pairs_pixels(self) -> bool {
        matches!(self, Self::Difference | Self::Ssim)
    }
}

/// What a view may ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    /// Compare this clip too.
    Add(Source),
    /// Compare this one no more.
    Remove(ClipId),
    /// Measure against this one.
    Reference(ClipId),
    /// Look at this one beside A.
    Candidate(ClipId),
    /// See them so.
    Mode(Mode),
    /// Put the line of the wipe here, as a share of the picture.
    Wipe(f32),
    /// Show this much of B over A.
    Opacity(f32),
    /// Measure so.
    Metric(Metric),
    /// Go to a frame.
    Seek(usize),
    /// Come nearer by a factor, at this share of the picture.
    Nearer(f32, Pos2),
    /// Move by shares of the picture.
    Pan(Vec2),
    /// Magnify what is here, a share of the picture; `None` when the pointer is gone.
    Point(Option<Pos2>),
    /// Take a clip's settings into the form.
    Take(ClipId),
}

/// The line of a wipe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wipe {
    /// Where it is, as a share of the picture.
    pub(crate) at: f32,
    /// Whether it lies flat, A above it.
    pub(crate) is_flat: bool,
}

/// How a person looks.
#[derive(Debug, Clone)]
pub(crate) struct Looking {
    /// How clips are seen.
    pub(crate) mode: Mode,
    /// The line between A and B.
    pub(crate) wipe: Wipe,
    /// How much of B is seen over A.
    pub(crate) opacity: f32,
    /// What a difference is multiplied with.
    pub(crate) gain: u8,
    /// The side that is hidden: 0 is A, 1 is B.
    pub(crate) hidden: Option<usize>,
    /// Whether what is under the pointer is magnified.
    pub(crate) magnifies: bool,
    /// What is under the pointer, as a share of the picture.
    pub(crate) pointer: Option<Pos2>,
    /// Whether curves are shown.
    pub(crate) measures: bool,
    /// Of which metric.
    pub(crate) metric: Metric,
    /// Whether settings and receipts are shown.
    pub(crate) has_details: bool,
    /// Zoom and pan.
    pub(crate) camera: Camera,
}

impl Default for Looking {
    fn default() -> Self {
        Self {
            mode: Mode::Side,
            wipe: Wipe { at: 0.5, is_flat: false },
            opacity: 0.5,
            gain: 8,
            hidden: None,
            magnifies: false,
            pointer: None,
            measures: true,
            metric: Metric::Ssim,
            has_details: true,
            camera: Camera::default(),
        }
    }
}

/// All state of Compare.
#[derive(Default)]
pub(crate) struct Compare {
    /// A is the first.
    clips: Vec<Clip>,
    /// The place of B among them.
    candidate: usize,
    named: u64,
    /// How a person looks.
    pub(crate) looking: Looking,
    /// The playhead.
    pub(crate) transport: Transport,
    shelves: BTreeMap<ClipId, BTreeMap<usize, Arc<ColorImage>>>,
    blends: BTreeMap<Key, Arc<ColorImage>>,
    asked_blends: Vec<Key>,
    asked: Option<reel::Ask>,
    asked_scores: Option<scores::Ask>,
    curves: Curves,
    textures: Textures,
    /// The frame that is seen.
    shown: Option<usize>,
    /// A blind comparison, while there is one.
    blind: Option<blind::Blind>,
    /// Whether the keyboard is to be given to the stage.
    pub(crate) wants_focus: bool,
    /// Whether to go to the worst frame as soon as all are measured.
    goes_to_worst: bool,
}

impl Compare {
    /// The clips, A first.
    pub(crate) fn clips(&self) -> &[Clip] {
        &self.clips
    }

    /// A.
    pub(crate) fn reference(&self) -> Option<&Clip> {
        self.clips.first()
    }

    /// B.
    pub(crate) fn candidate(&self) -> Option<&Clip> {
        self.clips.get(self.candidate.max(1))
    }

    /// A and B.
    pub(crate) fn pair(&self) -> Option<[&Clip; 2]> {
        Some([self.reference()?, self.candidate()?])
    }

    /// The place of a clip among them: 0 is A.
    pub(crate) fn place(&self, id: ClipId) -> usize {
        self.clips.iter().position(|clip| clip.id == id).unwrap_or(0)
    }

    /// The letter of a clip.
    pub(crate) fn letter(&self, id: ClipId) -> char {
        ['A', 'B', 'C', 'D'][self.place(id).min(MOST_CLIPS - 1)]
    }

    /// The figures of a pair so far, by frame.
    fn curve(&self, pair: [ClipId; 2]) -> &[Option<scores::Score>] {
        self.curves.of(pair)
    }

    /// Frames that all clips have.
    pub(crate) fn frames(&self) -> usize {
        alignment::common_frames(&self.clips)
    }

    /// The frame that is seen, or wanted when none is.
    pub(crate) fn frame(&self) -> usize {
        self.shown.unwrap_or_else(|| self.transport.frame(self.frames()))
    }

    /// Frames shown in a second at normal speed.
    pub(crate) fn fps(&self) -> f64 {
        self.clips.iter().find_map(|clip| clip.fps).unwrap_or(USUAL_FPS)
    }

    /// Whether curves are drawn.
    fn shows_curves(&self) -> bool {
        self.looking.measures && self.clips.len() > 1 && !self.is_blind()
    }

    /// Why the chosen mode shows nothing, if it does not.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal_of(self.looking.mode)
    }

    /// Why a mode shows nothing, if it does not.
    pub(crate) fn refusal_of(&self, mode: Mode) -> Option<String> {
        if mode == Mode::Side {
            return None;
        }
        let Some([a, b]) = self.pair() else { return Some("Add a second clip.".into()) };
        for clip in [a, b] {
            if let Some(error) = clip.error.as_ref().filter(|_| clip.is_unreadable()) {
                return Some(error.clone());
            }
        }
        let refused = mode.pairs_pixels().then(|| alignment::pixel_refusal(a, b)).flatten();
        alignment::overlay_refusal(a, b).or(refused)
    }

    /// Why B cannot be measured against A, if it cannot.
    pub(crate) fn measure_refusal(&self) -> Option<String> {
        self.refusal_of(Mode::Difference)
    }

    /// The picture of two that is looked at.
    fn kind(&self) -> Option<Kind> {
        match self.looking.mode {
            Mode::Difference => Some(Kind::Difference { gain: self.looking.gain }),
            Mode::Ssim => Some(Kind::Ssim),
            _ => None,
        }
    }

    /// Goes to the next or the one before in the row of gains.
    pub(crate) fn change_gain(&mut self, by: isize) {
        let now = GAINS.iter().position(|gain| *gain >= self.looking.gain).unwrap_or(0);
        self.looking.gain = GAINS[now.saturating_add_signed(by).min(GAINS.len() - 1)];
    }

    /// How often a picture was handed to the graphics device.
    #[cfg(test)]
    pub(crate) fn uploads(&self) -> u64 {
        self.textures.uploads()
    }
}
