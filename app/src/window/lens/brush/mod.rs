//! The query brush: tokens chosen on a picture of the clip, and where they look, laid over all its frames.
//!
//! ```text
//!   paint, keys ──► painted tokens, cursor's token ──► Ask ──► desk (a thread) ──► Told ──► Brush ──► view, stage
//! ```
//!
//! The desk finds frames to lay it over ([`reel`]) and reads and paints what is looked at ([`overlay`]); here both become
//! textures. The numbers are [`tessera_pipeline::gaze`]'s.

mod desk;
mod measure;
mod overlay;
mod reel;
pub(super) mod stage;
pub(super) mod view;
pub(super) mod words;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use eframe::egui::{ColorImage, Context, TextureHandle, TextureOptions};
use tessera_pipeline::gaze::{Gaze, Reading};
use tessera_pipeline::recording::Held;

pub(crate) use desk::{Ask, Desk, Told};
pub(crate) use measure::{Measure, Working, refusal};
pub(super) use overlay::Tiles;
use reel::Under;
pub(super) use reel::latent_of;
pub(crate) use words::shown as shown_word;

use super::detail::Detail;
use super::subject::{Look, Subject};
use crate::window::cursor::Cursor;
use crate::window::player::Player;

/// A query token: latent frame, row, column.
pub(crate) type Token = [usize; 3];

/// What a view of the brush may ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    /// Choose these tokens, besides those that are chosen when `extends`.
    Paint { tokens: Vec<Token>, extends: bool },
    /// Choose none.
    Clear,
    /// Show this of the mass.
    Reading(Reading),
    /// Show this frame.
    Seek(usize),
    /// Play, or hold.
    Play,
    /// Run the step again for the exact rows of the chosen tokens.
    Measure,
    /// Stop that.
    StopMeasuring,
    /// Show where this word of the prompt acts, measured when it is not known.
    Word(usize),
    /// Of words, show this head's in place of the mean over all.
    OfHead(bool),
}

/// The frames that an overlay is laid on.
pub(super) struct Frames {
    pub(super) under: Under,
    /// All latent frames, small.
    strip: TextureHandle,
    tiles: Tiles,
}

/// What some tokens look at, as it is shown.
pub(super) struct Seen {
    pub(super) look: Look,
    pub(super) tokens: Vec<Token>,
    pub(super) gaze: Gaze,
    /// Of each reading the mass in each latent frame.
    pub(super) of_frames: [Vec<f32>; 3],
    /// Of each reading all latent frames.
    textures: [TextureHandle; 3],
    tiles: Tiles,
}

/// All state of the brush.
pub(crate) struct Brush {
    /// The frames on the stage.
    pub(crate) player: Player,
    pub(super) frames: Option<Frames>,
    painted: Vec<Token>,
    /// What is shown of the mass.
    pub(crate) reading: Reading,
    seen: Held<Seen>,
    /// The tokens that the desk answered about last.
    found: Option<Vec<Token>>,
    asked: Option<Ask>,
    told: usize,
    /// The chosen word of the prompt.
    pub(crate) word: Option<usize>,
    /// Whether words are those of the head alone.
    pub(crate) of_head: bool,
    /// The words that were measured last.
    words: Option<Box<measure::Words>>,
    /// The texture of a word, and which.
    heat: Option<(usize, TextureHandle)>,
    /// What is to be measured: tokens too, or words alone.
    wants: Option<bool>,
    /// What is being measured.
    pub(crate) working: Option<Working>,
    uploads: u64,
}

impl Default for Brush {
    fn default() -> Self {
        Self {
            player: Player::held(),
            frames: None,
            painted: Vec::new(),
            reading: Reading::default(),
            seen: Held::NotCaptured,
            found: None,
            asked: None,
            told: 0,
            word: None,
            of_head: false,
            words: None,
            heat: None,
            wants: None,
            working: None,
            uploads: 0,
        }
    }
}

impl Brush {
    /// Does what a view asked for.
    pub(super) fn apply(&mut self, wish: Wish) {
        match wish {
            Wish::Paint { tokens, extends } => {
                if !extends {
                    self.painted.clear();
                }
                self.painted.extend(tokens);
                self.painted.sort_unstable();
                self.painted.dedup();
                self.player.is_playing = false;
            }
            Wish::Clear => self.painted.clear(),
            Wish::Reading(reading) => self.reading = reading,
            Wish::Seek(frame) => {
                self.player.is_playing = false;
                self.player.seek(frame as isize);
            }
            Wish::Play => self.player.is_playing = !self.player.is_playing,
            Wish::Measure => self.wants = Some(true),
            Wish::StopMeasuring => self.stop(),
            Wish::Word(word) => (self.word, self.wants) = (Some(word), Some(false)),
            Wish::OfHead(of_head) => {
                self.of_head = of_head;
                self.wants = self.word.map(|_| false);
            }
        }
    }

    /// The chosen tokens of a clip: those that were painted while the cursor's token is one of them, otherwise that alone.
    pub(crate) fn tokens(&self, subject: &Subject, cursor: Cursor) -> Vec<Token> {
        let grid = subject.meta.grid;
        let is_there = |token: &Token| tessera_pipeline::gaze::index(grid, *token).is_some();
        match cursor.token.filter(is_there) {
            Some(token) if !self.painted.contains(&token) => vec![token],
            Some(_) => self.painted.iter().copied().filter(is_there).collect(),
            None => Vec::new(),
        }
    }

    /// What the desk is to be asked, when that is something new.
    pub(super) fn ask(&mut self, ask: Ask) -> Option<Ask> {
        (self.asked.as_ref() != Some(&ask)).then(|| self.asked.insert(ask).clone())
    }

    /// What is to be measured now at a place, if anything: never two at a time, and no words that are known.
    pub(super) fn measure(
        &mut self,
        path: PathBuf,
        look: Look,
        tokens: Vec<Token>,
    ) -> Option<Measure> {
        let with_tokens = self.wants.take()?;
        let is_known = self.words.as_ref().is_some_and(|w| words::is_of(w, look, self.of_head));
        if !with_tokens && is_known {
            return None;
        }
        let tokens = if with_tokens { tokens } else { Vec::new() };
        let measure = Measure { path, look, tokens, of_head: self.of_head };
        let is_at_work = self.working.as_ref().is_some_and(|working| working.measure == measure);
        if is_at_work {
            return None;
        }
        self.stop();
        Some(measure)
    }

    /// Ends what is being measured.
    fn stop(&mut self) {
        if let Some(working) = self.working.take() {
            working.is_stopped.store(true, Ordering::Relaxed);
        }
    }

    /// Forgets what was of another recording.
    pub(super) fn clear(&mut self) {
        self.stop();
        let reading = self.reading;
        *self = Self { reading, ..Self::default() };
    }

    /// Takes in what the desk found about the recording that is open; the error is for people.
    pub(super) fn take(&mut self, ctx: &Context, open: &Path, told: Told) -> Result<(), String> {
        match told {
            Told::Reel(path, reel) if path == open => {
                let strip = self.load(ctx, "brush strip", reel.strip, TextureOptions::LINEAR);
                self.frames = Some(Frames { under: reel.under, strip, tiles: reel.tiles });
                self.player.show(Some(reel.film));
            }
            Told::Gaze(path, gazed) if path == open && self.is_asked(&gazed) => {
                self.found = Some(gazed.tokens.clone());
                self.seen = match gazed.painted {
                    Held::Here(painted) => {
                        let textures = painted.images.map(|image| {
                            self.load(ctx, "brush overlay", image, TextureOptions::NEAREST)
                        });
                        Held::Here(Seen {
                            look: gazed.look,
                            tokens: gazed.tokens,
                            gaze: painted.gaze,
                            of_frames: painted.of_frames,
                            textures,
                            tiles: painted.tiles,
                        })
                    }
                    Held::Dropped => Held::Dropped,
                    Held::NotCaptured => Held::NotCaptured,
                };
            }
            Told::Words(path, words) if path == open => {
                (self.words, self.heat) = (Some(words), None);
            }
            Told::Measuring(id, progress) => {
                if let Some(working) = self.working.as_mut().filter(|working| working.id == id) {
                    working.progress = progress;
                }
            }
            Told::Measured(id, error) => {
                if self.working.as_ref().is_some_and(|working| working.id == id) {
                    self.working = None;
                    return error.map_or(Ok(()), Err);
                }
            }
            Told::Failed(error) => return Err(error),
            Told::Reel(..) | Told::Gaze(..) | Told::Words(..) => {}
        }
        Ok(())
    }

    /// Whether somebody still wants to know it.
    fn is_asked(&self, gazed: &desk::Gazed) -> bool {
        let is_same = |ask: &Ask| ask.look == gazed.look && ask.tokens == gazed.tokens;
        self.asked.as_ref().is_some_and(is_same)
    }

    /// The texture of the chosen word.
    pub(super) fn word_texture(&self) -> Option<&TextureHandle> {
        let (of, texture) = self.heat.as_ref()?;
        (Some(*of) == self.word).then_some(texture)
    }

    /// Moves the frames on while they are on show; answers with the frame for the cursor when it is another one.
    pub(super) fn tick(&mut self, ctx: &Context, cursor: Cursor) -> Option<usize> {
        if cursor.frame != self.told {
            let last = self.player.film().map_or(0, |film| film.frames.len() - 1);
            self.player.seek(cursor.frame.min(last) as isize); // another run may be longer
        }
        self.player.tick(ctx, false);
        if let (Some(word), Some(words)) = (self.word, &self.words)
            && self.word_texture().is_none()
            && let Some(image) = words.all.get(word).map(|word| word.image.clone())
        {
            self.heat = Some((word, self.load(ctx, "brush word", image, TextureOptions::NEAREST)));
        }
        let frame = self.player.frame();
        self.told = frame;
        (frame != cursor.frame).then_some(frame)
    }

    fn load(
        &mut self,
        ctx: &Context,
        name: &str,
        image: ColorImage,
        options: TextureOptions,
    ) -> TextureHandle {
        self.uploads += 1;
        ctx.load_texture(name, image, options)
    }

    /// How often an overlay or a strip was handed to the graphics device.
    #[cfg(test)]
    pub(crate) fn uploads(&self) -> u64 {
        self.uploads
    }

    /// Whether what was found is of other tokens than these.
    pub(super) fn is_behind(&self, tokens: &[Token]) -> bool {
        self.found.as_deref() != Some(tokens)
    }

    /// Whether the overlay is of these tokens.
    #[cfg(test)]
    pub(crate) fn is_over(&self, tokens: &[Token]) -> bool {
        matches!(&self.seen, Held::Here(seen) if seen.tokens == tokens)
    }

    /// How finely it is known what is looked at.
    #[cfg(test)]
    pub(crate) fn grain(&self) -> Held<tessera_pipeline::gaze::Grain> {
        match &self.seen {
            Held::Here(seen) => Held::Here(seen.gaze.grain),
            _ => Held::NotCaptured,
        }
    }

    /// The mass of a reading in each latent frame.
    #[cfg(test)]
    pub(crate) fn of_frames(&self, reading: Reading) -> Held<&[f32]> {
        match &self.seen {
            Held::Here(seen) => Held::Here(&seen.of_frames[reading as usize]),
            _ => Held::NotCaptured,
        }
    }

    /// What is looked at, as far as it has come.
    pub(super) fn seen(&self) -> &Held<Seen> {
        &self.seen
    }
}

/// The query blocks of a head that hold these tokens, ascending.
pub(super) fn rows(subject: &Subject, detail: &Detail, tokens: &[Token]) -> Vec<usize> {
    let (grid, blocks) = (subject.meta.grid, subject.meta.blocks());
    let place = |token: &Token| {
        let index = tessera_pipeline::gaze::index(grid, *token)?;
        detail.places.get(index).map(|place| *place as usize / blocks.query_block)
    };
    let mut rows: Vec<usize> = tokens.iter().filter_map(place).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}
