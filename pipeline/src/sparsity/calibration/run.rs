//! A calibration: a few prompts through the dense model, twice. The first look finds each head's order, the second what
//! depends on it; both see the same clips, so nothing of a clip has to be kept between them.

use std::ops::ControlFlow;

use candle_core::{Device, Tensor};
use tessera_models::attention::{Branch, SelfAttention as _};
use tessera_models::finite::is_finite;
use tessera_models::folder::ModelFolder;
use tessera_models::guidance::combine;
use tessera_models::text;
use tessera_models::wan::{TextContext, WanTransformer};

use super::orders::OrderBy;
use super::plan::{PlanFile, Recipe, VERSION, group};
use super::watching::Watching;
use crate::machine::{Machine, dtype_name, open};
use crate::plan::rates::Rates;
use crate::plan::{Extent, Plan, Settled};
use crate::receipt::program;
use crate::request::Request;
use crate::settings::Problem;
use crate::{Error, Result, bundled, noise, tokenizer};

/// Steps of a run, unless the request says.
pub const STEPS: u32 = 12;
/// Groups of timesteps, unless others are asked for.
pub const GROUPS: usize = 4;
/// Steps of each group that are looked at.
const LOOKS: usize = 2;

/// What a model other than the bundled one is calibrated with, unless prompts are given: people, nature, a city, a machine;
/// a still and a moving camera.
pub const PROMPTS: [&str; 4] = [
    "a woman in a yellow raincoat walks along a pier at dusk, the camera follows her from behind",
    "a shallow mountain river runs over round stones between pine trees, static camera, morning light",
    "cars and cyclists cross a busy intersection in a large city, seen from a rooftop, timelapse",
    "close-up of the gears of an old brass clock turning, shallow depth of field, slow zoom in",
];

/// What is calibrated, and how.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Model, size, steps, sampler, guidance, seed, device and number format; prompt and attention are not read.
    pub base: Request,
    /// The prompts, each with the next seed.
    pub prompts: Vec<String>,
    /// Groups of timesteps with masses of their own.
    pub groups: usize,
    /// What orders are chosen by.
    pub order_by: OrderBy,
}

/// How far a calibration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done now.
    pub doing: &'static str,
    /// Parts of it that are done.
    pub done: usize,
    /// Its parts.
    pub of: usize,
}

/// Whom to tell; false stops.
type Tell<'a> = &'a mut dyn FnMut(Progress) -> bool;

/// Calibrates a model. `tell` hears of every block that was computed and stops the calibration with [`Error::Cancelled`] by
/// answering false.
pub fn calibrate(spec: &Spec, tell: Tell<'_>) -> Result<PlanFile> {
    let path = spec.base.model.clone().map_or_else(bundled::model, Ok)?;
    let folder = ModelFolder::open(&path)?;
    let (plan, settled) = resolve(spec, &folder)?;
    let device = open(&settled.device)?;
    let model = Model::load(spec, &folder, &settled, &device, tell)?;
    let mut sampler = settled.sampler.build(
        folder.scheduler_config(),
        settled.steps,
        Some(settled.flow_shift),
    )?;
    let timesteps = sampler.timesteps().to_vec();
    let sigmas = sampler.sigmas().to_vec();
    let modulations = model.transformer.prepare_steps(&timesteps)?;

    let observed = observed(settled.steps, spec.groups);
    let sequence = model.transformer.sequence(plan.grid);
    let mut watching = Watching::new(sequence, spec.groups, observed.clone());
    let query_tokens = watching.query_tokens();
    let last = observed.last().copied().unwrap_or(0);
    let mut found = Vec::new();
    for doing in ["first look", "second look"] {
        let mut parts = Parts { doing, done: 0, of: 0, tell };
        parts.of = model.clips.iter().map(Vec::len).sum::<usize>() * (last + 1) * sequence.layers;
        for (number, branches) in model.clips.iter().enumerate() {
            sampler.reset();
            let noise =
                noise::torch_randn(settled.seed.wrapping_add(number as u64), &plan.latent_shape);
            let mut sample = Tensor::from_vec(noise, plan.latent_shape.to_vec(), &Device::Cpu)?
                .to_device(&device)?;
            watching.begin_clip(&sequence)?;
            // What comes after the last step that is looked at is of no use.
            for (index, modulation) in modulations.iter().enumerate().take(last + 1) {
                watching.begin_step(index, settled.steps, sigmas[index])?;
                let mut velocities = Vec::with_capacity(branches.len());
                for (branch, context) in [Branch::Cond, Branch::Uncond].into_iter().zip(branches) {
                    let base = parts.done;
                    velocities.push(model.transformer.forward(
                        &sample,
                        modulation,
                        context,
                        branch,
                        &mut watching,
                        &mut |done, _| parts.tell(base + done),
                    )?);
                }
                let velocity = match velocities.as_slice() {
                    [cond, uncond] => combine(cond, uncond, settled.guidance)?,
                    [only] => only.clone(),
                    _ => return Err(Error::Thread("a clip without branches".into())),
                };
                if !is_finite(&velocity)? {
                    let what = "the transformer's velocity (its weights are damaged, or do not fit the number format: try dtype f32)";
                    let what = what.into();
                    return Err(tessera_models::Error::NotFinite { what, step: Some(index) }.into());
                }
                sample = sampler.step(&velocity, &sample)?;
            }
        }
        if found.is_empty() {
            found = watching.second_look(spec.order_by);
        }
    }
    let blocks = tessera_kernels::blocks::Blocks::of(sequence.tokens());
    Ok(PlanFile {
        version: VERSION,
        program: program(),
        model: plan.model.name,
        fingerprint: plan.model.fingerprint,
        grid: plan.grid,
        text_tokens: sequence.text_tokens,
        query_block: blocks.query_block,
        key_block: blocks.key_block,
        groups: spec.groups,
        recipe: Recipe {
            prompts: spec.prompts.clone(),
            steps: settled.steps,
            observed,
            sampler: settled.sampler.name().into(),
            guidance: settled.guidance,
            flow_shift: settled.flow_shift,
            seed: settled.seed,
            dtype: dtype_name(settled.dtype).into(),
            order_by: spec.order_by.to_string(),
            query_tokens,
        },
        layers: watching.finish(found),
    })
}

/// Resolves the first prompt's request: sizes and devices are the same for all of them.
fn resolve(spec: &Spec, folder: &ModelFolder) -> Result<(Plan, Settled)> {
    let problem = |key: &str, expected: &str, got: usize| {
        Err(Error::Settings(vec![Problem::new(key, expected, got)]))
    };
    let Some(prompt) = spec.prompts.first() else {
        return problem("prompts", "at least one prompt", 0);
    };
    if !(1..=64).contains(&spec.groups) {
        return problem("groups", "from 1 to 64 groups of timesteps", spec.groups);
    }
    let request = Request {
        prompt: prompt.clone(),
        steps: spec.base.steps.or(Some(STEPS)),
        attention: Some("dense".into()),
        count: None,
        out: None,
        ..spec.base.clone()
    };
    let plan =
        Plan::resolve_for(&request, &Machine::detect(), &Rates::default(), folder, Extent::Whole)?;
    plan.check_memory()?;
    let settled = plan.settled()?;
    Ok((plan, settled))
}

/// The steps that are looked at: of each group of timesteps a few, spread evenly.
fn observed(steps: usize, groups: usize) -> Vec<usize> {
    let mut observed = Vec::new();
    for wanted in 0..groups {
        let own: Vec<usize> =
            (0..steps).filter(|step| group(*step, steps, groups) == wanted).collect();
        let looks = LOOKS.min(own.len());
        observed.extend((0..looks).map(|look| own[(2 * look + 1) * own.len() / (2 * looks)]));
    }
    observed
}

/// The transformer, and what it reads of each clip: its prompt, and the negative one when guided.
struct Model {
    transformer: WanTransformer,
    clips: Vec<Vec<TextContext>>,
}

impl Model {
    fn load(
        spec: &Spec,
        folder: &ModelFolder,
        settled: &Settled,
        device: &Device,
        tell: Tell<'_>,
    ) -> Result<Self> {
        let tokenizer = tokenizer::of(folder)?;
        let mut ids = Vec::new();
        for prompt in &spec.prompts {
            ids.push(tokenizer.encode(&text::clean(prompt))?.ids);
        }
        if settled.is_guided() {
            ids.push(tokenizer.encode(&text::clean(&settled.negative))?.ids);
        }
        let rows =
            text::encode_prompts(folder, &ids, settled.dtype, device, &mut telling("text", tell))?;
        let transformer =
            WanTransformer::load(folder, settled.dtype, device, &mut telling("weights", tell))?;
        let mut clips = Vec::with_capacity(spec.prompts.len());
        let negative = rows.get(spec.prompts.len());
        for rows in rows.iter().take(spec.prompts.len()).map(Some) {
            let branches = [rows, negative].into_iter().flatten();
            clips.push(
                branches
                    .map(|rows| transformer.prepare_text(rows))
                    .collect::<tessera_models::Result<_>>()?,
            );
        }
        Ok(Self { transformer, clips })
    }
}

/// A watch that tells of one call.
fn telling<'a>(
    doing: &'static str,
    tell: Tell<'a>,
) -> impl FnMut(usize, usize) -> ControlFlow<()> + 'a {
    move |done, of| answer(tell(Progress { doing, done, of }))
}

fn answer(goes_on: bool) -> ControlFlow<()> {
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// The blocks of all forwards of one look.
struct Parts<'a> {
    doing: &'static str,
    done: usize,
    of: usize,
    tell: Tell<'a>,
}

impl Parts<'_> {
    fn tell(&mut self, done: usize) -> ControlFlow<()> {
        self.done = done;
        answer((self.tell)(Progress { doing: self.doing, done, of: self.of }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparsity::{Arrangement, patterns::Pattern};

    /// The bundled model, as small and short as it goes.
    fn spec() -> Spec {
        let base = Request {
            width: Some(64),
            height: Some(64),
            frames: Some(9),
            steps: Some(4),
            device: Some("cpu".into()),
            ..Request::default()
        };
        Spec { base, prompts: vec!["a red ball".into()], groups: 2, order_by: OrderBy::Mass }
    }

    #[test]
    fn steps_of_every_group_are_looked_at() {
        assert_eq!(observed(12, 4), [0, 1, 2, 3, 4, 5, 7, 10]);
        assert_eq!(observed(4, 2), [0, 1, 2, 3]);
        assert_eq!(observed(1, 4), [0]);
        assert_eq!(observed(50, 1), [12, 37]);
    }

    #[test]
    fn a_calibration_of_the_bundled_model_is_a_plan_that_is_read_back() {
        let mut told = Vec::new();
        let plan = calibrate(&spec(), &mut |progress| {
            told.push(progress);
            true
        })
        .unwrap();
        assert_eq!((plan.layers.len(), plan.grid.tokens(), plan.groups), (8, 48, 2));
        for head in plan.layers.iter().flat_map(|layer| &layer.heads) {
            assert_eq!(head.orders.len(), 8);
            assert_eq!((head.mass.len(), head.mass[0].len()), (2, 1));
            assert!(head.mass[0].codes()[0] > 250, "one block holds everything");
            assert!(
                head.spans[0] > 0.999 && head.budget > 0.0 && head.order != Arrangement::Calibrated
            );
            let named =
                |pattern: Pattern| head.patterns.iter().find(|f| f.pattern == pattern.name());
            assert!((named(Pattern::Skip).unwrap().error - 1.0).abs() < 1e-5);
            assert!(named(Pattern::Full).unwrap().error < 1e-6);
        }
        assert!(told.iter().any(|progress| progress.doing == "second look"));
        assert!(told.iter().all(|progress| progress.done <= progress.of));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.safetensors");
        plan.write(&path).unwrap();
        assert_eq!(PlanFile::read(&path).unwrap(), plan);
    }

    #[test]
    fn it_stops_when_told_and_refuses_what_cannot_be() {
        assert!(calibrate(&spec(), &mut |_| false).unwrap_err().is_cancelled());
        let field = |spec: &Spec| calibrate(spec, &mut |_| true).unwrap_err().to_string();
        assert!(field(&Spec { prompts: Vec::new(), ..spec() }).starts_with("prompts:"));
        assert!(field(&Spec { groups: 0, ..spec() }).starts_with("groups:"));
    }
}
