use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use tessera_models::folder::TextConfig;
use tessera_models::wan::{TransformerConfig, VaeConfig, transformer_tensors, vae_tensors};
use tessera_models::weights::Expected;

use super::rates::{Conditions, Rate};
use super::*;
use crate::machine::Memory;

pub(super) fn machine(available: u64) -> Machine {
    Machine {
        memory: Memory { total: 64 << 30, available, limit: None },
        cores: 2,
        kernels: "avx2".into(),
        gpus: Vec::new(),
        no_gpu: None,
        driver: None,
        warnings: Vec::new(),
    }
}

pub(super) fn asked(change: impl FnOnce(&mut Request)) -> Request {
    let mut request =
        Request { prompt: "a red ball".into(), out: Some("clip.mp4".into()), ..Request::default() };
    change(&mut request);
    request
}

#[test]
fn the_bundled_model_is_planned_at_its_own_size() {
    let plan = Plan::resolve(&asked(|_| ()), &machine(16 << 30)).unwrap();
    assert_eq!(plan.model.name, "toybox");
    assert_eq!((plan.size.width, plan.size.height, plan.size.frames), (256, 256, 33));
    assert_eq!((plan.latent_shape, plan.tokens), ([1, 16, 9, 32, 32], 2304));
    assert_eq!(
        (plan.forwards, plan.request.guidance, plan.request.steps),
        (40, Some(4.0), Some(20))
    );
    assert_eq!(plan.request.flow_shift, Some(3.0));
    assert_eq!(plan.negative_tokens, Some(1));
    assert!(plan.memory.refusal.is_none());
    // 127 GFLOP a forward with all 512 text rows; with the real ones a little less.
    let denoise = plan.phase(Phase::Denoise).unwrap();
    assert!((3.5e12..5.2e12).contains(&denoise.work), "{:e}", denoise.work);
    let files: Vec<_> = plan.files.iter().map(|file| file.path.display().to_string()).collect();
    assert_eq!(files, ["clip.latents.safetensors", "clip.mp4", "clip.mp4.json"]);
    let shown = plan.to_string();
    for word in ["2304 tokens", "256x256, 33 frames", "clip.mp4", "40 forwards"] {
        assert!(shown.contains(word), "{word} is missing in:\n{shown}");
    }
}

#[test]
fn a_resolved_request_resolves_to_itself() {
    let machine = machine(16 << 30);
    let plan = Plan::resolve(&asked(|_| ()), &machine).unwrap();
    let again = Plan::resolve(&plan.request, &machine).unwrap();
    assert_eq!(again.request, plan.request);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn sizes_that_the_model_cannot_make_are_told_with_the_nearest() {
    let told = |request: Request| Plan::resolve(&request, &machine(16 << 30)).unwrap_err();
    let error = told(asked(|r| {
        (r.width, r.height, r.frames) = (Some(17), Some(17), Some(6));
    }));
    assert_eq!(error.kind(), crate::error::FailureKind::Input);
    assert_eq!(
        error.to_string(),
        "width: expected a multiple of 16 for this model (nearest: 16 or 32), got 17\n\
         height: expected a multiple of 16 for this model (nearest: 16 or 32), got 17\n\
         frames: expected one more than a multiple of 4 for this model (nearest: 5 or 9), got 6"
    );
    assert!(told(asked(|r| r.count = Some(3))).to_string().contains("count"));
    assert!(
        told(asked(|r| r.attention = Some("none".into()))).to_string().contains("one of dense")
    );
    assert!(
        told(asked(|r| r.device = Some("cuda:0".into()))).to_string().contains("available: cpu")
    );
}

#[test]
fn what_does_not_fit_is_shown_and_refused_with_the_numbers() {
    let small = machine(100 << 20);
    let plan = Plan::resolve(&asked(|r| r.dtype = Some("f32".into())), &small).unwrap();
    let refusal = plan.memory.refusal.clone().unwrap();
    assert_eq!((refusal.available, refusal.needed), (100 << 20, plan.memory.peak_bytes));
    assert!(refusal.needed > refusal.available);
    let error = plan.check_memory().unwrap_err();
    assert_eq!(error.kind(), crate::error::FailureKind::Memory);
    let text = error.to_string();
    assert!(text.contains("104 MB are available") && text.contains("--override-memory"), "{text}");
    assert!(plan.to_string().contains("refused"));
    let overridden = asked(|r| {
        r.dtype = Some("f32".into());
        r.override_memory = Some(true);
    });
    assert!(Plan::resolve(&overridden, &small).unwrap().check_memory().is_ok());
}

#[test]
fn what_a_person_should_know_is_said() {
    let long = "red ".repeat(600);
    let request = asked(|r| {
        r.prompt = long;
        r.negative = Some("blue".into());
        r.guidance = Some(1.0);
        r.unknown.insert("density".into(), 0.2.into());
    });
    let plan = Plan::resolve(&request, &machine(16 << 30)).unwrap();
    assert_eq!((plan.prompt_tokens, plan.negative_tokens, plan.forwards), (512, None, 20));
    let warnings = plan.warnings.join("\n");
    assert!(warnings.contains("601 tokens and the model reads 512: the last 89"), "{warnings}");
    assert!(warnings.contains("not used") && warnings.contains("\"density\""), "{warnings}");
}

#[test]
fn earlier_runs_make_times_measured() {
    let now = Conditions {
        device: "cpu".into(),
        dtype: "f32".into(),
        kernels: "avx2".into(),
        fingerprint: "another".into(),
    };
    let rates =
        Rates(vec![Rate { phase: Phase::Denoise, conditions: now, work: 1e12, seconds: 1.0 }]);
    let plan =
        Plan::resolve_with(&asked(|r| r.dtype = Some("f32".into())), &machine(16 << 30), &rates)
            .unwrap();
    let denoise = plan.phase(Phase::Denoise).unwrap();
    assert!(denoise.is_measured);
    assert!((denoise.seconds - denoise.work / 1e12).abs() < 1e-9);
    assert!(!plan.phase(Phase::Decode).unwrap().is_measured);
}

/// A folder of the public 1.3B model with its real headers and no numbers: the files are holes of the right length.
fn hollow_model(folder: &Path) {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::files::write_atomically(&path, |file| {
            std::io::Write::write_all(file, text.as_bytes())
        })
        .unwrap();
    };
    let bundled = bundled::model().unwrap();
    for name in ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json"]
    {
        put(name, &std::fs::read_to_string(bundled.join(name)).unwrap());
    }
    let transformer = TransformerConfig {
        num_attention_heads: 12,
        ffn_dim: 8960,
        num_layers: 30,
        ..TransformerConfig::default()
    };
    let text_config = TextConfig {
        vocab_size: 256_384,
        d_model: 4096,
        num_heads: 64,
        d_ff: 10_240,
        num_layers: 24,
        ..TextConfig::default()
    };
    put("transformer/config.json", &serde_json::to_string(&transformer).unwrap());
    put("vae/config.json", "{}");
    put("text_encoder/config.json", &serde_json::to_string(&text_config).unwrap());
    let weights = "diffusion_pytorch_model.safetensors";
    hollow_file(&folder.join("transformer").join(weights), &transformer_tensors(&transformer));
    hollow_file(&folder.join("vae").join(weights), &vae_tensors(&VaeConfig::default()));
    let text = text::expected(&text_config, |_| true);
    hollow_file(&folder.join("text_encoder/model.safetensors"), &text);
}

fn hollow_file(path: &Path, tensors: &[Expected]) {
    let mut end = 0;
    let mut header = BTreeMap::new();
    for tensor in tensors {
        let begin = end;
        end += 4 * tensor.shape.iter().product::<usize>();
        let entry = json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [begin, end]});
        header.insert(tensor.name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    crate::files::write_atomically(path, |file| {
        std::io::Write::write_all(file, &(header.len() as u64).to_le_bytes())?;
        std::io::Write::write_all(file, &header)?;
        file.set_len(8 + header.len() as u64 + end as u64)
    })
    .unwrap();
}

#[test]
fn the_public_small_model_is_planned_from_its_headers() {
    let folder = tempfile::tempdir().unwrap();
    hollow_model(folder.path());
    let request = asked(|r| {
        r.model = Some(folder.path().into());
        r.dtype = Some("bf16".into());
    });
    let plan = Plan::resolve(&request, &machine(4 << 30)).unwrap();
    assert_eq!((plan.size.width, plan.size.height, plan.size.frames), (832, 480, 81));
    assert_eq!((plan.tokens, plan.forwards, plan.request.guidance), (32_760, 100, Some(5.0)));
    let work = |phase| plan.phase(phase).unwrap().work;
    // wan.md §7: 283 TFLOP a forward, of which the padded text is 12; decoding 13.5 TFLOP a latent frame.
    assert!((265e14..283e14).contains(&work(Phase::Denoise)), "{:e}", work(Phase::Denoise));
    assert!((200e12..285e12).contains(&work(Phase::Decode)), "{:e}", work(Phase::Decode));
    let peak = |phase| plan.phase(phase).unwrap().peak_bytes;
    assert!(
        peak(Phase::EncodeText) < 2 << 30,
        "the text encoder is streamed: {}",
        peak(Phase::EncodeText)
    );
    assert!(
        (3_000_000_000..5_000_000_000).contains(&peak(Phase::Denoise)),
        "{}",
        peak(Phase::Denoise)
    );
    let text = plan.check_memory().unwrap_err().to_string();
    assert!(text.contains("4.3 GB are available") && text.contains("decode"), "{text}");
}
