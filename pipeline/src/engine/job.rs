//! A job as the run sees it: it tells what happens, keeps time, and hears when to stop.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tessera_models::watch::Watch;

use super::{Inbox, Outbox};
use crate::capture::Recorder;
use crate::events::{Event, EventKind, FileRole, JobId, Phase, WrittenFile};
use crate::latest::Latest;
use crate::plan::Plan;
use crate::preview::Preview;
use crate::receipt::{KernelUse, PhaseTime, Receipt};
use crate::{Error, Result};

/// Progress is sent at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// One running job.
pub(crate) struct Job<'a> {
    id: JobId,
    inbox: &'a mut Inbox,
    events: &'a Sender<Event>,
    previews: &'a Latest<Preview>,
    /// Predicted seconds of the phases, in their order.
    planned: Vec<(Phase, f64, f64)>,
    now: Option<Running>,
    times: Vec<PhaseTime>,
    kept: Vec<WrittenFile>,
    warnings: Vec<String>,
    kernels: Vec<KernelUse>,
    recorder: Option<Recorder>,
    is_stopped: bool,
}

/// The phase that runs.
struct Running {
    phase: Phase,
    of: u64,
    started: Instant,
    told: Instant,
    is_skipped: bool,
    /// The work that was really done, where that is not what the plan said.
    work: Option<f64>,
}

/// Whether a job goes on.
type Stop = ControlFlow<()>;

impl<'a> Job<'a> {
    pub(crate) fn new(id: JobId, inbox: &'a mut Inbox, outbox: &'a Outbox) -> Self {
        Self {
            id,
            inbox,
            events: &outbox.0,
            previews: &outbox.1,
            planned: Vec::new(),
            now: None,
            times: Vec::new(),
            kept: Vec::new(),
            warnings: Vec::new(),
            kernels: Vec::new(),
            recorder: None,
            is_stopped: false,
        }
    }

    /// Sends an event and waits for room. Nobody reading is no reason to stop.
    pub(crate) fn tell(&self, kind: EventKind) {
        if let Some(recorder) = &self.recorder {
            recorder.event(&kind);
        }
        let _ = self.events.send(Event { job: self.id, kind });
    }

    /// Sends a warning and remembers it for the receipt.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        tracing::warn!("{text}");
        self.warnings.push(text.clone());
        self.tell(EventKind::Warning { text });
    }

    /// Shows what the clip looks like now, to whoever watches.
    pub(crate) fn preview(&self, preview: impl FnOnce(JobId) -> Preview) {
        self.previews.put(preview(self.id));
    }

    /// Tells the plan and its warnings.
    pub(crate) fn planned(&mut self, plan: &Plan) {
        self.planned =
            plan.phases.iter().map(|phase| (phase.phase, phase.seconds, phase.work)).collect();
        self.tell(EventKind::Planned { plan: Box::new(plan.clone()) });
        for warning in plan.warnings.clone() {
            self.warn(warning);
        }
    }

    /// Whether someone asked this job to stop.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.is_stopped = self.is_stopped || self.inbox.stops(self.id);
        if self.is_stopped { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// A place to rest: nothing is half done here. Returns at once unless the job was paused, then when it is to go on or to stop.
    /// The phase's clock stands meanwhile.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.check()?;
        let Some(phase) = self.now.as_ref().map(|running| running.phase) else { return Ok(()) };
        if !self.inbox.is_paused() {
            return Ok(());
        }
        let began = Instant::now();
        self.tell(EventKind::Paused { phase });
        while self.inbox.is_paused() && !self.is_stopped {
            self.is_stopped = self.inbox.rests(self.id);
        }
        let paused = began.elapsed();
        if let Some(running) = &mut self.now {
            running.started += paused;
        }
        self.tell(EventKind::Continued { phase, paused_ms: paused.as_millis() as u64 });
        self.check()
    }

    /// Starts a phase of `of` parts.
    pub(crate) fn start(&mut self, phase: Phase, of: u64) {
        let now = Instant::now();
        let (is_skipped, work) = (false, None);
        self.now = Some(Running { phase, of, started: now, told: now, is_skipped, work });
        self.tell(EventKind::PhaseStarted { phase, of });
    }

    /// Says that the running phase had nothing to do, so that its time is no measure of speed.
    pub(crate) fn skip(&mut self) {
        if let Some(running) = &mut self.now {
            running.is_skipped = true;
        }
    }

    /// Says how much the running phase really did, where the plan could only expect it.
    pub(crate) fn worked(&mut self, work: f64) {
        if let Some(running) = &mut self.now {
            running.work = Some(work);
        }
    }

    /// Tells progress of the running phase, if it is time to, and hears whether to stop.
    pub(crate) fn progress(&mut self, done: u64) -> Stop {
        if let Some(running) = &mut self.now
            && running.told.elapsed() >= PROGRESS_EVERY
        {
            running.told = Instant::now();
            let kind = progress(running, done, &self.planned);
            let _ = self.events.try_send(Event { job: self.id, kind }); // a full channel has older progress in it
        }
        match self.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Ends the running phase.
    pub(crate) fn finish(&mut self) {
        let Some(running) = self.now.take() else { return };
        let elapsed = running.started.elapsed();
        let (seconds, work) = planned(&self.planned, running.phase);
        self.tell(progress(&running, running.of, &self.planned));
        self.tell(EventKind::PhaseFinished {
            phase: running.phase,
            elapsed_ms: elapsed.as_millis() as u64,
        });
        self.times.push(PhaseTime {
            phase: running.phase,
            seconds: elapsed.as_secs_f64(),
            planned_seconds: seconds,
            work: if running.is_skipped { 0.0 } else { running.work.unwrap_or(work) },
        });
    }

    /// A watch that counts `share` parts of the running phase from `base` on.
    pub(crate) fn watch(&mut self, base: u64, share: u64) -> PartWatch<'_, 'a> {
        PartWatch { job: self, base, share }
    }

    /// A file is complete: tells so and keeps it in mind for whatever comes.
    pub(crate) fn wrote(&mut self, what: FileRole, path: &std::path::Path, bytes: u64) {
        let file = WrittenFile { what, path: path.to_path_buf(), bytes };
        self.kept.retain(|kept| kept.path != file.path);
        self.kept.push(file.clone());
        if what == FileRole::Latents {
            self.tell(EventKind::LatentsSaved { path: path.to_path_buf() });
        }
        self.tell(EventKind::FileWritten { file });
    }

    /// A file of this job is not there any more.
    pub(crate) fn removed(&mut self, path: &std::path::Path) {
        self.kept.retain(|kept| kept.path != path);
    }

    /// A file that was there before and stays, such as the latents that are decoded again.
    pub(crate) fn holds(&mut self, file: WrittenFile) {
        self.kept.push(file);
    }

    /// Times of the phases so far.
    pub(crate) fn times(&self) -> Vec<PhaseTime> {
        self.times.clone()
    }

    /// Warnings so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Notes which kernels ran.
    pub(crate) fn ran(&mut self, kernels: Vec<KernelUse>) {
        self.kernels.extend(kernels);
    }

    /// The kernels that were noted.
    pub(crate) fn kernels(&self) -> &[KernelUse] {
        &self.kernels
    }

    /// Files so far.
    pub(crate) fn files(&self) -> Vec<WrittenFile> {
        self.kept.clone()
    }

    /// Records what follows.
    pub(crate) fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Who records this job.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Warns when the recording has become incomplete.
    pub(crate) fn check_recording(&mut self) {
        if let Some(failure) = self.recorder.as_ref().and_then(Recorder::take_failure) {
            self.warn(format!(
                "The recording is incomplete: {failure}. The clip is as it would be without."
            ));
        }
    }

    /// Completes the recording, if there is one, with the job's last event. Its failure is a warning, never the job's.
    pub(crate) fn end_recording(&mut self, last: &EventKind) {
        self.check_recording();
        let Some(recorder) = self.recorder.take() else { return };
        let partial = recorder.partial().to_path_buf();
        match recorder.finish(last) {
            Ok(file) => self.wrote(file.what, &file.path, file.bytes),
            Err(error) => self.warn(format!(
                "The recording could not be completed: {error}. What it holds is in {}.",
                partial.display()
            )),
        }
    }

    /// Sends the last event.
    pub(crate) fn end(mut self, outcome: Result<Receipt>) {
        let mut kind = match outcome {
            Ok(receipt) => EventKind::Finished { receipt: Box::new(receipt) },
            Err(error) if error.is_cancelled() => EventKind::Cancelled { kept: self.kept.clone() },
            Err(error) => EventKind::Failed {
                kind: error.kind(),
                error: with_causes(&error),
                kept: self.kept.clone(),
            },
        };
        self.end_recording(&kind);
        if let EventKind::Cancelled { kept } | EventKind::Failed { kept, .. } = &mut kind {
            kept.clone_from(&self.kept); // the recording is among them now
        }
        self.tell(kind);
    }
}

/// Seconds and work that the plan gives a phase.
fn planned(planned: &[(Phase, f64, f64)], phase: Phase) -> (f64, f64) {
    planned
        .iter()
        .find(|(which, ..)| *which == phase)
        .map_or((0.0, 0.0), |(_, seconds, work)| (*seconds, *work))
}

/// The event for `done` parts, with the time left: by the rate so far once there is one, by the plan before.
fn progress(running: &Running, done: u64, plan: &[(Phase, f64, f64)]) -> EventKind {
    let elapsed = running.started.elapsed().as_secs_f64();
    let left = if done == 0 {
        (planned(plan, running.phase).0 - elapsed).max(0.0)
    } else {
        elapsed * (running.of.saturating_sub(done)) as f64 / done as f64
    };
    let later: f64 = plan
        .iter()
        .filter(|(phase, ..)| *phase > running.phase)
        .map(|(_, seconds, _)| seconds)
        .sum();
    let in_ms = |seconds: f64| (seconds * 1000.0) as u64;
    EventKind::Progress {
        phase: running.phase,
        done,
        of: running.of,
        elapsed_ms: in_ms(elapsed),
        eta_ms: Some(in_ms(left)),
        job_eta_ms: Some(in_ms(left + later)),
    }
}

/// An error and its causes in one text, without saying anything twice.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = source.source();
    }
    text
}

/// Turns ticks of a call into progress of the running phase.
pub(crate) struct PartWatch<'j, 'a> {
    job: &'j mut Job<'a>,
    base: u64,
    share: u64,
}

impl Watch for PartWatch<'_, '_> {
    fn tick(&mut self, done: usize, of: usize) -> Stop {
        let part = self.share * done as u64 / (of as u64).max(1);
        self.job.progress(self.base + part.min(self.share))
    }
}
