//! Every number of a head that is known: of its call, of its attention and map, of a replay.

use super::{Cell, Lens, Look, Measure, Sort, mass, replays};
use crate::window::cursor::Cursor;

impl Lens {
    /// What the desk of masses is to be asked while retained mass is shown or sorted by, when that is something new.
    pub(crate) fn ask_mass(&mut self, cursor: Cursor) -> Option<mass::Ask> {
        let is_wanted = self.sort == Sort::By(Measure::Retained)
            || self.cell == Cell::Number(Measure::Retained);
        let subject = self.subject.as_deref().filter(|_| is_wanted)?;
        let Look { step, branch, .. } = subject.look(cursor);
        let (path, revision) = self.version(subject)?;
        let ask = mass::Ask { path, revision, step, branch };
        (self.asked_mass.as_ref() != Some(&ask)).then(|| self.asked_mass.insert(ask).clone())
    }

    /// Takes in retained masses; the error is for people.
    pub(crate) fn take_mass(&mut self, mut mass: mass::Mass) -> Result<(), String> {
        let failure = mass.kept.as_mut().err().map(std::mem::take);
        self.mass = failure.is_none().then_some(mass);
        failure.map_or(Ok(()), Err)
    }

    /// Takes in what the desk of replays told; a step that was replayed shows its errors.
    pub(crate) fn take_replay(&mut self, told: replays::Told) {
        let Some(subject) = self.subject.clone() else { return };
        let before = self.replays.found().is_some();
        self.replays.take(&subject, told);
        if !before && self.replays.found().is_some() {
            self.cell = Cell::Number(Measure::Error);
        }
    }

    /// A number of a head, where it is known: from its call, its attention and map, or its replay.
    pub(crate) fn known(&self, look: Look, measure: Measure) -> Option<f64> {
        let told = self.subject()?.measure(look, measure);
        told.or_else(|| match measure {
            Measure::Error => Some(self.replays.head(look)?.error),
            Measure::Retained => {
                let mass = self.mass.as_ref()?;
                let is_it = mass.ask.step == look.step && mass.ask.branch == look.branch;
                *mass.kept.as_ref().ok().filter(|_| is_it)?.get(look.layer)?.get(look.head)?
            }
            Measure::Density | Measure::Time => None,
        })
    }

    /// Why no head at a step has this number, if none can have it.
    pub(crate) fn lacks(&self, look: Look, measure: Measure) -> Option<&'static str> {
        let meta = &self.subject()?.meta;
        let has = |head| self.known(Look { head, ..look }, measure).is_some();
        match measure {
            Measure::Error if self.replays.found().is_none_or(|found| found.step != look.step) => {
                Some("This step was not replayed: the Replay view does that.")
            }
            Measure::Retained if !meta.capture.attention && !(0..meta.heads).any(has) => Some(
                "Neither attention (--capture-attention) nor masses were recorded, from which it is computed.",
            ),
            _ => None,
        }
    }
}
