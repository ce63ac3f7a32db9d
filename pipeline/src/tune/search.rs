//! The search: one setting after the other is made faster until the floor gives way.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{Floor, Kept, Place, Preset, Tuned};
use crate::machine::Machine;
use crate::plan::Plan;
use crate::request::Request;
use crate::statistics::{Interval, Paired, TimeBasis, interval};
use crate::sweep::{self, Axis, Cell, Local, Role, Sweep, Told};
use crate::{Error, Result, history, receipt};

/// The share of held-out clips that should hold the floor.
pub const HELD_OUT_SHARE: f64 = 0.9;
/// The method that is no sparse one.
const DENSE: &str = "dense";
/// Densities from safe to fast.
const DENSITIES: [f64; 6] = [0.7, 0.5, 0.35, 0.25, 0.18, 0.12];
/// Dense steps at the start, below what the method's preset says.
const WARMUPS: [&str; 2] = ["10%", "0"];

/// What is searched.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Settings of every clip: model, size, steps, seed, number format, calibration plan.
    pub base: Request,
    /// The attention method, with `/preset` when not its first.
    pub method: String,
    /// What must hold.
    pub floor: Floor,
    /// Which time is to be short.
    pub by: TimeBasis,
    /// Prompts of the search; two at least.
    pub prompts: Vec<String>,
    /// Prompts that the presets are checked on afterwards.
    pub held_out: Vec<String>,
    /// Where finished clips are kept as figures.
    pub folder: PathBuf,
    /// Clips that are made at once, each on an even share of the cores.
    pub jobs: usize,
}

/// What is told before each clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being tried: `density 0.35, clip 2 of 18`.
    pub what: String,
}

/// A setting that was tried.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) settings: Map<String, Value>,
    pub(super) closeness: Vec<f64>,
    pub(super) time: Interval,
}

/// Searches and checks. `tell` hears of each clip; `false` from it stops with [`Error::Cancelled`], and the same
/// search goes on from there.
///
/// # Errors
/// Settings that cannot run, a model that cannot be read, fewer than two prompts, a metric that these clips have not.
pub fn tune(spec: &Spec, mut tell: impl FnMut(&Progress) -> bool + Send) -> Result<Tuned> {
    if spec.prompts.len() < 2 {
        return Err(Error::Unreadable {
            what: "prompts of the search".into(),
            reason: format!("expected 2 at least, got {}", spec.prompts.len()),
        });
    }
    let first = Request { prompt: spec.prompts[0].clone(), ..spec.base.clone() };
    let plan = Plan::resolve_with(&first, &Machine::detect(), &history::rates())?;
    let mut bench = |settings: &Map<String, Value>, prompts: &[String]| {
        trial(spec, settings, prompts, &mut tell)
    };
    let trials = search(spec, |settings| bench(settings, &spec.prompts))?;
    let mut presets = choose(spec.floor, &trials);
    if !spec.held_out.is_empty() {
        for preset in &mut presets {
            let clips = if is_dense(&preset.settings) {
                Vec::new() // it is the dense run
            } else {
                bench(&preset.settings, &spec.held_out)?.closeness
            };
            let missing = spec.held_out.len() * usize::from(is_dense(&preset.settings));
            let held = clips.iter().filter(|value| preset.floor.is_held_by(**value)).count();
            preset.held_out = Some(Kept { clips: held + missing, of: spec.held_out.len() });
        }
    }
    Ok(Tuned {
        program: receipt::program(),
        model: plan.model.name.clone(),
        place: Place::of(&plan),
        steps: plan.request.steps.unwrap_or_default(),
        by: spec.by,
        prompts: spec.prompts.len(),
        presets,
    })
}

fn is_dense(settings: &Map<String, Value>) -> bool {
    settings.get("attention").is_some_and(|method| method == DENSE)
}

/// Every setting that was tried, from safe to fast: densities first, then dense steps at the start. An axis is left at the
/// first value that does not hold the floor; a density that cannot be reached ends the first.
pub(super) fn search(
    spec: &Spec,
    mut attempt: impl FnMut(&Map<String, Value>) -> Result<Trial>,
) -> Result<Vec<Trial>> {
    let mut at = Map::new();
    let (method, preset) = match spec.method.split_once('/') {
        Some((method, preset)) => (method, Some(preset)),
        None => (spec.method.as_str(), None),
    };
    at.insert("attention".into(), method.into());
    if let Some(preset) = preset {
        at.insert("preset".into(), preset.into());
    }
    if let Some(plan) = &spec.base.plan {
        at.insert("plan".into(), json!(plan));
    }
    let densities = DENSITIES.map(Value::from).to_vec();
    let warmups = WARMUPS.map(Value::from).to_vec();
    let mut trials = Vec::new();
    for (key, values) in [("density", densities), ("warmup", warmups)] {
        for value in values {
            let mut next = at.clone();
            next.insert(key.into(), value);
            let trial = match attempt(&next) {
                Err(Error::Settings(problems)) if key == "density" => {
                    tracing::info!("tune: {problems:?} ends the densities");
                    break;
                }
                trial => trial?,
            };
            let holds = spec.floor.is_held(&trial.closeness);
            trials.push(trial);
            if !holds {
                break;
            }
            at = next;
        }
        if !at.contains_key("density") {
            break; // the safest density does not hold: nothing faster will
        }
    }
    Ok(trials)
}

/// The three presets: dense, and the fastest setting that holds half the loss and the floor itself. Where nothing that holds is
/// faster than dense, that is dense.
pub(super) fn choose(floor: Floor, trials: &[Trial]) -> Vec<Preset> {
    let one = Interval { median: 1.0, low: 1.0, high: 1.0 };
    let equal = if floor.metric == super::Metric::Psnr { f64::INFINITY } else { 1.0 };
    let dense = |name: &str, floor: Floor| Preset {
        name: name.into(),
        settings: Map::from_iter([("attention".into(), DENSE.into())]),
        floor,
        closeness: Interval { median: equal, low: equal, high: equal },
        time: one,
        held_out: None,
    };
    let fastest = |name: &str, floor: Floor| {
        let held = trials.iter().filter(|trial| floor.is_held(&trial.closeness));
        let faster = held.filter(|trial| trial.time.median < 1.0);
        let best = faster.min_by(|a, b| a.time.median.total_cmp(&b.time.median));
        let found = best.and_then(|trial| {
            Some(Preset {
                settings: trial.settings.clone(),
                closeness: interval(&trial.closeness)?,
                time: trial.time,
                ..dense(name, floor)
            })
        });
        found.unwrap_or_else(|| dense(name, floor))
    };
    vec![dense("exact", floor), fastest("balanced", floor.halved()), fastest("fast", floor)]
}

/// Makes one setting's clips beside the dense ones, as far as they are not there.
fn trial(
    spec: &Spec,
    settings: &Map<String, Value>,
    prompts: &[String],
    tell: &mut (impl FnMut(&Progress) -> bool + Send),
) -> Result<Trial> {
    let words: Vec<String> = settings
        .iter()
        .filter(|(key, _)| *key != "plan")
        .map(|(key, value)| {
            value.as_str().map_or_else(|| format!("{key} {value}"), |text| format!("{key} {text}"))
        })
        .collect();
    let name = words.join(", ");
    let mut common = match serde_json::to_value(&spec.base) {
        Ok(Value::Object(common)) => common,
        _ => Map::new(),
    };
    common.retain(|key, _| {
        !["version", "prompt", "seed", "count"].contains(&key.as_str())
            && !settings.contains_key(key)
    });
    let point = Axis { name: "trial".into(), points: vec![settings.clone()] };
    let sweep = Sweep {
        title: name.clone(),
        prompts: prompts.to_vec(),
        seeds: vec![spec.base.seed.unwrap_or_default()],
        settings: common,
        axes: vec![point],
        ..Sweep::default()
    };
    let last = Mutex::new((tell, String::new()));
    let results = sweep::run_more(&sweep, &spec.folder, &Local { jobs: spec.jobs }, &|progress| {
        let arm = match &progress.event {
            Told::Doing { arm, .. } | Told::Finished { arm, .. } => arm.as_str(),
            Told::Waiting => "waiting for others",
            Told::Notice(text) => text,
        };
        let clip = (progress.finished + 1).min(progress.of);
        let what = format!("{name}: clip {clip} of {}, {arm}", progress.of);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        // A clip is told once, however often the sweep tells of it.
        if last.1 == what {
            return true;
        }
        last.1.clone_from(&what);
        (last.0)(&Progress { what })
    })?;
    if let Some(refused) = results.cells().find_map(|cell| cell.error()) {
        return Err(Error::Settings(vec![crate::settings::Problem {
            key: "density".into(),
            expected: refused.into(),
            got: name,
        }]));
    }
    let of = |role: Role| results.cells().filter(move |cell| cell.role == role);
    let seconds = |cell: &Cell| {
        let made = cell.made()?;
        Some(match spec.by {
            TimeBasis::EndToEnd => made.clip_seconds(),
            TimeBasis::Attention => made.attention_seconds,
        })
    };
    let times = |role| {
        of(role).filter_map(|cell| Some((cell.prompt.clone(), seconds(cell)?))).collect::<Vec<_>>()
    };
    let closeness: Option<Vec<f64>> =
        of(Role::Compared).map(|cell| spec.floor.metric.of(cell)).collect();
    let unmeasured = || {
        Error::Unreadable {
        what: spec.floor.to_string(),
        reason: "expected clips that have this figure, got clips too small for it, or without latents; choose ssim or psnr".into(),
    }
    };
    let time = Paired::new(times(Role::Compared), times(Role::Repeat(1)))
        .ratio()
        .ok_or_else(unmeasured)?;
    Ok(Trial { settings: settings.clone(), closeness: closeness.ok_or_else(unmeasured)?, time })
}
