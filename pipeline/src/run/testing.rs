//! A receipt for tests that need one without a run.

use tessera_models::geometry::{Grid, Size};

use crate::events::{FileRole, Phase, WrittenFile};
use crate::plan::PlannedModel;
use crate::receipt::{PhaseTime, RanOn, Receipt, VideoFacts};
use crate::request::Request;

/// A clip that took 2 s to denoise 100 units of work.
pub(crate) fn receipt() -> Receipt {
    Receipt {
        version: 1,
        program: "tessera 0".into(),
        request: Request { prompt: "a ball".into(), seed: Some(3), ..Request::default() },
        model: PlannedModel {
            name: "toybox".into(),
            path: "/m".into(),
            fingerprint: "abc".into(),
            parameters: 5,
        },
        size: Size { width: 64, height: 64, frames: 5 },
        latent_shape: [1, 16, 2, 8, 8],
        grid: Grid { frames: 2, rows: 4, cols: 4 },
        prompt_tokens: 3,
        negative_tokens: Some(1),
        ran_on: RanOn {
            device: "cpu".into(),
            dtype: "f32".into(),
            vae_dtype: "f32".into(),
            kernels: "avx2".into(),
            cores: 2,
            gpu: None,
        },
        kernels: Vec::new(),
        attention: Vec::new(),
        sparsity: None,
        calls: Vec::new(),
        phases: vec![PhaseTime {
            phase: Phase::Denoise,
            seconds: 2.0,
            planned_seconds: 1.0,
            work: 100.0,
        }],
        peak_memory_bytes: None,
        peak_device_bytes: None,
        planned_peak_bytes: 1,
        reused: Vec::new(),
        fallbacks: Vec::new(),
        warnings: Vec::new(),
        video: VideoFacts {
            codec: "h264".into(),
            encoder: "libx264".into(),
            pixel_format: "yuv420p".into(),
            frames: 5,
        },
        files: vec![WrittenFile { what: FileRole::Video, path: "clip.mp4".into(), bytes: 10 }],
    }
}
