//! Every method at the smallest and the most ragged clips that are legal: planned, calibrated where it goes by that, run.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use tessera_models::attention::{Branch, SelfAttention as _};
use tessera_models::finite::is_finite;
use tessera_models::folder::ModelFolder;
use tessera_models::guidance::combine;
use tessera_models::text::{Tokenizer, clean, encode_prompts};
use tessera_models::wan::{TextContext, WanTransformer};
use tessera_pipeline::attention::{Subject, build};
use tessera_pipeline::machine::Machine;
use tessera_pipeline::plan::Plan;
use tessera_pipeline::request::Request;
use tessera_pipeline::sparsity::calibration::{OrderBy, Spec, calibrate};
use tessera_pipeline::sparsity::observer::Mode;
use tessera_pipeline::sparsity::registry::METHODS;
use tessera_pipeline::{bundled, noise};

const PROMPT: &str = "a red ball";
const STEPS: u32 = 2;

/// The bundled model, and what it makes of the prompts.
struct Model {
    folder: ModelFolder,
    transformer: WanTransformer,
    contexts: Vec<TextContext>,
}

impl Model {
    fn load() -> Self {
        let folder = ModelFolder::open(&bundled::model().unwrap()).unwrap();
        let (dtype, device) = (DType::F32, Device::Cpu);
        let tokenizer = Tokenizer::load(&folder).unwrap();
        let ids = [PROMPT, ""].map(|prompt| tokenizer.encode(&clean(prompt)).unwrap().ids);
        let rows =
            encode_prompts(&folder, &ids, dtype, &device, &mut |_, _| ControlFlow::Continue(()))
                .unwrap();
        let transformer =
            WanTransformer::load(&folder, dtype, &device, &mut |_, _| ControlFlow::Continue(()))
                .unwrap();
        let contexts = rows.iter().map(|rows| transformer.prepare_text(rows).unwrap()).collect();
        Self { folder, transformer, contexts }
    }

    /// Denoises a planned clip and checks what came of it.
    fn run(&self, plan: &Plan, name: &str) {
        let settled = plan.settled().unwrap();
        let scheduler = self.folder.scheduler_config();
        let mut sampler =
            settled.sampler.build(scheduler, settled.steps, Some(settled.flow_shift)).unwrap();
        let (timesteps, sigmas) = (sampler.timesteps().to_vec(), sampler.sigmas().to_vec());
        let modulations = self.transformer.prepare_steps(&timesteps).unwrap();
        let sequence = self.transformer.sequence(plan.grid);
        let fingerprint = self.folder.fingerprint();
        let subject = Subject { fingerprint, sequence, sigmas: &sigmas[..settled.steps] };
        let mut attention = build(&plan.request, &subject).unwrap();
        attention.begin_clip(&sequence).unwrap();
        let noise = noise::torch_randn(settled.seed, &plan.latent_shape);
        let shape = plan.latent_shape.to_vec();
        let mut sample = Tensor::from_vec(noise, shape, &Device::Cpu).unwrap();
        for (index, modulation) in modulations.iter().enumerate() {
            attention.begin_step(index, settled.steps, sigmas[index]).unwrap();
            let mut forward = |branch, context| {
                self.transformer
                    .forward(&sample, modulation, context, branch, &mut attention, &mut |_, _| {
                        ControlFlow::Continue(())
                    })
                    .unwrap_or_else(|error| panic!("{name}: {error}"))
            };
            let cond = forward(Branch::Cond, &self.contexts[0]);
            let uncond = forward(Branch::Uncond, &self.contexts[1]);
            let velocity = combine(&cond, &uncond, settled.guidance).unwrap();
            sample = sampler.step(&velocity, &sample).unwrap();
        }
        assert!(is_finite(&sample).unwrap(), "{name}");

        let tally = attention.tally();
        assert!(tally.fallbacks().is_empty(), "{name}: {:?}", tally.fallbacks());
        let sparse = tally.calls().iter().filter(|call| call.mode != Mode::Dense);
        let densities: Vec<f64> = sparse.flat_map(|call| call.density_exact.clone()).collect();
        let Some(planned) = &plan.attention else {
            assert!(densities.is_empty(), "{name}");
            return;
        };
        assert!(!densities.is_empty(), "{name} ran dense");
        let least = planned.least_density - 1e-4; // receipts have four digits
        let is_possible = |density: &f64| (least..=1.0).contains(density) && *density > 0.0;
        assert!(densities.iter().all(is_possible), "{name}: {densities:?}, least {least}");
    }
}

fn request(method: &str, [width, height, frames]: [u32; 3], out: &Path) -> Request {
    Request {
        prompt: PROMPT.into(),
        width: Some(width),
        height: Some(height),
        frames: Some(frames),
        steps: Some(STEPS),
        seed: Some(3),
        dtype: Some("f32".into()),
        attention: Some(method.into()),
        out: Some(out.to_path_buf()),
        ..Request::default()
    }
}

/// A plan file for clips of this size.
fn calibrated(size: [u32; 3], folder: &Path) -> PathBuf {
    let spec = Spec {
        base: request("dense", size, &folder.join("clip.mkv")),
        prompts: vec![PROMPT.into()],
        groups: 2,
        order_by: OrderBy::Mass,
    };
    let path = folder.join("a.plan.safetensors");
    calibrate(&spec, &mut |_| true).unwrap().write(&path).unwrap();
    path
}

#[test]
fn every_method_runs_sparse_at_any_legal_size() {
    let folder = tempfile::tempdir().unwrap();
    let (model, machine) = (Model::load(), Machine::detect());
    // One latent frame, one block; less than a query block; odd edges; two ragged query blocks and four key blocks.
    for size in [[64, 64, 1], [64, 64, 5], [80, 48, 9], [144, 112, 13]] {
        let plan_file = calibrated(size, folder.path());
        for method in METHODS {
            let name = format!("{} at {size:?}", method.name);
            let mut request = request(method.name, size, &folder.path().join("clip.mkv"));
            let presets = method.presets.first();
            let policy = presets.map(|preset| (preset.build)());
            if policy.is_some_and(|policy| policy.needs().plan) {
                request.plan = Some(plan_file.clone());
            }
            request.strict = presets.map(|_| true);
            let plan = Plan::resolve(&request, &machine);
            model.run(&plan.unwrap_or_else(|error| panic!("{name}: {error}")), &name);
        }
    }
}
