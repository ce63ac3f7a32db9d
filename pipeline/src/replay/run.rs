//! Runs a replay: the recorded clips through the recorded model.

use candle_core::Tensor;
use tessera_models::attention::{Branch, Dense, SelfAttention, Sequence};
use tessera_models::finite::is_finite;
use tessera_models::folder::ModelFolder;
use tessera_models::guidance::combine;

use super::comparing::{Candidate, Comparing};
use super::model::{Model, Parts, Tell};
use super::report::{ArmReport, Replay, Velocity};
use super::truth::relative_error;
use super::watcher::Watcher;
use super::{Arm, Spec};
use crate::attention::Resolved;
use crate::capture::LatentFormat;
use crate::machine::{Machine, dtype_name, open};
use crate::plan::rates::Rates;
use crate::plan::{Extent, Plan, Settled, sequence};
use crate::recording::{Held, Meta, Recording};
use crate::request::Request;
use crate::settings::Problem;
use crate::sparsity::SparseAttention;
use crate::sparsity::maps::Maps;
use crate::sparsity::schedule::Schedule;
use crate::sparsity::tally::{Tally, branch_name};
use crate::{Error, Result, bundled};

/// Replays steps of a recording. `tell` hears of every block that was computed and stops the replay with
/// [`Error::Cancelled`] by answering false.
///
/// # Errors
/// [`Error::Settings`] for a step or a branch that the run does not have and for settings of a method that cannot be,
/// [`Error::OtherModel`] when the folder holds other weights than were recorded, [`Error::Recording`] when the clip before a
/// step is not in it; all before any weight is read.
pub fn replay(recording: &Recording, spec: &Spec, tell: Tell<'_>) -> Result<Replay> {
    let meta = recording.meta();
    let branches = check(meta, spec)?;
    let folder = folder(recording, spec)?;
    let (plan, settled) = resolve(meta, spec, &folder)?;
    let clips = spec.steps.iter().map(|step| Ok((*step, clip(recording, *step)?)));
    let clips: Vec<(usize, Tensor)> = clips.collect::<Result<_>>()?;
    let sequence = sequence(&folder, plan.grid);
    let arms: Vec<Chosen> =
        spec.arms.iter().map(|arm| Chosen::new(arm, meta, sequence)).collect::<Result<_>>()?;
    let device = open(&settled.device)?;
    let model = Model::load(&folder, &settled, &meta.timesteps, (&branches, &device), tell)?;
    let run = Run { model, meta, sequence, guidance: settled.guidance };
    let each = if spec.propagate { 1 + arms.len() } else { 1 };
    let of = clips.len() * branches.len() * each * sequence.layers;
    let mut parts = Parts { done: 0, of, tell };
    let arms = if spec.propagate {
        run.propagate(&clips, arms, &mut parts)?
    } else {
        run.compare(&clips, arms, &mut parts)?
    };
    Ok(Replay {
        model: meta.model.name.clone(),
        prompt: meta.request.prompt.clone(),
        steps: spec.steps.clone(),
        of: meta.steps(),
        dtype: dtype_name(settled.dtype).into(),
        is_exact: meta.capture.latents == LatentFormat::F32,
        is_propagated: spec.propagate,
        arms,
    })
}

/// Refuses what the run does not have; the branches to replay.
fn check(meta: &Meta, spec: &Spec) -> Result<Vec<Branch>> {
    let mut problems = Vec::new();
    let last = meta.steps().saturating_sub(1);
    if spec.steps.is_empty() {
        problems.push(Problem::new("step", format!("steps from 0 to {last}"), "none"));
    }
    if let Some(beyond) = spec.steps.iter().find(|step| **step > last) {
        let expected = format!("from 0 to {last}, of the run's {} steps", meta.steps());
        problems.push(Problem::new("step", expected, beyond));
    }
    if spec.arms.is_empty() {
        problems.push(Problem::new("method", "at least one method", "none"));
    }
    let has = |branch: &Branch| meta.branches().contains(branch);
    if let Some(lacking) = spec.branches.iter().find(|branch| !has(branch)) {
        let expected = "cond, as the run had no guidance and so no second forward";
        problems.push(Problem::new("branch", expected, branch_name(*lacking)));
    }
    if !problems.is_empty() {
        return Err(Error::Settings(problems));
    }
    let is_wanted = |branch: &&Branch| spec.branches.is_empty() || spec.branches.contains(branch);
    Ok(meta.branches().iter().filter(is_wanted).copied().collect())
}

/// Refuses a step, branch or layer that the run does not have.
pub(super) fn check_place(meta: &Meta, step: usize, branch: Branch, layer: usize) -> Result<()> {
    let mut problems = Vec::new();
    if step >= meta.steps() {
        let expected = format!("below {}, the run's steps", meta.steps());
        problems.push(Problem::new("step", expected, step));
    }
    if !meta.branches().contains(&branch) {
        let expected = "cond, as the run had no guidance and so no second forward";
        problems.push(Problem::new("branch", expected, branch_name(branch)));
    }
    if layer >= meta.layers {
        problems.push(Problem::new("layer", format!("below {}", meta.layers), layer));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Settings(problems)) }
}

/// The recorded model.
pub(super) fn folder(recording: &Recording, spec: &Spec) -> Result<ModelFolder> {
    let meta = recording.meta();
    let asked = spec.model.clone().or_else(|| meta.request.model.clone());
    let folder = ModelFolder::open(&asked.map_or_else(bundled::model, Ok)?)?;
    if folder.fingerprint() == meta.model.fingerprint {
        return Ok(folder);
    }
    Err(Error::OtherModel {
        recording: recording.path().into(),
        model: meta.model.name.clone(),
        expected: meta.model.fingerprint.clone(),
        path: folder.path().into(),
        got: folder.fingerprint().into(),
    })
}

/// The run as it was planned, dense and on this machine.
pub(super) fn resolve(meta: &Meta, spec: &Spec, folder: &ModelFolder) -> Result<(Plan, Settled)> {
    let own =
        |asked: &Option<String>, recorded: &Option<String>| asked.clone().or(recorded.clone());
    let request = Request {
        model: Some(folder.path().into()),
        device: own(&spec.device, &meta.request.device),
        dtype: own(&spec.dtype, &meta.request.dtype),
        initial_latents: None, // the clip comes from the recording
        codec: None,
        ..Arm::new("dense").request(&meta.request.clip_only(), meta.layers)?
    };
    let plan =
        Plan::resolve_for(&request, &Machine::detect(), &Rates::default(), folder, Extent::Whole)?;
    plan.check_memory()?;
    if plan.latent_shape != meta.latent_shape {
        let reason = format!(
            "its clips have shape {:?}, where {} makes {:?} of its request",
            meta.latent_shape, plan.model.name, plan.latent_shape
        );
        return Err(Error::Recording { path: folder.path().into(), reason });
    }
    let settled = plan.settled()?;
    Ok((plan, settled))
}

/// The clip before a step.
pub(super) fn clip(recording: &Recording, step: usize) -> Result<Tensor> {
    let why = match recording.latents(step)? {
        Held::Here(clip) => return Ok(clip),
        Held::Dropped => {
            "was dropped to keep the recording within its limit; --record-limit keeps more"
        }
        Held::NotCaptured => {
            "is not in it: the run did not get there, or was recorded with --record-latents none"
        }
    };
    let reason = format!("the clip before step {step} {why}");
    Err(Error::Recording { path: recording.path().into(), reason })
}

/// A method with its settings resolved.
struct Chosen {
    /// `None` for dense attention.
    resolved: Option<Resolved>,
    report: ArmReport,
}

impl Chosen {
    fn new(arm: &Arm, meta: &Meta, sequence: Sequence) -> Result<Self> {
        let request = arm.request(&meta.request, sequence.layers)?;
        let about = (meta.model.fingerprint.as_str(), sequence, &meta.sigmas[..meta.steps()]);
        let resolved = arm.resolved(&request, about)?;
        let report = ArmReport {
            name: arm.name.clone(),
            request,
            calls: Vec::new(),
            velocities: Vec::new(),
            fallbacks: Vec::new(),
        };
        Ok(Self { resolved, report })
    }

    fn floor(&self) -> u8 {
        self.resolved.as_ref().map_or(0, |resolved| resolved.options.floor)
    }
}

/// What all forwards share.
struct Run<'a> {
    model: Model,
    meta: &'a Meta,
    sequence: Sequence,
    guidance: f64,
}

impl Run<'_> {
    /// One dense forward of each branch of each step, in which all methods are asked.
    fn compare(
        &self,
        clips: &[(usize, Tensor)],
        arms: Vec<Chosen>,
        parts: &mut Parts<'_>,
    ) -> Result<Vec<ArmReport>> {
        let (mut candidates, mut reports) = (Vec::new(), Vec::new());
        for arm in arms {
            let floor = arm.floor();
            let maps = arm.resolved.map(|Resolved { options, plan, .. }| {
                let always = Schedule::always(self.meta.steps(), self.sequence.layers);
                Maps::new(options, always, plan, self.seed())
            });
            let (tally, calls) = (Tally::new(&self.sequence), Vec::new());
            candidates.push(Candidate { maps, floor, tally, calls });
            reports.push(arm.report);
        }
        let mut comparing = Comparing::new(candidates);
        for (step, clip) in clips {
            self.velocities(*step, clip, &mut comparing, parts)?;
        }
        for (candidate, report) in comparing.candidates.into_iter().zip(&mut reports) {
            report.fallbacks = candidate.tally.fallbacks();
            report.calls = candidate.calls;
        }
        Ok(reports)
    }

    /// A forward of each branch of each step for each method, which goes on with the method's output.
    fn propagate(
        &self,
        clips: &[(usize, Tensor)],
        arms: Vec<Chosen>,
        parts: &mut Parts<'_>,
    ) -> Result<Vec<ArmReport>> {
        let mut dense = Vec::with_capacity(clips.len());
        for (step, clip) in clips {
            dense.push(self.velocities(*step, clip, &mut Dense, parts)?);
        }
        let mut reports = Vec::with_capacity(arms.len());
        for arm in arms {
            let (watcher, seen) = Watcher::new(arm.floor());
            let attention = match arm.resolved {
                Some(Resolved { options, schedule, plan, .. }) => {
                    SparseAttention::new(options, schedule, plan, self.seed())
                }
                None => SparseAttention::dense(self.meta.steps(), self.sequence.layers),
            };
            let mut attention = attention.observed(Box::new(watcher));
            let mut report = arm.report;
            for ((step, clip), dense) in clips.iter().zip(&dense) {
                let velocities = self.velocities(*step, clip, &mut attention, parts)?;
                for ((branch, ours), (_, theirs)) in velocities.iter().zip(dense) {
                    let error = relative_error(ours, theirs)?;
                    report.velocities.push(Velocity { step: *step, branch, error });
                }
                report.calls.extend(seen.take()?);
                report.fallbacks.extend(attention.tally().fallbacks());
            }
            reports.push(report);
        }
        Ok(reports)
    }

    /// The velocities of a step, by the branches' names; with both branches also the guided sum.
    fn velocities(
        &self,
        step: usize,
        clip: &Tensor,
        attention: &mut dyn SelfAttention,
        parts: &mut Parts<'_>,
    ) -> Result<Vec<(&'static str, Tensor)>> {
        attention.begin_clip(&self.sequence)?; // nothing is kept of another step
        attention.begin_step(step, self.meta.steps(), self.meta.sigmas[step])?;
        let mut velocities = Vec::new();
        for branch in self.model.branches() {
            let velocity = self.model.forward((step, branch), clip, attention, parts)?;
            if !is_finite(&velocity)? {
                let what = "the transformer's velocity (its weights are damaged, or do not fit the number format: try dtype f32)";
                let (what, step) = (what.into(), Some(step));
                return Err(tessera_models::Error::NotFinite { what, step }.into());
            }
            velocities.push((branch_name(branch), velocity));
        }
        if let [(_, cond), (_, uncond)] = velocities.as_slice() {
            velocities.push(("guided", combine(cond, uncond, self.guidance)?));
        }
        Ok(velocities)
    }

    fn seed(&self) -> u64 {
        self.meta.request.seed.unwrap_or_default()
    }
}
