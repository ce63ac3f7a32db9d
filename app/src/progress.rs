//! Progress for people, on standard error: one bar a phase on a terminal, plain lines elsewhere.
//!
//! Both show the same words. A bar moves with every event and leaves one line when its phase ends. Plain
//! lines come when a phase ends and, within a phase, at most once in ten seconds, so that a log of an hour's
//! render stays a page long. Percent and time left are the engine's: it knows the phases to come, a bar only itself.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tessera_pipeline::events::{EventKind, Phase};

use crate::text::{duration, plural};

/// The shortest time between two lines of one phase.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Where progress is drawn.
pub(crate) enum Progress {
    /// A terminal: bars that move.
    Bars(Bars),
    /// A file or a pipe: lines.
    Lines(Lines<io::Stderr>),
    /// Nothing but errors.
    Quiet,
}

impl Progress {
    /// Bars when standard error is a terminal, lines when it is not, nothing when `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        use io::IsTerminal as _;
        if quiet {
            Self::Quiet
        } else if io::stderr().is_terminal() {
            Self::Bars(Bars::default())
        } else {
            Self::Lines(Lines::new(io::stderr()))
        }
    }

    /// Shows one event of the job that runs.
    pub(crate) fn event(&mut self, event: &EventKind) {
        match self {
            Self::Bars(bars) => bars.event(event),
            Self::Lines(lines) => lines.event(event),
            Self::Quiet => {}
        }
    }

    /// Says something that stays on the screen: a heading, a warning, a summary.
    pub(crate) fn say(&mut self, text: &str) {
        match self {
            Self::Bars(bars) => bars.say(text),
            Self::Lines(lines) => lines.say(text),
            Self::Quiet => {}
        }
    }

    /// Runs `write` while no bar is on the screen, so that a result on standard output is not drawn over.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self {
            Self::Bars(bars) => bars.multi.suspend(write),
            Self::Lines(_) | Self::Quiet => write(),
        }
    }
}

/// What a phase is called on the screen.
fn label(phase: Phase) -> &'static str {
    match phase {
        Phase::EncodeText => "read prompt",
        Phase::Load => "load model",
        Phase::Denoise => "denoise",
        Phase::Decode => "decode",
        Phase::EncodeVideo => "encode video",
        Phase::Measure => "measure",
        other => other.name(),
    }
}

/// The phase that runs, as far as its events have told.
#[derive(Debug, Clone, Copy)]
struct Running {
    phase: Phase,
    done: u64,
    of: u64,
    /// Steps of the denoising or frames of the decoding: what a person counts in.
    counted: Option<(u64, u64)>,
    eta_ms: Option<u64>,
    job_eta_ms: Option<u64>,
}

impl Running {
    fn new(phase: Phase, of: u64) -> Self {
        Self { phase, done: 0, of, counted: None, eta_ms: None, job_eta_ms: None }
    }

    /// Takes in an event; false when it says nothing about progress.
    fn update(&mut self, event: &EventKind) -> bool {
        match *event {
            EventKind::Progress { phase, done, of, eta_ms, job_eta_ms, .. }
                if phase == self.phase =>
            {
                (self.done, self.of, self.eta_ms, self.job_eta_ms) = (done, of, eta_ms, job_eta_ms);
                true
            }
            EventKind::Step { index, of, .. } => {
                self.counted = Some((index + 1, of));
                true
            }
            EventKind::FrameGroup { first, frames, of } => {
                self.counted = Some((first + frames, of));
                true
            }
            _ => false,
        }
    }

    fn percent(&self) -> u64 {
        (self.done.min(self.of) * 100).checked_div(self.of).unwrap_or(0)
    }

    /// The noun of what is counted.
    fn noun(&self) -> &'static str {
        if self.phase == Phase::Denoise { "step" } else { "frame" }
    }

    /// `step 3 of 20, 12 s left (1 min 05 s in all)`.
    fn message(&self) -> String {
        let mut parts = Vec::new();
        if let Some((done, of)) = self.counted {
            parts.push(format!("{} {done} of {of}", self.noun()));
        }
        match (self.eta_ms, self.job_eta_ms) {
            (Some(phase), Some(job)) if job / 1000 > phase / 1000 => {
                parts.push(format!("{} left ({} in all)", duration(phase), duration(job)));
            }
            (Some(left), _) | (None, Some(left)) => parts.push(format!("{} left", duration(left))),
            (None, None) => {}
        }
        parts.join(", ")
    }

    /// `stopped at 34 %`, of a phase that did not end.
    fn stop(&self) -> String {
        format!("stopped at {} %", self.percent())
    }

    /// `20 steps in 12 s`.
    fn summary(&self, elapsed_ms: u64) -> String {
        match self.counted {
            Some((_, of)) => format!("{} in {}", plural(of, self.noun()), duration(elapsed_ms)),
            None => duration(elapsed_ms),
        }
    }
}

/// Bars on a terminal.
#[derive(Default)]
pub(crate) struct Bars {
    multi: MultiProgress,
    running: Option<(Running, ProgressBar)>,
}

impl Bars {
    fn event(&mut self, event: &EventKind) {
        match *event {
            EventKind::PhaseStarted { phase, of } => {
                let bar = self.multi.add(ProgressBar::new(of).with_style(style()));
                bar.set_prefix(label(phase));
                // The clock of the bar goes on while a single step takes its minute.
                bar.enable_steady_tick(Duration::from_millis(250));
                self.running = Some((Running::new(phase, of), bar));
            }
            EventKind::PhaseFinished { phase, elapsed_ms } => {
                if let Some((running, bar)) =
                    self.running.take_if(|(running, _)| running.phase == phase)
                {
                    self.retire(&bar);
                    self.say(&format!("{:>12}: {}", label(phase), running.summary(elapsed_ms)));
                }
            }
            ref last if last.is_last() => {
                if let Some((running, bar)) = self.running.take() {
                    self.retire(&bar);
                    self.say(&format!(
                        "{:>12}: stopped at {} %",
                        label(running.phase),
                        running.percent()
                    ));
                }
            }
            ref other => {
                if let Some((running, bar)) = &mut self.running
                    && running.update(other)
                {
                    bar.set_length(running.of);
                    bar.set_position(running.done);
                    bar.set_message(running.message());
                }
            }
        }
    }

    /// Takes a bar off the screen: what stays of a phase is a line, in its place among the other lines.
    fn retire(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.multi.remove(bar);
    }

    fn say(&self, text: &str) {
        self.multi.suspend(|| say(&mut io::stderr(), text));
    }
}

/// The look of a bar. The template is a constant of this file; a wrong one would fall back to indicatif's own look.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>12} {bar:28} {percent:>3} %  {elapsed:>4}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸·")
}

/// Lines in a log.
pub(crate) struct Lines<W> {
    out: W,
    running: Option<Running>,
    last_line: Instant,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self { out, running: None, last_line: Instant::now() }
    }

    fn event(&mut self, event: &EventKind) {
        match *event {
            EventKind::PhaseStarted { phase, of } => {
                self.running = Some(Running::new(phase, of));
                self.last_line = Instant::now();
            }
            EventKind::PhaseFinished { phase, elapsed_ms } => {
                if let Some(running) = self.running.take_if(|running| running.phase == phase) {
                    let line = format!("{}: {}", label(phase), running.summary(elapsed_ms));
                    self.say(&line);
                }
            }
            ref last if last.is_last() => {
                if let Some(running) = self.running.take() {
                    let line = format!("{}: {}", label(running.phase), running.stop());
                    self.say(&line);
                }
            }
            ref other => {
                let Some(running) = &mut self.running else { return };
                if running.update(other) && self.last_line.elapsed() >= LINE_INTERVAL {
                    let line = format!(
                        "{}: {} %, {}",
                        label(running.phase),
                        running.percent(),
                        running.message()
                    );
                    self.last_line = Instant::now();
                    self.say(&line);
                }
            }
        }
    }

    fn say(&mut self, text: &str) {
        say(&mut self.out, text);
    }
}

/// Writes a line of progress. A log that nobody reads any more is no reason to stop a render.
pub(crate) fn say(out: &mut impl Write, text: &str) {
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<EventKind> {
        let progress = |done| EventKind::Progress {
            phase: Phase::Denoise,
            done,
            of: 8,
            elapsed_ms: 1_000,
            eta_ms: Some(3_000),
            job_eta_ms: Some(65_000),
        };
        let step =
            EventKind::Step { index: 0, of: 2, sigma: 1.0, next_sigma: 0.5, elapsed_ms: 900 };
        vec![
            EventKind::PhaseStarted { phase: Phase::Denoise, of: 8 },
            progress(2),
            step,
            progress(4),
            EventKind::PhaseFinished { phase: Phase::Denoise, elapsed_ms: 12_345 },
        ]
    }

    #[test]
    fn a_log_gets_one_line_a_phase() {
        let mut lines = Lines::new(Vec::new());
        for event in events() {
            lines.event(&event);
        }
        assert_eq!(String::from_utf8(lines.out).expect("text"), "denoise: 2 steps in 12 s\n");
    }

    #[test]
    fn a_slow_phase_says_where_it_is() {
        let mut lines = Lines::new(Vec::new());
        for event in &events()[..3] {
            lines.event(event);
        }
        lines.last_line =
            Instant::now().checked_sub(LINE_INTERVAL).expect("the machine is up for ten seconds");
        lines.event(&events()[3]);
        let said = String::from_utf8(lines.out).expect("text");
        assert_eq!(said, "denoise: 50 %, step 1 of 2, 3.0 s left (1 min 05 s in all)\n");
    }

    #[test]
    fn a_phase_that_is_cut_off_says_how_far_it_came() {
        let mut lines = Lines::new(Vec::new());
        for event in events()[..4].iter().chain(&[EventKind::Cancelled { kept: Vec::new() }]) {
            lines.event(event);
        }
        assert_eq!(String::from_utf8(lines.out).expect("text"), "denoise: stopped at 50 %\n");
    }

    #[test]
    fn bars_survive_every_order_of_events() {
        let mut bars = Bars::default();
        for event in events().iter().rev().chain(&events()) {
            bars.event(event);
        }
        assert!(bars.running.is_none());
    }
}
