//! Step replay: a recorded step once more with Studio's attention settings, the error of each head, and heads to keep dense.
//!
//! [`tessera_pipeline::replay`] does the work on a thread of its own ([`desk`]); what it told stays until another step is
//! replayed or another recording is opened.

mod desk;
pub(super) mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tessera_pipeline::capture::LatentFormat;
use tessera_pipeline::replay::{Arm, Head, Progress, Replay, Summary};
use tessera_pipeline::sparsity::heads::Heads;

pub(crate) use desk::{Desk, Job, News, Told};

use super::subject::{Look, Subject};
use crate::text::duration;
use crate::window::log::Level;
use crate::window::models::Model;
use crate::window::runs::Run;
use crate::window::store::Store;

/// What a view may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wish {
    /// Replay the step that is looked at.
    Start,
    /// Stop the replay.
    Cancel,
    /// Take the attention settings of the recorded run into the form.
    TakeRun,
    /// Choose a [layer, head], or choose it no more.
    Toggle([usize; 2]),
    /// So many heads are the worst.
    Count(usize),
    /// Choose the heads with the largest errors.
    Worst,
    /// Choose none.
    Nothing,
    /// Let the chosen heads stay dense, in the form.
    KeepDense,
}

/// A replay that goes on.
struct Going {
    number: u64,
    step: usize,
    progress: Option<Progress>,
    cancel: Arc<AtomicBool>,
}

/// What a replay found.
pub(crate) struct Found {
    /// The step.
    pub(crate) step: usize,
    /// What the method was called with, in words.
    pub(crate) name: String,
    /// Of each branch.
    pub(crate) summaries: Vec<Option<Summary>>,
    /// What did not run as asked.
    pub(crate) fallbacks: Vec<String>,
    /// Whether the clip was recorded as it was, and not rounded.
    pub(crate) is_exact: bool,
    /// All of it.
    pub(crate) replay: Arc<Replay>,
    heads: BTreeMap<[usize; 3], Head>,
}

/// The replay of the recording that is open.
pub(crate) struct Replaying {
    going: Option<Going>,
    found: Option<Found>,
    /// Why the last one came to nothing.
    pub(crate) failure: Option<String>,
    chosen: BTreeSet<[usize; 2]>,
    /// How many heads [`Wish::Worst`] chooses.
    pub(crate) count: usize,
    number: u64,
}

impl Default for Replaying {
    fn default() -> Self {
        let (going, found, failure, chosen) = (None, None, None, BTreeSet::new());
        Self { going, found, failure, chosen, count: 3, number: 0 }
    }
}

impl Replaying {
    /// Another recording is open: what goes on is stopped, what was found is of no use.
    pub(super) fn clear(&mut self) {
        self.cancel();
        *self = Self { count: self.count, number: self.number, ..Self::default() };
    }

    /// What the last replay found.
    pub(crate) fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    /// What was replayed of a head, if it was.
    pub(crate) fn head(&self, look: Look) -> Option<&Head> {
        self.found.as_ref().filter(|found| found.step == look.step)?.head(look)
    }

    /// Whether a [layer, head] is chosen.
    pub(crate) fn is_chosen(&self, head: [usize; 2]) -> bool {
        self.chosen.contains(&head)
    }

    /// How many are chosen.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen.len()
    }

    /// Whether one goes on: the step, and how far it is.
    pub(crate) fn going(&self) -> Option<(usize, Option<Progress>)> {
        self.going.as_ref().map(|going| (going.step, going.progress))
    }

    fn cancel(&mut self) {
        if let Some(going) = &self.going {
            going.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Takes in what the desk told; what is of an earlier replay is passed over.
    pub(super) fn take(&mut self, subject: &Subject, told: Told) {
        let Some(going) = self.going.as_mut().filter(|going| going.number == told.number) else {
            return;
        };
        match told.news {
            News::Progress(progress) => going.progress = Some(progress),
            News::Done(result) => {
                let step = going.step;
                (self.going, self.failure) = (None, None);
                match result {
                    Ok(replay) => {
                        self.found = Found::new(subject, step, *replay);
                        self.chosen.clear();
                    }
                    Err(error) => self.failure = Some(error),
                }
            }
            News::Cancelled => self.going = None,
        }
    }
}

impl Found {
    /// By the layers and heads of a recording.
    fn new(subject: &Subject, step: usize, replay: Replay) -> Option<Self> {
        let is_exact = replay.is_exact;
        let arm = replay.arms.first()?;
        let names = ["cond", "uncond"];
        let count = subject.meta.branches().len();
        let of_branch = |branch: usize| {
            Summary::of(arm.calls.iter().filter(|call| call.branch == names[branch.min(1)]))
        };
        let summaries = (0..count).map(of_branch).collect();
        let mut heads = BTreeMap::new();
        for call in &arm.calls {
            let branch = names.iter().position(|name| *name == call.branch).unwrap_or_default();
            heads.extend(call.heads.iter().map(|head| ([branch, call.layer, head.head], *head)));
        }
        let (name, fallbacks) = (arm.name.clone(), arm.fallbacks.clone());
        Some(Self { step, name, summaries, fallbacks, is_exact, heads, replay: Arc::new(replay) })
    }

    /// One head; the step of `look` is not asked for.
    pub(crate) fn head(&self, look: Look) -> Option<&Head> {
        self.heads.get(&[look.branch, look.layer, look.head])
    }

    /// The heads of a branch, the largest error first.
    pub(crate) fn worst(&self, branch: usize) -> Vec<([usize; 2], Head)> {
        let of_branch = self.heads.iter().filter(|([of, ..], _)| *of == branch);
        let mut all: Vec<_> =
            of_branch.map(|([_, layer, head], found)| ([*layer, *head], *found)).collect();
        all.sort_by(|a, b| b.1.error.total_cmp(&a.1.error));
        all
    }
}

/// Why the step that is looked at cannot be replayed, and what to do; `None` when it can.
pub(crate) fn refusal(store: &Store) -> Option<String> {
    let lens = &store.lens;
    let Some(subject) = lens.subject() else { return Some("No recording is open.".into()) };
    if lens.replays.going.is_some() {
        return Some("A step is being replayed.".into());
    }
    if subject.meta.capture.latents == LatentFormat::None {
        return Some(
            "This recording kept no latents, from which a step is run again: set Record latents to f16 (or f32) under Recording in Studio, and make the clip again.".into(),
        );
    }
    if let Some(run) = store.runs.running() {
        return Some(meanwhile(run, store.queue.waiting().len(), store.queue.is_held));
    }
    let (request, wrong) = store.draft.request();
    let is_dense = request.attention.as_deref().is_none_or(|name| name == "dense");
    if is_dense {
        return Some("Studio's attention is dense, which has no error: choose a method.".into());
    }
    wrong.into_iter().next()
}

/// Why nothing is replayed beside a clip that is being made, and when it can be.
fn meanwhile(run: &Run, waiting: usize, is_held: bool) -> String {
    let end = run.eta_ms.map_or_else(String::new, |left| format!(", in about {}", duration(left)));
    let rest = if waiting == 0 || is_held {
        ""
    } else if waiting == 1 {
        ". Hold the queue to come before the clip that waits"
    } else {
        ". Hold the queue to come before the clips that wait"
    };
    format!(
        "A clip is being made, which has the processor and the memory that was planned for it. Replay when it has ended{end}{rest}."
    )
}

/// Does what a view asked for.
pub(crate) fn apply(store: &mut Store, desk: &Desk, wish: Wish) {
    match wish {
        Wish::Start => start(store, desk),
        Wish::Cancel => store.lens.replays.cancel(),
        Wish::TakeRun => {
            if let Some(request) = store.lens.subject().map(|subject| subject.meta.request.clone())
            {
                store.draft.take_attention(&request);
            }
        }
        Wish::Toggle(head) => {
            let chosen = &mut store.lens.replays.chosen;
            if !chosen.remove(&head) {
                chosen.insert(head);
            }
        }
        Wish::Count(count) => store.lens.replays.count = count,
        Wish::Worst => {
            let now = store.trail.now();
            let branch = store.lens.subject().map_or(0, |subject| subject.look(now).branch);
            let replays = &mut store.lens.replays;
            let worst = replays.found.as_ref().map(|found| found.worst(branch)).unwrap_or_default();
            let count = replays.count;
            replays.chosen = worst.into_iter().take(count).map(|(head, _)| head).collect();
        }
        Wish::Nothing => store.lens.replays.chosen.clear(),
        Wish::KeepDense => keep_dense(store),
    }
}

fn start(store: &mut Store, desk: &Desk) {
    let why = refusal(store);
    let cursor = store.trail.now();
    let (Some(subject), None) = (store.lens.subject(), &why) else {
        store.log.say(Level::Warning, why.unwrap_or_default());
        return;
    };
    let request = store.draft.request().0;
    let step = subject.look(cursor).step;
    let models = store.models.iter().flatten().filter(|model| model.problems.is_empty());
    let path = subject.path.clone();
    let models: Vec<_> = models.map(|model: &Model| model.path.clone()).collect();
    let arm = Arm::of(&described(&request), &request);
    let replays = &mut store.lens.replays;
    replays.number += 1;
    let (number, cancel) = (replays.number, Arc::new(AtomicBool::new(false)));
    let job = Job { number, path, step, arm, models, cancel: Arc::clone(&cancel) };
    if desk.begin(job) {
        replays.failure = None;
        replays.going = Some(Going { number, step, progress: None, cancel });
    } else {
        replays.failure = Some("The replay before has not ended yet; try again.".into());
    }
}

/// The method of a request in a few words.
fn described(request: &tessera_pipeline::request::Request) -> String {
    let mut text = request.attention.clone().unwrap_or_default();
    for part in [
        request.preset.clone(),
        request.density.map(|density| format!("density {density}")),
        request.thresholds.as_ref().map(|ends| format!("thresholds {ends}")),
        request.dense_heads.as_ref().map(|heads| format!("dense heads {heads}")),
    ]
    .into_iter()
    .flatten()
    {
        text = format!("{text}, {part}");
    }
    text
}

/// Adds the chosen heads to those that stay dense, in the form.
fn keep_dense(store: &mut Store) {
    let Some(subject) = store.lens.subject() else { return };
    let (layers, heads) = (subject.meta.layers, subject.meta.heads);
    let chosen = store.lens.replays.chosen.iter().copied();
    let given: Heads = store.draft.text("dense_heads").parse().unwrap_or_default();
    let given = given.resolve(layers, heads).unwrap_or_default();
    let all = Heads::new(given.into_iter().chain(chosen)).to_string();
    store.log.say(Level::Info, format!("Studio now keeps the heads {all} dense (layer:head)."));
    store.draft.set("dense_heads", Some(Value::from(all)));
}
