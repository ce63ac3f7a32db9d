//! What every call did, for the receipt: a line a call, a summary by ranges, and what did not run as asked.

use std::collections::BTreeMap;
use std::time::Duration;

use tessera_kernels::levels::{Densities, Density};
use tessera_models::attention::{Branch, Sequence, Site};

use super::observer::{CallReport, Mode, Step};
use crate::receipt::{AttentionCall, AttentionUse};

/// A reached density that misses what was asked for by more than this share of it is told.
const MISSED: f64 = 0.05;

/// Everything that a clip's attention did so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    calls: Vec<AttentionCall>,
    /// Densities that a GPU may still be counting, and the calls that they are of.
    uncounted: Vec<(usize, Densities)>,
    layers: usize,
    heads: usize,
    /// Every kind of fallback: how often it happened, and where it did first.
    fallbacks: BTreeMap<String, (u64, String)>,
    /// Kinds that nobody was told of yet.
    news: Vec<String>,
}

impl Tally {
    /// Nothing yet, of a clip.
    pub fn new(sequence: &Sequence) -> Self {
        Self { layers: sequence.layers, heads: sequence.heads, ..Self::default() }
    }

    /// Notes a call.
    pub fn call(&mut self, report: &CallReport<'_>) {
        let sparse = report.sparse.as_ref();
        let retained = sparse.and_then(|sparse| sparse.retained).unwrap_or_default();
        let known = sparse.map_or(Some(&[][..]), |sparse| sparse.densities.known_now());
        if let (Some(sparse), None) = (sparse, known) {
            self.uncounted.push((self.calls.len(), sparse.densities.clone()));
        }
        let densities = known.unwrap_or_default();
        self.calls.push(AttentionCall {
            step: report.step.index as u64,
            branch: branch_name(report.site.branch).into(),
            layer: report.site.layer as u64,
            expert: report.site.expert as u64,
            mode: report.mode,
            density_nominal: each(densities, |density| density.nominal),
            density_exact: each(densities, |density| density.exact),
            retained_mass: retained.iter().copied().map(rounded).collect(),
            estimate_ms: milliseconds(report.estimate),
            attention_ms: milliseconds(report.attention),
        });
    }

    /// Reads the densities that were counted on a GPU since, all in one copy: behind a step, which was waited for anyway.
    pub fn settle(&mut self) {
        let uncounted = std::mem::take(&mut self.uncounted);
        let all: Vec<&Densities> = uncounted.iter().map(|(_, densities)| densities).collect();
        match Densities::read_all(&all) {
            Ok(read) => {
                for ((index, _), densities) in uncounted.iter().zip(read) {
                    let call = &mut self.calls[*index];
                    call.density_nominal = each(&densities, |density| density.nominal);
                    call.density_exact = each(&densities, |density| density.exact);
                }
            }
            Err(error) => {
                let what = format!("Densities could not be read from the GPU: {error}");
                self.news.push(format!("{what}."));
                self.fallbacks.insert(what, (1, "the end of a step".into()));
            }
        }
    }

    /// Times of a call, the estimate's where there was one, as the device that ran it knows them.
    pub fn timed(&mut self, call: usize, estimate: Option<Duration>, attention: Duration) {
        if let Some(call) = self.calls.get_mut(call) {
            call.attention_ms = milliseconds(attention);
            call.estimate_ms = estimate.map_or(call.estimate_ms, milliseconds);
        }
    }

    /// Notes that something did not run as asked: a sentence without its end, to which the place is added.
    pub fn fallback(&mut self, what: String, site: Site, step: Step) {
        let place = place(site, step);
        if let Some((count, _)) = self.fallbacks.get_mut(&what) {
            *count += 1;
        } else {
            self.news.push(format!("{what} (first at {place})."));
            self.fallbacks.insert(what, (1, place));
        }
    }

    /// Kinds of fallback that happened for the first time since this was last asked.
    pub fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Every kind of fallback with how often and where first.
    pub fn fallbacks(&self) -> Vec<String> {
        let line = |(what, (count, place)): (&String, &(u64, String))| match count {
            1 => format!("{what} (once, at {place})."),
            _ => format!("{what} ({count} times, first at {place})."),
        };
        self.fallbacks.iter().map(line).collect()
    }

    /// A line a call, in the order that they ran.
    pub fn calls(&self) -> &[AttentionCall] {
        &self.calls
    }

    /// Mean share of the dense work that was done, over all calls, dense ones too; `None` before the first.
    pub fn density(&self) -> Option<f64> {
        let sum: f64 = self.calls.iter().map(exact).sum();
        (!self.calls.is_empty()).then(|| sum / self.calls.len() as f64)
    }

    /// What to say when the sparse calls came to another density than `wanted`.
    pub fn missed(&self, wanted: f64) -> Option<String> {
        let sparse: Vec<f64> =
            self.calls.iter().filter(|call| call.mode != Mode::Dense).map(exact).collect();
        let got = sparse.iter().sum::<f64>() / sparse.len() as f64;
        let is_missed = !sparse.is_empty() && (got - wanted).abs() > MISSED * wanted;
        is_missed.then(|| {
            format!(
                "Density {wanted} was asked for and {got:.3} was reached on average: the method's selection is coarser than that, or keeps more at least."
            )
        })
    }

    /// The calls by ranges of steps and layers that were answered alike.
    pub fn summary(&self, name: &str) -> Vec<AttentionUse> {
        let mut steps: Vec<(u64, Vec<Option<Mode>>)> = Vec::new();
        for call in &self.calls {
            if steps.last().is_none_or(|(step, _)| *step != call.step) {
                steps.push((call.step, vec![None; self.layers]));
            }
            if let Some((_, layers)) = steps.last_mut()
                && let Some(mode) = layers.get_mut(call.layer as usize)
            {
                *mode = (*mode).max(Some(call.mode));
            }
        }
        let mut uses = Vec::new();
        for run in steps.chunk_by(|a, b| a.1 == b.1 && a.0 + 1 == b.0) {
            let [(first, layers), ..] = run else { continue };
            let end = first + run.len() as u64;
            let mut layer = 0;
            for alike in layers.chunk_by(|a, b| a == b) {
                let range = [layer, layer + alike.len() as u64];
                layer = range[1];
                if let Some(mode) = alike[0] {
                    uses.push(self.over(name, mode, [*first, end], range));
                }
            }
        }
        uses
    }

    /// The entry of a range of steps and layers.
    fn over(&self, name: &str, mode: Mode, steps: [u64; 2], layers: [u64; 2]) -> AttentionUse {
        let is_inside = |call: &&AttentionCall| {
            (steps[0]..steps[1]).contains(&call.step)
                && (layers[0]..layers[1]).contains(&call.layer)
        };
        let calls: Vec<_> = self.calls.iter().filter(is_inside).collect();
        let mean = |of: fn(&AttentionCall) -> f64| {
            calls.iter().map(|call| of(call)).sum::<f64>() / calls.len().max(1) as f64
        };
        let seconds =
            |of: fn(&AttentionCall) -> f64| calls.iter().map(|call| of(call)).sum::<f64>() / 1000.0;
        AttentionUse {
            name: name.into(),
            mode: mode.name().into(),
            steps,
            layers,
            heads: [0, self.heads as u64],
            calls: calls.len() as u64,
            density_nominal: mean(|call| mean_of(&call.density_nominal)),
            density_exact: mean(exact),
            attend_seconds: seconds(|call| call.attention_ms),
            estimate_seconds: seconds(|call| call.estimate_ms),
        }
    }
}

/// Where something happened, as people count: steps from 1, layers as the settings name them.
pub fn place(site: Site, step: Step) -> String {
    let branch = branch_name(site.branch);
    format!("step {} of {}, layer {}, {branch}", step.index + 1, step.of, site.layer)
}

/// A branch in receipts.
pub fn branch_name(branch: Branch) -> &'static str {
    match branch {
        Branch::Cond => "cond",
        Branch::Uncond => "uncond",
    }
}

/// One number of each density.
fn each(densities: &[Density], of: fn(&Density) -> f64) -> Vec<f64> {
    densities.iter().map(|density| rounded(of(density))).collect()
}

fn exact(call: &AttentionCall) -> f64 {
    mean_of(&call.density_exact)
}

/// The mean over heads; a dense call lists none and did everything.
fn mean_of(heads: &[f64]) -> f64 {
    if heads.is_empty() { 1.0 } else { heads.iter().sum::<f64>() / heads.len() as f64 }
}

/// To four digits.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;

    /// A tally of `steps`, each a word of layers for each branch: `d` dense, `f` fresh, `c` cached.
    fn tally(steps: &[[&str; 2]]) -> Tally {
        let grid = Grid { frames: 1, rows: 1, cols: 1 };
        let mut tally = Tally::new(&Sequence { grid, text_tokens: 0, heads: 2, layers: 3 });
        for (step, branches) in steps.iter().enumerate() {
            for (branch, layers) in ["cond", "uncond"].iter().zip(branches) {
                for (layer, letter) in layers.chars().enumerate() {
                    let (mode, density) = match letter {
                        'd' => (Mode::Dense, Vec::new()),
                        'f' => (Mode::Fresh, vec![0.25, 0.75]),
                        _ => (Mode::Cached, vec![0.2, 0.4]),
                    };
                    tally.calls.push(AttentionCall {
                        step: step as u64,
                        branch: (*branch).into(),
                        layer: layer as u64,
                        expert: 0,
                        mode,
                        density_nominal: density.clone(),
                        density_exact: density,
                        retained_mass: Vec::new(),
                        estimate_ms: 1.0,
                        attention_ms: 2.0,
                    });
                }
            }
        }
        tally
    }

    #[test]
    fn the_summary_is_of_ranges_that_ran_alike() {
        let tally = tally(&[["ddd", "ddd"], ["ddd", "ddd"], ["dff", "dcc"], ["dcc", "dcc"]]);
        let uses = tally.summary("psa");
        let seen: Vec<_> =
            uses.iter().map(|of| (of.mode.as_str(), of.steps, of.layers, of.calls)).collect();
        assert_eq!(
            seen,
            [
                ("dense", [0, 2], [0, 3], 12),
                ("dense", [2, 3], [0, 1], 2),
                ("fresh", [2, 3], [1, 3], 4),
                ("dense", [3, 4], [0, 1], 2),
                ("cached", [3, 4], [1, 3], 4),
            ]
        );
        assert!((uses[2].density_exact - 0.4).abs() < 1e-12, "half at .5, half at .3");
        assert!((uses[2].attend_seconds - 0.008).abs() < 1e-12);
        assert!((tally.density().unwrap() - (16.0 + 2.0 * 0.5 + 6.0 * 0.3) / 24.0).abs() < 1e-12);
    }

    #[test]
    fn a_density_that_was_not_reached_is_told() {
        let tally = tally(&[["dff", "dff"]]);
        assert!(tally.missed(0.5).is_none() && tally.missed(0.51).is_none());
        let text = tally.missed(0.4).unwrap();
        assert!(text.contains("0.4") && text.contains("0.500"), "{text}");
        assert!(Tally::default().missed(0.4).is_none());
    }
}
