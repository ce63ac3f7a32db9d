//! Retained mass of all heads of a step, computed from their exact attention and their maps where both were recorded: read by
//! a thread of its own, and only while somebody wants to see or sort by it.

use std::path::PathBuf;

use crossbeam_channel::{Receiver, bounded};
use eframe::egui::Context;
use tessera_pipeline::latest::Latest;
use tessera_pipeline::recording::{Held, Place, Recording};

use crate::window::pace;

/// Answers that may wait.
const UNREAD: usize = 8;

/// Of which step mass is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    /// The recording.
    pub(crate) path: PathBuf,
    /// Another one when the file has grown.
    pub(crate) revision: u64,
    /// The step.
    pub(crate) step: usize,
    /// Index of the branch.
    pub(crate) branch: usize,
}

/// The share of each head's attention that its map keeps finer than its floor.
#[derive(Debug)]
pub(crate) struct Mass {
    /// Of what.
    pub(crate) ask: Ask,
    /// By layer and head; `None` where attention or map is not in the recording. The error is for people.
    pub(crate) kept: Result<Vec<Vec<Option<f64>>>, String>,
}

/// The way to the thread; dropping it ends it.
pub(crate) struct Desk {
    asks: Latest<Ask>,
    told: Receiver<Mass>,
}

impl Desk {
    /// Starts the thread.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (asks, inbox) = Latest::<Ask>::channel();
        let (outbox, told) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-mass".into()).spawn(move || {
            for ask in inbox {
                let kept = kept(&ask);
                if outbox.send(Mass { ask, kept }).is_err() {
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
    pub(crate) fn told(&self) -> Vec<Mass> {
        self.told.try_iter().collect()
    }
}

fn kept(ask: &Ask) -> Result<Vec<Vec<Option<f64>>>, String> {
    let recording = Recording::open(&ask.path).map_err(words)?;
    let meta = recording.meta();
    let branch = meta.branches()[ask.branch.min(meta.branches().len() - 1)];
    let head = |layer: usize, head: usize| {
        let held = recording.retained(Place::new(ask.step, branch, layer), head);
        Ok(match held.map_err(words)? {
            Held::Here(share) => Some(share),
            Held::Dropped | Held::NotCaptured => None,
        })
    };
    let of_layer = |layer: usize| (0..meta.heads).map(|at| head(layer, at)).collect();
    (0..meta.layers).map(of_layer).collect()
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
