//! What is known of every job that the engine was given, as far as its events have told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_pipeline::events::{Event, EventKind, FileRole, JobId, Phase, WrittenFile};
use tessera_pipeline::plan::Plan;
use tessera_pipeline::preview::Preview;
use tessera_pipeline::receipt::Receipt;
use tessera_pipeline::recording::partial_of;
use tessera_pipeline::request::Request;

/// How a run stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// It has been sent and has not ended.
    Running,
    /// It is done.
    Finished(Box<Receipt>),
    /// It failed, with the reason in words.
    Failed(String),
    /// It was stopped.
    Cancelled,
}

/// A phase that has begun.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    /// Which.
    pub(crate) phase: Phase,
    /// Parts done.
    pub(crate) done: u64,
    /// Parts in all.
    pub(crate) of: u64,
    /// Time in it so far.
    pub(crate) elapsed_ms: u64,
    /// Time left in it.
    pub(crate) eta_ms: Option<u64>,
    /// Whether it has ended.
    pub(crate) is_over: bool,
}

impl Progress {
    /// From 0 to 1.
    pub(crate) fn share(&self) -> f32 {
        if self.is_over { 1.0 } else { self.done as f32 / self.of.max(1) as f32 }
    }
}

/// One job.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Its number.
    pub(crate) id: JobId,
    /// What was asked for.
    pub(crate) request: Request,
    /// What that meant, once the engine has said.
    pub(crate) plan: Option<Box<Plan>>,
    /// How it stands.
    pub(crate) state: State,
    /// Its phases so far, in their order.
    pub(crate) phases: Vec<Progress>,
    /// Steps done and in all.
    pub(crate) steps: Option<(u64, u64)>,
    /// Frames decoded and in all.
    pub(crate) frames: Option<(u64, u64)>,
    /// Time left in all of it.
    pub(crate) eta_ms: Option<u64>,
    /// What the engine warned of.
    pub(crate) warnings: Vec<String>,
    /// Files that are complete.
    pub(crate) files: Vec<WrittenFile>,
    /// What the clip looked like after its last step.
    pub(crate) preview: Option<Arc<Preview>>,
    /// Whether it was asked to stop.
    pub(crate) is_stopping: bool,
    /// Whether it rests.
    pub(crate) pause: Pause,
    /// How many events it has told.
    pub(crate) told: u64,
}

/// Whether a run rests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It does not.
    #[default]
    No,
    /// It will, at its next step or group of frames.
    Asked,
    /// It does.
    Resting,
}

impl Run {
    fn new(id: JobId, request: Request) -> Self {
        Self {
            id,
            request,
            plan: None,
            state: State::Running,
            phases: Vec::new(),
            steps: None,
            frames: None,
            eta_ms: None,
            warnings: Vec::new(),
            files: Vec::new(),
            preview: None,
            is_stopping: false,
            pause: Pause::No,
            told: 0,
        }
    }

    /// The finished video.
    pub(crate) fn video(&self) -> Option<&PathBuf> {
        let video = self.files.iter().find(|file| file.what == FileRole::Video);
        video.map(|file| &file.path).filter(|_| matches!(self.state, State::Finished(_)))
    }

    /// Its recording, and whether that still grows under its unfinished name.
    pub(crate) fn recording(&self) -> Option<(PathBuf, bool)> {
        let whole = self.files.iter().find(|file| file.what == FileRole::Recording);
        if let Some(whole) = whole {
            return Some((whole.path.clone(), false));
        }
        let planned = self.plan.as_ref().filter(|_| self.is_running())?.request.record.as_ref();
        planned.map(|target| (partial_of(target), true))
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Time spent in all phases so far.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.phases.iter().map(|phase| phase.elapsed_ms).sum()
    }

    /// Takes in one of its events.
    fn take(&mut self, kind: EventKind) {
        self.told += 1;
        match kind {
            EventKind::Planned { plan } => self.plan = Some(plan),
            EventKind::PhaseStarted { phase, of } => self.phases.push(Progress {
                phase,
                done: 0,
                of,
                elapsed_ms: 0,
                eta_ms: None,
                is_over: false,
            }),
            EventKind::Progress { phase, done, of, elapsed_ms, eta_ms, job_eta_ms } => {
                self.eta_ms = job_eta_ms;
                if let Some(progress) = self.phase(phase) {
                    *progress = Progress { done, of, elapsed_ms, eta_ms, ..*progress };
                }
            }
            EventKind::PhaseFinished { phase, elapsed_ms } => {
                if let Some(progress) = self.phase(phase) {
                    *progress = Progress { elapsed_ms, eta_ms: None, is_over: true, ..*progress };
                }
            }
            EventKind::Step { index, of, .. } => self.steps = Some((index + 1, of)),
            EventKind::FrameGroup { first, frames, of } => self.frames = Some((first + frames, of)),
            EventKind::Paused { .. } => self.pause = Pause::Resting,
            EventKind::Continued { .. } => self.pause = Pause::No,
            EventKind::FileWritten { file } => self.files.push(file),
            EventKind::Warning { text } => self.warnings.push(text),
            EventKind::Finished { receipt } => self.state = State::Finished(receipt),
            EventKind::Failed { error, kept, .. } => {
                (self.state, self.files) = (State::Failed(error), kept);
            }
            EventKind::Cancelled { kept } => {
                (self.state, self.files) = (State::Cancelled, kept);
            }
            // What this build does not know of says nothing that is shown here.
            _ => {}
        }
    }

    fn phase(&mut self, phase: Phase) -> Option<&mut Progress> {
        self.phases.iter_mut().find(|progress| progress.phase == phase)
    }
}

/// Every run since the window opened, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    /// Adds a job that is sent to the engine.
    pub(crate) fn start(&mut self, id: JobId, request: Request) {
        self.0.push(Run::new(id, request));
    }

    /// Adds a clip that was made before this window opened and now lies at `video`.
    pub(crate) fn ended(&mut self, id: JobId, video: &Path, receipt: Box<Receipt>) {
        let phases = receipt.phases.iter().map(|time| Progress {
            phase: time.phase,
            done: 1,
            of: 1,
            elapsed_ms: (time.seconds * 1000.0) as u64,
            eta_ms: None,
            is_over: true,
        });
        let bytes = receipt.files.iter().find(|file| file.what == FileRole::Video);
        let bytes = bytes.map_or(0, |file| file.bytes);
        let file = WrittenFile { what: FileRole::Video, path: video.to_path_buf(), bytes };
        let recording = receipt.files.iter().find(|file| file.what == FileRole::Recording).cloned();
        self.0.push(Run {
            phases: phases.collect(),
            files: std::iter::once(file).chain(recording).collect(),
            warnings: receipt.warnings.clone(),
            state: State::Finished(receipt.clone()),
            ..Run::new(id, receipt.request)
        });
    }

    /// The run of a job.
    pub(crate) fn get(&self, id: JobId) -> Option<&Run> {
        self.0.iter().find(|run| run.id == id)
    }

    /// The one that has not ended.
    pub(crate) fn running(&self) -> Option<&Run> {
        self.0.iter().find(|run| run.is_running())
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.0.iter()
    }

    /// A job's video has this name.
    pub(crate) fn named(&mut self, id: JobId, out: Option<PathBuf>) {
        if let Some(run) = self.0.iter_mut().find(|run| run.id == id) {
            run.request.out = out;
        }
    }

    /// Takes in an event of the engine; `None` when it is of no run that is known.
    pub(crate) fn event(&mut self, event: Event) -> Option<&Run> {
        let run = self.0.iter_mut().find(|run| run.id == event.job)?;
        run.take(event.kind);
        Some(run)
    }

    /// Takes in a preview.
    pub(crate) fn preview(&mut self, preview: Preview) {
        if let Some(run) = self.0.iter_mut().find(|run| run.id == preview.job) {
            run.preview = Some(Arc::new(preview));
        }
    }

    /// Remembers that a job was asked to stop.
    pub(crate) fn stopping(&mut self, id: JobId) {
        if let Some(run) = self.0.iter_mut().find(|run| run.id == id) {
            run.is_stopping = true;
        }
    }

    /// Remembers that a job was asked to rest, or to go on.
    pub(crate) fn pausing(&mut self, id: JobId, pause: Pause) {
        if let Some(run) = self.0.iter_mut().find(|run| run.id == id) {
            run.pause = pause;
        }
    }

    /// Ends what runs because the engine is gone.
    pub(crate) fn lose(&mut self, why: &str) {
        for run in self.0.iter_mut().filter(|run| run.is_running()) {
            run.state = State::Failed(why.to_owned());
        }
    }

    /// Forgets a run that has ended.
    pub(crate) fn forget(&mut self, id: JobId) {
        self.0.retain(|run| run.id != id || run.is_running());
    }
}

/// What a phase is called.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::EncodeText => "Read prompt",
        Phase::Load => "Load model",
        Phase::Denoise => "Denoise",
        Phase::Decode => "Decode",
        Phase::EncodeVideo => "Encode video",
        Phase::Measure => "Measure",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_progress_and_an_end() {
        let (id, phase) = (JobId(3), Phase::Denoise);
        let mut runs = Runs::default();
        runs.start(id, Request::default());
        let mut tell = |kind| runs.event(Event { job: id, kind }).is_some();
        assert!(tell(EventKind::PhaseStarted { phase, of: 8 }));
        tell(EventKind::Progress {
            phase,
            done: 2,
            of: 8,
            elapsed_ms: 500,
            eta_ms: Some(1500),
            job_eta_ms: Some(4000),
        });
        tell(EventKind::Step { index: 0, of: 4, sigma: 1.0, next_sigma: 0.7, elapsed_ms: 500 });
        let run = runs.running().unwrap();
        assert_eq!(
            (run.phases[0].share(), run.steps, run.eta_ms),
            (0.25, Some((1, 4)), Some(4000))
        );
        let kept = vec![WrittenFile { what: FileRole::Latents, path: "a".into(), bytes: 1 }];
        runs.event(Event { job: id, kind: EventKind::Cancelled { kept } });
        assert!(runs.running().is_none());
        assert_eq!(runs.get(id).unwrap().files.len(), 1);
        assert!(
            runs.event(Event { job: JobId(9), kind: EventKind::Cancelled { kept: Vec::new() } })
                .is_none()
        );
    }
}
