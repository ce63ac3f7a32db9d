//! Which clips are compared, and which of them are A and B.

use super::clip::{Clip, ClipId, Source};
use super::{Compare, MOST_CLIPS, Mode, Wish, alignment};

impl Compare {
    /// Adds a clip; the error says why not.
    pub(crate) fn add(&mut self, source: Source) -> Result<ClipId, String> {
        if let Some(there) = self.clips.iter().find(|clip| clip.source.path == source.path) {
            return Ok(there.id);
        }
        if self.clips.len() >= MOST_CLIPS {
            return Err(format!("{MOST_CLIPS} clips are compared already; take one away first."));
        }
        let id = ClipId(self.named);
        self.named += 1;
        self.clips.push(Clip::new(id, source));
        if self.clips.len() == 2 {
            self.candidate = 1;
        }
        self.wants_focus = true;
        Ok(id)
    }

    /// Takes a clip away.
    pub(crate) fn remove(&mut self, id: ClipId) {
        self.clips.retain(|clip| clip.id != id);
        self.blind = None;
        self.candidate = self.candidate.clamp(1, self.clips.len().max(2) - 1);
        self.shelves.remove(&id);
        self.curves.forget(id);
        let clips = &self.clips;
        self.textures.retain(|id| clips.iter().any(|clip| clip.id == id));
        if self.clips.is_empty() {
            (self.shown, self.transport) = (None, super::Transport::default());
        }
    }

    /// Compares these and nothing else, from the frame at which they differ most.
    #[cfg(test)]
    pub(crate) fn open_pair(&mut self, pair: [Source; 2]) {
        let old: Vec<_> = self.clips.iter().map(|clip| clip.id).collect();
        for id in old {
            self.remove(id);
        }
        for source in pair {
            let _ = self.add(source); // there is room: all were taken away
        }
        self.looking.hidden = None;
        self.goes_to_worst = true;
    }

    /// Makes a clip A; the one that was A takes its place.
    pub(crate) fn make_reference(&mut self, id: ClipId) {
        if let Some(place) = self.clips.iter().position(|clip| clip.id == id) {
            self.clips.swap(0, place);
        }
    }

    /// Looks at a clip beside A.
    pub(crate) fn make_candidate(&mut self, id: ClipId) {
        match self.clips.iter().position(|clip| clip.id == id) {
            Some(place) if place > 0 => self.candidate = place,
            _ => {}
        }
    }

    /// A becomes B and B becomes A.
    pub(crate) fn swap(&mut self) {
        let place = self.candidate.max(1);
        if place < self.clips.len() {
            self.clips.swap(0, place);
        }
    }

    /// The next clip becomes B, after the last the first behind A.
    pub(crate) fn next_candidate(&mut self) {
        if self.clips.len() > 2 {
            self.candidate =
                if self.candidate + 1 < self.clips.len() { self.candidate + 1 } else { 1 };
        }
    }

    /// Shows the difference, or what was shown before it.
    pub(crate) fn toggle_difference(&mut self) {
        let is_on = self.looking.mode == Mode::Difference;
        self.looking.mode = if is_on { Mode::Wipe } else { Mode::Difference };
    }

    /// Hides a side, or shows both again.
    pub(crate) fn toggle_side(&mut self, side: usize) {
        self.looking.hidden = (self.looking.hidden != Some(side)).then_some(side);
    }

    /// What stands over the clips: what was not aligned, and what could not be read to its end.
    pub(crate) fn notes(&self) -> Vec<String> {
        let length = alignment::length_note(&self.clips);
        let cut = self.clips.iter().filter(|clip| !clip.is_unreadable());
        let cut = cut.filter_map(|clip| clip.error.clone());
        length.into_iter().chain(cut).collect()
    }

    /// Does what a view asked for; what needs more than Compare is not for it alone.
    pub(crate) fn apply(&mut self, wish: Wish) -> Result<(), String> {
        let frames = self.frames();
        match wish {
            Wish::Add(source) => return self.add(source).map(drop),
            Wish::Remove(id) => self.remove(id),
            Wish::Reference(id) => self.make_reference(id),
            Wish::Candidate(id) => self.make_candidate(id),
            Wish::Mode(mode) => (self.looking.mode, self.wants_focus) = (mode, true),
            Wish::Wipe(at) => self.looking.wipe.at = at.clamp(0.0, 1.0),
            Wish::Opacity(opacity) => self.looking.opacity = opacity.clamp(0.0, 1.0),
            Wish::Metric(metric) => self.looking.metric = metric,
            Wish::Seek(frame) => {
                self.goes_to_worst = false;
                self.transport.seek(frame as isize, frames);
            }
            Wish::Nearer(factor, at) => self.looking.camera.nearer(factor, at),
            Wish::Pan(by) => self.looking.camera.pan(by),
            Wish::Point(at) => self.looking.pointer = at,
            Wish::Take(_) => {} // needs the form: done by `apply`
        }
        Ok(())
    }

    /// The frame at which B differs most from A, as far as it is measured.
    pub(crate) fn worst(&self) -> Option<usize> {
        let [a, b] = self.pair()?;
        self.curves.worst([a.id, b.id], self.looking.metric, self.frames())
    }

    /// Goes there as soon as all frames are measured.
    pub(crate) fn go_to_worst(&mut self) {
        self.goes_to_worst = true;
        self.arrive_at_worst();
    }

    /// Goes to the worst frame when that was asked for and is known.
    pub(super) fn arrive_at_worst(&mut self) {
        let frames = self.frames();
        let Some(pair) = self.pair().filter(|_| self.goes_to_worst) else { return };
        if self.measure_refusal().is_some() {
            self.goes_to_worst = false;
        } else if frames > 0 && self.curves.is_whole(pair.map(|clip| clip.id), frames) {
            self.goes_to_worst = false;
            if let Some(worst) = self.worst() {
                self.transport.seek(worst as isize, frames);
            }
        }
    }
}
