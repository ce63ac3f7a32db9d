//! The rows: what is shown, how it is sampled, where and into which file. Sparse attention has rows of its own.

use super::{Kind, Preset, Section, Setting, sparse};
use crate::video::Quality;

/// Every setting, in the order it is shown.
pub const SETTINGS: &[Setting] = &{
    let mut all = [MAKING[0]; MAKING.len() + sparse::ROWS.len() + RUNNING.len()];
    let mut next = 0;
    while next < all.len() {
        let after = MAKING.len() + sparse::ROWS.len();
        all[next] = if next < MAKING.len() {
            MAKING[next]
        } else if next < after {
            sparse::ROWS[next - MAKING.len()]
        } else {
            RUNNING[next - after]
        };
        next += 1;
    }
    all
};

/// What is made.
const MAKING: &[Setting] = &[
    Setting {
        key: "prompt",
        flag: "prompt",
        kind: Kind::Text,
        default: Preset::Text(""),
        help: "What the clip shows.",
        section: Section::Prompt,
        unit: "",
    },
    Setting {
        key: "negative",
        flag: "negative",
        kind: Kind::Text,
        default: Preset::Text(""),
        help: "What the clip should not show. It acts only with guidance above 1.",
        section: Section::Prompt,
        unit: "",
    },
    Setting {
        key: "width",
        flag: "width",
        kind: Kind::Int { min: 16, max: 16384, step: 16 },
        default: Preset::Decided("the model's own size"),
        help: "Width of the clip. The model decides which widths are legal (multiples of 16 for Wan 2.1).",
        section: Section::Size,
        unit: "pixels",
    },
    Setting {
        key: "height",
        flag: "height",
        kind: Kind::Int { min: 16, max: 16384, step: 16 },
        default: Preset::Decided("the model's own size"),
        help: "Height of the clip. The model decides which heights are legal (multiples of 16 for Wan 2.1).",
        section: Section::Size,
        unit: "pixels",
    },
    Setting {
        key: "frames",
        flag: "frames",
        kind: Kind::Int { min: 1, max: 4093, step: 4 },
        default: Preset::Decided("the model's own length"),
        help: "Number of frames: one more than a multiple of 4, because the first latent frame holds one and every other holds four.",
        section: Section::Size,
        unit: "frames",
    },
    Setting {
        key: "fps",
        flag: "fps",
        kind: Kind::Float { min: 0.1, max: 1000.0 },
        default: Preset::Decided("what the model was trained at"),
        help: "Frames shown in a second. It changes the file only, not what is generated.",
        section: Section::Size,
        unit: "frames a second",
    },
    Setting {
        key: "steps",
        flag: "steps",
        kind: Kind::Int { min: 1, max: 1000, step: 1 },
        default: Preset::Decided("what suits the model"),
        help: "Denoising steps. More are slower and, up to a point, better.",
        section: Section::Sampling,
        unit: "steps",
    },
    Setting {
        key: "guidance",
        flag: "guidance",
        kind: Kind::Float { min: 0.0, max: 50.0 },
        default: Preset::Decided("what suits the model"),
        help: "How strongly the prompt pulls. At 1 or less the negative prompt is not used and every step costs half.",
        section: Section::Sampling,
        unit: "",
    },
    Setting {
        key: "flow_shift",
        flag: "flow-shift",
        kind: Kind::Float { min: 0.01, max: 100.0 },
        default: Preset::Decided("the model's scheduler config"),
        help: "Moves steps towards high noise (above 1). Larger pictures want more: 3 for 480p, 5 for 720p.",
        section: Section::Sampling,
        unit: "",
    },
    Setting {
        key: "sampler",
        flag: "sampler",
        kind: Kind::Choice(&["unipc", "euler", "dpm++2m"]),
        default: Preset::Text("unipc"),
        help: "How a step is taken.",
        section: Section::Sampling,
        unit: "",
    },
    Setting {
        key: "seed",
        flag: "seed",
        kind: Kind::Int { min: 0, max: u64::MAX, step: 1 },
        default: Preset::Int(0),
        help: "Chooses the starting noise; the same as torch's CPU generator gives (which uses the low 32 bits).",
        section: Section::Sampling,
        unit: "",
    },
    Setting {
        key: "count",
        flag: "count",
        kind: Kind::Int { min: 1, max: 1000, step: 1 },
        default: Preset::Int(1),
        help: "How many clips to make, with seeds counting up from the given one.",
        section: Section::Sampling,
        unit: "clips",
    },
    Setting {
        key: "initial_latents",
        flag: "initial-latents",
        kind: Kind::Path,
        default: Preset::Absent("noise from the seed"),
        help: "Starts from the tensor in this safetensors file instead of from noise.",
        section: Section::Sampling,
        unit: "",
    },
];

/// Where it is made and written.
const RUNNING: &[Setting] = &[
    Setting {
        key: "model",
        flag: "model",
        kind: Kind::Path,
        default: Preset::Decided("the bundled model"),
        help: "Checkpoint folder in diffusers' layout.",
        section: Section::Machine,
        unit: "",
    },
    Setting {
        key: "device",
        flag: "device",
        kind: Kind::Form {
            expected: "auto, cpu, cuda or cuda:N",
            matches: |text| crate::machine::DeviceChoice::parse(text).is_some(),
        },
        default: Preset::Text("auto"),
        help: "auto, cpu, cuda or cuda:N. auto takes the first GPU of a build with CUDA, otherwise the CPU. `tessera doctor` lists them.",
        section: Section::Machine,
        unit: "",
    },
    Setting {
        key: "dtype",
        flag: "dtype",
        kind: Kind::Choice(&["auto", "f32", "bf16"]),
        default: Preset::Text("auto"),
        help: "Number format of weights and activations. auto takes bf16 where the hardware multiplies it fast.",
        section: Section::Machine,
        unit: "",
    },
    Setting {
        key: "vae_dtype",
        flag: "vae-dtype",
        kind: Kind::Choice(&["auto", "f32", "bf16"]),
        default: Preset::Text("auto"),
        help: "Number format in which latents become frames. auto is f32 on the CPU, which shows less banding, and bf16 on a GPU, where it is many times faster.",
        section: Section::Machine,
        unit: "",
    },
    Setting {
        key: "override_memory",
        flag: "override-memory",
        kind: Kind::Bool,
        default: Preset::Bool(false),
        help: "Runs even when the plan predicts that memory will not do.",
        section: Section::Machine,
        unit: "",
    },
    Setting {
        key: "out",
        flag: "out",
        kind: Kind::Path,
        default: Preset::Decided("a new file named after the prompt in the current folder"),
        help: "The video file. Its ending decides the container: mp4, mov, mkv, webm, gif, webp; a folder for PNG frames.",
        section: Section::Output,
        unit: "",
    },
    Setting {
        key: "codec",
        flag: "codec",
        kind: Kind::Choice(&["h264", "h265", "av1", "ffv1", "prores", "gif", "webp", "png"]),
        default: Preset::Decided("what suits the file's ending, otherwise h264"),
        help: "How frames are compressed. ffv1 and png lose nothing.",
        section: Section::Output,
        unit: "",
    },
    Setting {
        key: "quality",
        flag: "quality",
        kind: Kind::Form {
            expected: Quality::HELP,
            matches: |text| text.parse::<Quality>().is_ok(),
        },
        default: Preset::Text("high"),
        help: "How well the codec keeps the picture: draft, good, high, lossless, or a number from 0 to 100.",
        section: Section::Output,
        unit: "",
    },
    Setting {
        key: "save_latents",
        flag: "save-latents",
        kind: Kind::Bool,
        default: Preset::Bool(true),
        help: "Keeps the latents beside the video, to decode again with other settings. They are always saved until the video is complete.",
        section: Section::Output,
        unit: "",
    },
    Setting {
        key: "save_frames",
        flag: "save-frames",
        kind: Kind::Bool,
        default: Preset::Bool(false),
        help: "Also writes every frame as PNG, as decoded and before any codec.",
        section: Section::Output,
        unit: "",
    },
    Setting {
        key: "record",
        flag: "record",
        kind: Kind::Path,
        default: Preset::Absent("nothing is recorded"),
        help: "Records the run: events, how every attention call was answered, maps, the clip before each step. A file, or a folder to put one into; `tessera inspect` shows it.",
        section: Section::Recording,
        unit: "",
    },
    Setting {
        key: "record_limit",
        flag: "record-limit",
        kind: Kind::Form {
            expected: "1G or another size such as 500M",
            matches: |text| crate::machine::parse_bytes(text).is_some(),
        },
        default: Preset::Text("1G"),
        help: "Bytes that the recording may take. When it grows larger the oldest maps, attention, rows and latents are dropped, and counted.",
        section: Section::Recording,
        unit: "",
    },
    Setting {
        key: "record_latents",
        flag: "record-latents",
        kind: Kind::Choice(&["none", "f16", "f32"]),
        default: Preset::Text("f16"),
        help: "How the recording keeps the clip before each step. With f32 a replayed step computes exactly what the run did.",
        section: Section::Recording,
        unit: "",
    },
    Setting {
        key: "capture_heads",
        flag: "capture-heads",
        kind: Kind::Form {
            expected: "auto, all, none, or layers and heads such as 3:0,3:1,7",
            matches: crate::capture::are_heads,
        },
        default: Preset::Text("auto"),
        help: "Heads whose maps the recording keeps in full, as layer:head or as a layer for all of its heads. auto takes eight, spread over the layers.",
        section: Section::Recording,
        unit: "",
    },
    Setting {
        key: "capture_attention",
        flag: "capture-attention",
        kind: Kind::Bool,
        default: Preset::Bool(false),
        help: "Also records the exact attention of these heads, averaged over blocks. It costs about half of these heads' dense attention in every call.",
        section: Section::Recording,
        unit: "",
    },
    Setting {
        key: "capture_scores",
        flag: "capture-scores",
        kind: Kind::Bool,
        default: Preset::Bool(false),
        help: "Also records what these heads' levels were chosen by, where a method estimates anything.",
        section: Section::Recording,
        unit: "",
    },
    Setting {
        key: "capture_rows",
        flag: "capture-rows",
        kind: Kind::Form {
            expected: "none, or query tokens as latent frame,row,column such as 0,4,7;2,4,7",
            matches: crate::capture::are_tokens,
        },
        default: Preset::Text("none"),
        help: "Also records where single query tokens look in these heads, token by token. Tokens are counted in latent frames, rows and columns.",
        section: Section::Recording,
        unit: "",
    },
];
