//! Where everyone looks: one cursor that each view reads and any view may set, and the way back through what was looked at.

use tessera_pipeline::events::JobId;

/// A place in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The run; `None` shows what is being composed.
    pub(crate) run: Option<JobId>,
    /// The denoising step, from 0.
    pub(crate) step: usize,
    /// 0 with the prompt, 1 without it.
    pub(crate) branch: usize,
    /// The transformer's layer, from 0.
    pub(crate) layer: usize,
    /// The head in the layer, from 0.
    pub(crate) head: usize,
    /// The frame of the clip, from 0.
    pub(crate) frame: usize,
    /// The query token as latent frame, row, column.
    pub(crate) token: Option<[usize; 3]>,
}

/// Places that are kept to go back to.
const MOST: usize = 100;

/// The cursor and where it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    now: Cursor,
    before: Vec<Cursor>,
    after: Vec<Cursor>,
}

impl Trail {
    /// Where everyone looks now.
    pub(crate) fn now(&self) -> Cursor {
        self.now
    }

    /// Looks elsewhere. A frame that moves on is no new place to come back to.
    pub(crate) fn go(&mut self, to: Cursor) {
        let is_new = Cursor { frame: 0, ..to } != Cursor { frame: 0, ..self.now };
        if is_new {
            self.before.push(self.now);
            self.after.clear();
            if self.before.len() > MOST {
                self.before.remove(0);
            }
        }
        self.now = to;
    }

    /// Looks at another step without leaving a place to come back to: nobody chose it.
    pub(crate) fn follow(&mut self, step: usize) {
        self.now.step = step;
    }

    /// Goes back to the place before, if there is one.
    pub(crate) fn back(&mut self) {
        if let Some(before) = self.before.pop() {
            self.after.push(std::mem::replace(&mut self.now, before));
        }
    }

    /// Goes forward again.
    pub(crate) fn forward(&mut self) {
        if let Some(after) = self.after.pop() {
            self.before.push(std::mem::replace(&mut self.now, after));
        }
    }

    /// Whether there is a place before.
    pub(crate) fn can_go_back(&self) -> bool {
        !self.before.is_empty()
    }

    /// Whether one can go forward again.
    pub(crate) fn can_go_forward(&self) -> bool {
        !self.after.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_and_forward_go_through_places_but_not_through_frames() {
        let mut trail = Trail::default();
        let (first, second) =
            (Cursor { layer: 1, ..Cursor::default() }, Cursor { layer: 2, ..Cursor::default() });
        trail.go(first);
        trail.go(Cursor { frame: 9, ..first });
        trail.go(second);
        trail.back();
        assert_eq!(trail.now(), Cursor { frame: 9, ..first });
        trail.forward();
        assert_eq!(trail.now(), second);
        trail.back();
        trail.go(Cursor { layer: 5, ..first });
        assert!(!trail.can_go_forward(), "a new way forgets the old one");
        let (now, places) = (trail.now(), trail.before.len());
        trail.follow(3);
        assert_eq!((trail.now(), trail.before.len()), (Cursor { step: 3, ..now }, places));
    }
}
