//! The worker of the cut-offs: told where levels shall end in a head, it answers with the map that they give.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, Sender, bounded};
use eframe::egui::Context;
use tessera_pipeline::latest::Latest;
use tessera_pipeline::pace::Pace;
use tessera_pipeline::palette;
use tessera_pipeline::recording::{Held, Recording};
use tessera_pipeline::recut::Recut;
use tessera_pipeline::sparsity::{Cuts, Ends};

use super::super::pixels::Pixels;
use super::super::subject::{Look, Subject};
use crate::window::pace;

/// Bars of the histogram.
const BARS: usize = 64;
/// Answers that may wait.
const UNREAD: usize = 8;

/// What is wanted now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    /// The recording.
    pub(crate) path: PathBuf,
    /// Grows when the file has grown.
    pub(crate) revision: u64,
    /// The head.
    pub(crate) look: Look,
    /// Where levels end; `None` takes the run's own cut-offs.
    pub(crate) ends: Option<Ends>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Told {
    /// The recording.
    pub(crate) path: PathBuf,
    /// What the cut-offs give; the error is for people.
    pub(crate) cut: Result<Held<Box<Cut>>, String>,
}

/// A head under cut-offs.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Which head.
    pub(crate) look: Look,
    /// The run's own cut-offs, or those that are shown for its method.
    pub(crate) cuts: Cuts,
    /// Whether they are the run's.
    pub(crate) is_own: bool,
    /// Whether it was cut by exact attention instead of by what the method estimated.
    pub(crate) is_exact: bool,
    /// Levels `[rows, columns]`.
    pub(crate) levels: Vec<u8>,
    /// Blocks at each level 0..=7 in each bar of the scale from 0 to 1.
    pub(crate) bars: Vec<[u32; 8]>,
    /// Share of the dense work, every block counted as whole.
    pub(crate) nominal: f64,
    /// The same with a ragged end counted as it is.
    pub(crate) exact: f64,
    /// Time of attention over that of dense attention, were every head so.
    pub(crate) time: Option<f64>,
    /// Whether the run had dense calls to measure that by.
    pub(crate) has_dense: bool,
    /// Painted levels.
    pub(crate) pixels: Option<Pixels>,
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
        let (outbox, told): (Sender<Told>, _) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-cuts".into()).spawn(move || {
            let mut hand = Hand::default();
            for ask in inbox {
                let cut = hand.cut(&ask);
                let path = ask.path;
                if outbox.send(Told { path, cut }).is_err() {
                    break;
                }
                pace::wake(&ctx);
            }
        })?;
        Ok(Self { asks, told })
    }

    /// Wants this; what was wanted before and nobody began is forgotten.
    pub(crate) fn ask(&self, ask: Ask) {
        self.asks.put(ask);
    }

    /// What has come back.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.try_iter().collect()
    }
}

/// What the worker has in its hand.
#[derive(Default)]
struct Hand {
    /// With the revision that was read.
    open: Option<(Recording, Subject, Option<Pace>, u64)>,
    head: Option<(Look, Recut, Vec<f32>)>,
}

impl Hand {
    fn cut(&mut self, ask: &Ask) -> Result<Held<Box<Cut>>, String> {
        let is_there = |(recording, _, _, revision): &(Recording, _, _, u64)| {
            recording.path() == ask.path && *revision == ask.revision
        };
        if !self.open.as_ref().is_some_and(is_there) {
            (self.open, self.head) = (None, None);
            let recording = Recording::open(&ask.path).map_err(words)?;
            let subject = Subject::read(&recording)?;
            let pace = Pace::of(subject.calls());
            self.open = Some((recording, subject, pace, ask.revision));
        }
        let Some((recording, subject, pace, _)) = &self.open else { return Ok(Held::NotCaptured) };
        let look = ask.look;
        let head = match self.head.take().filter(|(at, ..)| *at == look) {
            Some(head) => head,
            None => match Recut::read(recording, subject.place(look), look.head).map_err(words)? {
                Held::Here(recut) => {
                    let places = recut.places().map_err(words)?;
                    (look, recut, places)
                }
                Held::Dropped => return Ok(Held::Dropped),
                Held::NotCaptured => return Ok(Held::NotCaptured),
            },
        };
        let (_, recut, places) = self.head.insert(head);
        let ends = ask.ends.as_ref().unwrap_or(&recut.cuts.ends);
        let map = recut.map(ends).map_err(words)?;
        let density = map.density().map_err(words)?;
        let levels = map.to_vec().map_err(words)?;
        let blocks = subject.meta.blocks();
        let size = [blocks.columns(), blocks.rows()];
        let pixels = Pixels::of(size, levels.iter().map(|level| palette::level(*level)));
        Ok(Held::Here(Box::new(Cut {
            look,
            cuts: recut.cuts.clone(),
            is_own: recut.is_own,
            is_exact: recut.is_exact,
            bars: counted(places, &levels),
            levels,
            nominal: density.nominal,
            exact: density.exact,
            time: pace.map(|pace| pace.ratio(density.exact)),
            has_dense: pace.is_some_and(|pace| pace.has_dense),
            pixels: Some(pixels),
        })))
    }
}

/// How many blocks of each level lie in each bar.
fn counted(places: &[f32], levels: &[u8]) -> Vec<[u32; 8]> {
    let mut bars = vec![[0; 8]; BARS];
    for (place, level) in places.iter().zip(levels) {
        let bar = ((place * BARS as f32) as usize).min(BARS - 1);
        bars[bar][usize::from((*level).min(7))] += 1;
    }
    bars
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_in_the_bar_of_its_place() {
        let bars = counted(&[0.0, 0.5, 1.0, 0.999], &[1, 2, 0, 9]);
        assert_eq!((bars[0][1], bars[BARS / 2][2]), (1, 1));
        assert_eq!(bars[BARS - 1], [1, 0, 0, 0, 0, 0, 0, 1]);
    }
}
