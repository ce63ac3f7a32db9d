//! The Lens while a clip is made: it goes along with the run that everyone looks at, whose recording grows under an unfinished name.
//!
//! Nothing is asked of the engine. Its recorder writes a file that others may read at any time; whenever the run has told
//! something the reader reads what is new in it, so a clip is the same in every bit whether somebody looks or not.

use std::time::{Duration, Instant};

use tessera_pipeline::events::JobId;
use tessera_pipeline::plan::files;
use tessera_pipeline::recording::partial_of;
use tessera_pipeline::request::Request;

use super::{Lens, Wanted};
use crate::window::runs::Run;

/// A growing recording is read again at most this often, unless a step has ended.
const READ_EVERY: Duration = Duration::from_millis(300);
/// Bytes of a recording that nobody asked for, unless the request says how many.
const LIMIT: &str = "256M";

/// The run that the Lens goes along with, and how much of it was looked at.
#[derive(Debug, Default)]
pub(super) struct Live {
    run: Option<JobId>,
    told: u64,
    steps: u64,
    read_at: Option<Instant>,
}

/// The request with a recording beside its video, so that there is something to look at. One that names its own keeps it.
pub(crate) fn recorded(request: &Request) -> Request {
    let mut request = request.clone();
    if request.record.is_none() {
        request.record = Some(files::folder_of_video(request.out.as_deref()));
        request.record_limit.get_or_insert_with(|| LIMIT.into());
    }
    request
}

impl Lens {
    /// Opens the recording of the run that everyone looks at now, and reads on in it while it grows. A file that a person
    /// opens stays until another run is looked at.
    pub(crate) fn accompany(&mut self, run: &Run) {
        let Some((path, grows)) = run.recording() else {
            if let Some(wanted) = self.wanted.as_mut().filter(|_| self.live.run == Some(run.id)) {
                wanted.grows = false; // its run ended without completing it
            }
            return;
        };
        if self.live.run != Some(run.id) {
            self.open(path);
            self.follows = grows;
            self.live = Live { run: Some(run.id), ..Live::default() };
            if let Some(wanted) = &mut self.wanted {
                wanted.grows = grows;
            }
            return;
        }
        let Some(wanted) = &mut self.wanted else { return };
        if !grows && wanted.path == partial_of(&path) {
            *wanted = Wanted { path, revision: wanted.revision + 1, grows, seeks_sparse: false };
        } else if grows && wanted.path == path {
            let steps = run.steps.map_or(0, |(done, _)| done);
            let is_due = self.live.read_at.is_none_or(|at| at.elapsed() >= READ_EVERY);
            if run.told != self.live.told && (steps != self.live.steps || is_due) {
                wanted.revision += 1;
                (self.live.told, self.live.steps) = (run.told, steps);
                self.live.read_at = Some(Instant::now());
            }
        }
    }

    /// Whether what is shown, or about to be, is of a run that goes on.
    pub(crate) fn is_growing(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.grows)
    }

    /// Follows the newest step of the run that everyone looks at, or stays where it is.
    pub(crate) fn follow(&mut self, follows: bool) {
        if follows && !self.is_growing() {
            self.live = Live::default(); // its recording is opened again
        }
        (self.follows, self.has_news) = (follows, follows);
    }

    /// The step to look at: the newest, once after each that has come, or where a recording that was opened begins to be sparse.
    pub(crate) fn news(&mut self, step: usize) -> Option<usize> {
        let has_news = std::mem::take(&mut self.has_news);
        let is_shown = self.subject.as_ref().map(|subject| &subject.path)
            == self.wanted.as_ref().map(|wanted| &wanted.path);
        if !(has_news && is_shown) {
            return None;
        }
        let seeks =
            self.wanted.as_mut().is_some_and(|wanted| std::mem::take(&mut wanted.seeks_sparse));
        let subject = self.subject()?;
        if self.follows {
            Some(subject.newest_step())
        } else {
            seeks.then(|| subject.sparse_step(step))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_lies_beside_the_video_unless_it_is_named() {
        let request = Request { out: Some("clips/a.mp4".into()), ..Request::default() };
        let recorded = recorded(&request);
        assert_eq!(recorded.record, Some("clips/".into()));
        assert_eq!(recorded.record_limit.as_deref(), Some(LIMIT));
        let named = Request { record: Some("mine.tessera".into()), ..request };
        assert_eq!(super::recorded(&named), named);
    }
}
