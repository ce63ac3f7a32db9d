//! The rows of self-attention. What a row leaves to the method comes from its preset.

use super::{Kind, Preset, Section, Setting};
use crate::machine::parse_bytes;
use crate::sparsity::cuts::Ends;
use crate::sparsity::heads::Heads;
use crate::sparsity::layers::Layers;
use crate::sparsity::levels::Levels;
use crate::sparsity::options::CACHE_LIMIT;
use crate::sparsity::registry::NAMES;
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, levels::DEEPEST};

/// The method's preset decides.
const BY_PRESET: Preset = Preset::Decided("what the method's preset says");

/// A row of this section without a unit.
const fn row(
    key: &'static str,
    flag: &'static str,
    kind: Kind,
    default: Preset,
    help: &'static str,
) -> Setting {
    Setting { key, flag, kind, default, help, section: Section::Sparsity, unit: "" }
}

/// The rows, in the order they are shown.
pub(super) const ROWS: &[Setting] = &[
    row(
        "attention",
        "attention",
        Kind::Choice(NAMES),
        Preset::Text("dense"),
        "How self-attention is computed: dense, or by a sparse method.",
    ),
    row(
        "preset",
        "preset",
        Kind::Text,
        Preset::Decided("the method's first"),
        "A set of numbers for the method, named after where they are from. `tessera methods` lists them.",
    ),
    row(
        "density",
        "density",
        Kind::Float { min: 0.0, max: 1.0 },
        Preset::Decided("what the preset's selection comes to"),
        "Share of the dense work that sparse attention does, keeps and floor included. Each call selects as much as meets it.",
    ),
    row(
        "thresholds",
        "thresholds",
        Kind::Form {
            expected: "1:0.4,2:0.5,3:0.6,4:0.8 or other levels with where they end, both ascending",
            matches: |text| text.parse::<Ends>().is_ok(),
        },
        BY_PRESET,
        "Cut-offs of a method that has them, psa: each level goes on to this share of a row's estimated attention, or of the row's blocks in its presets by quota.",
    ),
    row(
        "order",
        "order",
        Kind::Form {
            expected: "raster, fhw, fwh, hwf, hfw, whf, wfh, gilbert, morton, tiles:FxHxW or calibrated",
            matches: |text| text.parse::<Arrangement>().is_ok(),
        },
        Preset::Decided("the method's own"),
        "The order in which tokens are cut into blocks: frames, rows and columns, slowest first; a curve; tiles; or one for each head from --plan.",
    ),
    row(
        "levels",
        "levels",
        Kind::Form {
            expected: "1,2,3,4 or other levels from 1 to 7 in ascending order, 1 among them",
            matches: |text| text.parse::<Levels>().is_ok(),
        },
        Preset::Text("1,2,3,4,5,6,7"),
        "Levels that may be used: level n pools keys by 2^(n-1). A selected level that may not be used becomes the next finer one.",
    ),
    row(
        "floor",
        "floor",
        Kind::Int { min: 0, max: DEEPEST as u64, step: 1 },
        BY_PRESET,
        "Level of blocks that were not selected: 0 leaves them out, 7 keeps the mean of each. Nothing is seen coarser than it; other than 0 it is one of the levels.",
    ),
    row(
        "bias",
        "bias",
        Kind::Choice(&["count", "level", "none"]),
        BY_PRESET,
        "How a pooled group's score counts its tokens: by their number, by its level, or not at all.",
    ),
    row(
        "warmup",
        "warmup",
        Kind::Form {
            expected: "25% of the steps, 12 steps, or a noise level such as sigma>0.9",
            matches: |text| text.parse::<Span>().is_ok(),
        },
        BY_PRESET,
        "Dense steps at the start.",
    ),
    Setting {
        unit: "steps",
        ..row(
            "dense_last",
            "dense-last",
            Kind::Int { min: 0, max: 1000, step: 1 },
            BY_PRESET,
            "Dense steps at the end.",
        )
    },
    row(
        "dense_layers",
        "dense-layers",
        Kind::Form {
            expected: "0,3-5 or other layers from 0, or none",
            matches: |text| text.parse::<Layers>().is_ok(),
        },
        BY_PRESET,
        "Layers that stay dense in every step.",
    ),
    row(
        "dense_heads",
        "dense-heads",
        Kind::Form {
            expected: "3:0,3:1,7 or other heads as layer:head, or a layer for all of its heads, or none",
            matches: |text| text.parse::<Heads>().is_ok(),
        },
        Preset::Absent("none"),
        "Heads that stay dense in every step, beside layers that do; a density that is asked for is that of the others.",
    ),
    row(
        "refresh",
        "refresh",
        Kind::Form {
            expected: "1 or another number of steps, at:10,30 for listed steps (from 0) or at:20%,60% for shares of the run, never, or adaptive:0.9",
            matches: |text| text.parse::<Refresh>().is_ok(),
        },
        BY_PRESET,
        "When what to attend to is estimated again; between, the last map is used. adaptive:0.9 does it when sampled queries find less than 0.9 of what they found at first.",
    ),
    row(
        "keep_self",
        "keep-self",
        Kind::Bool,
        BY_PRESET,
        "Every query block sees the key blocks at its own place in full.",
    ),
    Setting {
        unit: "blocks",
        ..row(
            "keep_radius",
            "keep-radius",
            Kind::Int { min: 0, max: 1000, step: 1 },
            BY_PRESET,
            "Key blocks to either side of its own that a query block sees in full too.",
        )
    },
    row(
        "keep_first_frame",
        "keep-first-frame",
        Kind::Bool,
        BY_PRESET,
        "Every query sees the first latent frame in full.",
    ),
    row(
        "least_full",
        "least-full",
        Kind::Float { min: 0.0, max: 1.0 },
        BY_PRESET,
        "Share of its key blocks, the best ones, that a query block sees in full at least.",
    ),
    row(
        "share_branches",
        "share-branches",
        Kind::Bool,
        Preset::Bool(false),
        "The forward without the prompt uses the maps of the one with it, instead of its own.",
    ),
    row(
        "plan",
        "plan",
        Kind::Path,
        Preset::Absent("none"),
        "What calibration found for this model, for methods and orders that go by it.",
    ),
    row(
        "strict",
        "strict",
        Kind::Bool,
        Preset::Bool(false),
        "Fails when any attention cannot run as asked, instead of running it otherwise and saying so.",
    ),
    row(
        "cache_limit",
        "cache-limit",
        Kind::Form {
            expected: "2G or another size in bytes, with K, M, G or T",
            matches: |text| parse_bytes(text).is_some(),
        },
        Preset::Text(CACHE_LIMIT),
        "Memory for maps that are used again. One that finds no room is estimated again, and the receipt says so.",
    ),
];
