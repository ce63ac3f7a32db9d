//! The worker that decodes: the frames of a stretch of every clip, a frame of each in turn, so that all are ready together.
//!
//! Asks are done in their order, never skipped: both sides drop what lies outside a stretch when they hear of it, so that they
//! always agree on which frames the window has. Decoders go forward only; a frame behind one is reached from the start again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use eframe::egui::{ColorImage, Context};
use tessera_pipeline::video::Decoder;

use super::clip::{ClipId, Opened, Papers};

/// Frames that may wait for the window, and asks for the worker.
const UNREAD: usize = 32;

/// The stretch that is to be at hand, of these clips.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ask {
    /// The clips and their files.
    pub(crate) clips: Vec<(ClipId, PathBuf)>,
    /// The frames, by index.
    pub(crate) stretch: Range<usize>,
}

/// What the worker tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// A file was opened.
    Opened(ClipId, Box<Opened>),
    /// A frame, and when it is shown, in seconds from the start.
    Frame(ClipId, usize, Arc<ColorImage>, Option<f64>),
    /// A clip has so many frames.
    Ended(ClipId, usize),
    /// A clip cannot be read from this frame on, in words.
    Failed(ClipId, usize, String),
}

/// The way to the worker; dropping it ends its thread.
pub(crate) struct Desk {
    asks: Sender<Ask>,
    told: Receiver<Told>,
}

impl Desk {
    /// Starts the thread.
    pub(crate) fn start(ctx: &Context) -> std::io::Result<Self> {
        let (asks, inbox) = bounded(UNREAD);
        let (outbox, told) = bounded(UNREAD);
        let ctx = ctx.clone();
        std::thread::Builder::new().name("tessera-compare".into()).spawn(move || {
            let mut hand = Hand { reels: BTreeMap::new(), stretch: 0..0, outbox, ctx };
            // Ends when the window is gone, at either end.
            while hand.take(&inbox).is_some() && hand.work().is_some() {}
        })?;
        Ok(Self { asks, told })
    }

    /// Asks for a stretch; answers whether the worker has room for it.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        !matches!(self.asks.try_send(ask), Err(TrySendError::Full(_)))
    }

    /// What has come back.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told> {
        self.told.try_iter()
    }
}

/// One clip as the worker knows it.
struct Reel {
    path: PathBuf,
    decoder: Option<Decoder>,
    /// The frame that the decoder gives next.
    next: usize,
    /// Frames that the window has.
    held: BTreeSet<usize>,
    /// Frames in all, once known; none come after.
    end: Option<usize>,
    was_opened: bool,
}

struct Hand {
    reels: BTreeMap<ClipId, Reel>,
    stretch: Range<usize>,
    outbox: Sender<Told>,
    ctx: Context,
}

impl Hand {
    /// Takes in what was asked; waits when there is nothing else to do. `None` when nobody asks any more.
    fn take(&mut self, inbox: &Receiver<Ask>) -> Option<()> {
        if self.wanted().is_none() {
            self.heed(inbox.recv().ok()?);
        }
        loop {
            match inbox.try_recv() {
                Ok(ask) => self.heed(ask),
                Err(TryRecvError::Empty) => return Some(()),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    fn heed(&mut self, ask: Ask) {
        self.reels.retain(|id, _| ask.clips.iter().any(|(other, _)| other == id));
        for (id, path) in ask.clips {
            let new = || Reel {
                path,
                decoder: None,
                next: 0,
                held: BTreeSet::new(),
                end: None,
                was_opened: false,
            };
            self.reels.entry(id).or_insert_with(new);
        }
        self.stretch = ask.stretch;
        for reel in self.reels.values_mut() {
            reel.held.retain(|index| self.stretch.contains(index));
        }
    }

    /// The clip that is furthest behind, and its first frame that the window lacks.
    fn wanted(&self) -> Option<(ClipId, usize)> {
        let missing = |(id, reel): (&ClipId, &Reel)| {
            let stretch = self.stretch.start..self.stretch.end.min(reel.end.unwrap_or(usize::MAX));
            let index = stretch.into_iter().find(|index| !reel.held.contains(index))?;
            Some((index, *id))
        };
        self.reels.iter().filter_map(missing).min().map(|(index, id)| (id, index))
    }

    /// Decodes one frame. `None` when nobody listens any more.
    fn work(&mut self) -> Option<()> {
        let Some((id, index)) = self.wanted() else { return Some(()) };
        let Some(reel) = self.reels.get_mut(&id) else { return Some(()) };
        if reel.next > index {
            reel.decoder = None;
        }
        let decoder = match &mut reel.decoder {
            Some(decoder) => decoder,
            slot => match Decoder::open(&reel.path) {
                Ok(decoder) => {
                    reel.next = 0;
                    let (width, height) = decoder.size();
                    let opened = Opened {
                        size: [width as usize, height as usize],
                        announced: decoder
                            .announced()
                            .and_then(|count| usize::try_from(count).ok()),
                        papers: Papers::default(),
                    };
                    if !std::mem::replace(&mut reel.was_opened, true) {
                        let papers = Papers::of(&reel.path);
                        self.outbox
                            .send(Told::Opened(id, Box::new(Opened { papers, ..opened })))
                            .ok()?;
                    }
                    slot.insert(decoder)
                }
                Err(error) => {
                    reel.end = Some(index);
                    self.outbox.send(Told::Failed(id, index, error.to_string())).ok()?;
                    self.ctx.request_repaint();
                    return Some(());
                }
            },
        };
        let told = match decoder.next() {
            Some(Ok(frame)) => {
                let at = reel.next;
                reel.next += 1;
                if !self.stretch.contains(&at) || !reel.held.insert(at) {
                    return Some(());
                }
                let size = [frame.width as usize, frame.height as usize];
                let picture = Arc::new(ColorImage::from_rgb(size, &frame.rgb));
                Told::Frame(id, at, picture, frame.seconds)
            }
            Some(Err(error)) => {
                reel.end = Some(reel.next);
                Told::Failed(id, reel.next, error.to_string())
            }
            None => {
                reel.end = Some(reel.next);
                Told::Ended(id, reel.next)
            }
        };
        self.outbox.send(told).ok()?;
        self.ctx.request_repaint();
        Some(())
    }
}
