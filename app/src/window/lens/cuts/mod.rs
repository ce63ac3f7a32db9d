//! Live cut-offs: where the levels of a method end, moved by hand; what map, density and time they would give is told at once.
//!
//! The selection is pipeline's own ([`tessera_pipeline::recut`]), asked of a worker ([`desk`]); nothing is chosen here.

mod desk;
pub(super) mod view;

use std::path::{Path, PathBuf};

use eframe::egui::Context;
use tessera_pipeline::recording::Held;
use tessera_pipeline::sparsity::Ends;

pub(crate) use desk::{Ask, Cut, Desk, Told};

use super::pixels::Picture;
use crate::window::layout::{Pane, reveal};
use crate::window::log::Level;
use crate::window::store::Store;

/// What the view of cut-offs may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wish {
    /// Move the end at this index to there.
    Move(usize, f64),
    /// Forget what was moved.
    Reset,
    /// Give the cut-offs to the form.
    Use,
}

/// The cut-offs of the recording that is open.
#[derive(Default)]
pub(crate) struct Cutting {
    /// What a person moved; `None` shows the run's own.
    moved: Option<Ends>,
    asked: Option<Ask>,
    cut: Option<Held<Box<Cut>>>,
    /// The map that they give.
    pub(super) picture: Option<Picture>,
}

impl Cutting {
    /// Another recording is open.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the cut-offs give; of the ends before until the answer for new ones has come.
    pub(crate) fn cut(&self) -> Option<&Held<Box<Cut>>> {
        self.cut.as_ref()
    }

    /// Where levels end now: as a person moved them, or as in the run.
    pub(crate) fn ends(&self) -> Option<&Ends> {
        let own = match &self.cut {
            Some(Held::Here(cut)) => Some(&cut.cuts.ends),
            _ => None,
        };
        self.moved.as_ref().or(own)
    }

    /// Whether a person moved any.
    pub(crate) fn is_moved(&self) -> bool {
        self.moved.is_some()
    }

    /// Does what the view asked for; what concerns the form is in [`give`].
    pub(super) fn apply(&mut self, wish: Wish) {
        match wish {
            Wish::Move(index, to) => self.moved = self.ends().map(|ends| ends.moved(index, to)),
            Wish::Reset => self.moved = None,
            Wish::Use => {}
        }
    }

    /// What the desk is to be asked of a head, when that is something new.
    pub(super) fn ask(
        &mut self,
        (path, revision): (PathBuf, u64),
        look: super::Look,
    ) -> Option<Ask> {
        let ask = Ask { path, revision, look, ends: self.moved.clone() };
        (self.asked.as_ref() != Some(&ask)).then(|| self.asked.insert(ask).clone())
    }

    /// Takes in what the desk told of the recording at `path`; the error is for people.
    pub(super) fn take(&mut self, ctx: &Context, path: &Path, told: Told) -> Result<(), String> {
        if told.path != path {
            return Ok(());
        }
        self.cut = Some(match told.cut? {
            Held::Here(mut cut) => {
                self.picture =
                    cut.pixels.take().map(|pixels| Picture::load(ctx, "lens cut-offs", pixels));
                Held::Here(cut)
            }
            other => other,
        });
        Ok(())
    }
}

/// Gives the cut-offs to the form, with the settings that they act under.
pub(crate) fn give(store: &mut Store) {
    let (Some(subject), Some(ends)) = (store.lens.subject(), store.lens.cuts.ends()) else {
        return;
    };
    match tessera_pipeline::recut::settings(&subject.meta, ends) {
        Ok(request) => {
            let text = format!("Studio's attention now has the thresholds {ends}.");
            store.draft.take_attention(&request);
            store.log.say(Level::Info, text);
            reveal(store.layout.as_mut(), Pane::Compose);
        }
        Err(error) => store.log.say(Level::Error, error.to_string()),
    }
}
