//! Every method by name, with its presets: the one list that the command line, the window and the table read.

use tessera_kernels::pyramid::Bias;

use super::policies;
use super::policy::Policy;
use super::schedule::{Refresh, Span};

/// A method and its presets.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// What `--attention` takes.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The paper, and the section of methods.md.
    pub source: &'static str,
    /// What differs from the published method, in full sentences; empty when nothing does.
    pub differs: &'static str,
    /// The first is taken when none is named; none for dense attention, which chooses nothing.
    pub presets: &'static [Preset],
}

/// A named setting of a method, with the source of its numbers.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Where the numbers are from.
    pub source: &'static str,
    /// What it says about settings that every policy has.
    pub defaults: Defaults,
    /// The policy with these numbers.
    pub build: fn() -> Box<dyn Policy>,
}

/// What a preset says about the settings that every policy has; a request may override each.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Defaults {
    /// Level of blocks that were not selected: 0 drops them, 7 keeps their pooled mass.
    pub floor: u8,
    /// What stands for the size of a pooled group in its score.
    pub bias: Bias,
    /// Dense steps at the start. Sources count them in runs of their own length, so presets say their share.
    pub warmup: Span,
    /// Dense steps at the end.
    pub dense_last: usize,
    /// Layers that stay dense.
    pub dense_layers: &'static [usize],
    /// When maps are estimated again; steps that a source lists as shares, for the same reason.
    pub refresh: Refresh,
    /// Whether a query block sees the key blocks at its own place in full.
    pub keep_self: bool,
    /// Key blocks to either side of its own that it sees in full too.
    pub radius: usize,
    /// Whether everybody sees the first latent frame in full.
    pub first_frame: bool,
    /// Part of a row's key blocks that is kept in full at least.
    pub least_full: f64,
    /// Whether the branch without the prompt uses the maps of the branch with it.
    pub share_branches: bool,
    /// Whether each head works in the order that a calibration plan has for it, where the request names a plan and no order.
    pub order_of_plan: bool,
    /// Share of the dense work that the preset comes to, keeps and floor included, where no rule of the policy says it
    /// ([`Policy::density`]): the mean over the sparse calls of one clip of the bundled model (256×256, 33 frames, 8 steps,
    /// b0b9e32). Plans predict by it; nothing is chosen by it.
    pub measured_density: Option<f64>,
}

impl Defaults {
    /// Nothing kept by force, nothing dense, a fresh map at every call.
    pub const PLAIN: Self = Self {
        floor: 0,
        bias: Bias::Count,
        warmup: Span::Steps(0),
        dense_last: 0,
        dense_layers: &[],
        refresh: Refresh::Every(1),
        keep_self: false,
        radius: 0,
        first_frame: false,
        least_full: 0.0,
        share_branches: false,
        order_of_plan: false,
        measured_density: None,
    };
}

/// Attention that leaves nothing out: no policy, no preset.
const DENSE: Method = Method {
    name: "dense",
    summary: "Every token sees every other: exact, and the slowest.",
    source: "arXiv 1706.03762",
    differs: "",
    presets: &[],
};

/// Every method: dense, the product's own, then the others by name.
pub const METHODS: &[Method] = &{
    let mut all = [DENSE; policies::METHODS.len() + 1];
    let mut next = 1;
    while next < all.len() {
        all[next] = policies::METHODS[next - 1];
        next += 1;
    }
    all
};

/// Every method's name, in the same order.
pub const NAMES: &[&str] = &{
    let mut all = [""; METHODS.len()];
    let mut next = 0;
    while next < all.len() {
        all[next] = METHODS[next].name;
        next += 1;
    }
    all
};

/// The method of a name.
pub fn method(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

impl Method {
    /// The preset of a name, or the first.
    pub fn preset(&self, name: Option<&str>) -> Option<&'static Preset> {
        match name {
            None => self.presets.first(),
            Some(name) => self.presets.iter().find(|preset| preset.name == name),
        }
    }
}
