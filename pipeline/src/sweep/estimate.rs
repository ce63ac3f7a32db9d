//! What a sweep will take before it starts: clips, time and disk, by the plan's own predictions.

use std::path::PathBuf;

use super::cells::{Planned, Role};
use super::folder::Folder;
use crate::Result;
use crate::events::Phase;
use crate::machine::Machine;
use crate::plan::Plan;
use crate::plan::rates::Rates;
use crate::request::Request;

/// Row, thumbnail and receipt of a clip without its calls, in bytes.
const SMALL_FILES: u64 = 64 << 10;

/// What is left to do in a sweep's folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Estimate {
    /// Clips of the sweep.
    pub clips: usize,
    /// Clips that are finished already.
    pub finished: usize,
    /// Time of those that are not, one after another, warm-up left out.
    pub seconds: f64,
    /// Whether the time rests on earlier runs here; otherwise it is a guess.
    pub is_measured: bool,
    /// Disk that those need.
    pub bytes: u64,
    /// Arms that cannot be made, with the reason; their clips will be failures.
    pub refused: Vec<(String, String)>,
}

impl Estimate {
    /// Predicts what is left in a folder. Each arm is planned once, with its first prompt: prompts differ little.
    pub fn of(folder: &Folder, machine: &Machine, rates: &Rates) -> Result<Self> {
        let manifest = folder.manifest();
        let is_finished = |planned: &Planned| folder.is_finished(&planned.key);
        Self::new(manifest, &is_finished, machine, rates)
    }

    /// As [`Estimate::of`], without a folder: `is_finished` says of each clip whether it is.
    pub fn new(
        manifest: &super::Manifest,
        is_finished: &dyn Fn(&Planned) -> bool,
        machine: &Machine,
        rates: &Rates,
    ) -> Result<Self> {
        let mut estimate =
            Self { clips: manifest.cells.len(), is_measured: true, ..Self::default() };
        let mut each: Vec<Option<(f64, u64)>> = vec![None; manifest.arms.len()];
        for planned in &manifest.cells {
            if is_finished(planned) {
                estimate.finished += 1;
                continue;
            }
            let (seconds, bytes) = if let Some(known) = each[planned.arm] {
                known
            } else {
                let arm = manifest.arm(planned);
                let found = match plan_of(planned, machine, rates) {
                    Ok(plan) => estimate.one(&plan, arm.role, manifest.sweep.latents),
                    Err(error) => {
                        estimate.refused.push((arm.name.clone(), error.to_string()));
                        (0.0, 0)
                    }
                };
                *each[planned.arm].insert(found)
            };
            estimate.seconds += seconds;
            estimate.bytes += bytes;
        }
        Ok(estimate)
    }

    /// Seconds and bytes of a clip.
    fn one(&mut self, plan: &Plan, role: Role, latents: bool) -> (f64, u64) {
        let timed = plan.phases.iter().filter(|phase| phase.phase != Phase::Load);
        let mut seconds = 0.0;
        for phase in timed {
            seconds += phase.seconds;
            self.is_measured &= phase.is_measured || phase.phase != Phase::Denoise;
        }
        let files: u64 = plan.files.iter().map(|file| file.bytes).sum();
        let steps = u64::from(plan.request.steps.unwrap_or_default());
        let recorded = plan.latent_shape.iter().product::<usize>() as u64 * 2 * (steps + 1);
        let kept = if latents && role == Role::Reference { recorded } else { 0 };
        (seconds, files + kept + SMALL_FILES)
    }
}

fn plan_of(planned: &Planned, machine: &Machine, rates: &Rates) -> Result<Plan> {
    let request = Request {
        out: Some(PathBuf::from("master.mkv")),
        codec: Some("ffv1".into()),
        quality: Some("lossless".into()),
        save_latents: Some(false),
        ..planned.request.clone()
    };
    let plan = Plan::resolve_with(&request, machine, rates)?;
    plan.check_memory()?;
    Ok(plan)
}
