//! SparseD: one map for the whole run, from the exact masses of one step.
//!
//! Mass M(i, j) as in AdaSpa, found at the first step that is not dense; each row keeps ⌊n·select⌋ + 1 of its n video
//! blocks, whatever the text gets. The knob stretches `select`. Source: methods.md §2.15.

use tessera_kernels::scores::{Estimator, Mass, block_mass};
use tessera_kernels::select::top_k_rows;

use super::knob::{by_scores, stretched};
use super::video::{with_text, without_text};
use crate::Result;
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, Knob, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "sparsed",
    summary: "One map for the whole run, from the exact masses of the first step that is not dense.",
    source: "SparseD, for diffusion language models; methods.md §2.15",
    differs: "The prompt's keys have no quota of their own but are all kept, and the map comes from the first sparse step instead of the last dense one.",
    presets: &[
        Preset {
            name: "block-128",
            source: "official code: 30 % of blocks of 128, the first fifth of the steps dense",
            defaults: DEFAULTS,
            build: || Box::new(SparseD { select: 0.3 }),
        },
        Preset {
            name: "block-32",
            source: "official code: 50 % of blocks of 32, the first fifth of the steps dense",
            defaults: DEFAULTS,
            build: || Box::new(SparseD { select: 0.5 }),
        },
    ],
};

const DEFAULTS: Defaults =
    Defaults { warmup: Span::Share(0.2), refresh: Refresh::Never, ..Defaults::PLAIN };

#[derive(Debug)]
struct SparseD {
    /// Share of a row's video blocks.
    select: f64,
}

impl SparseD {
    /// Of a row's `columns` video blocks.
    fn kept(&self, columns: usize, knob: Knob) -> usize {
        ((columns as f64 * stretched(self.select, knob)) as usize + 1).min(columns)
    }
}

impl Policy for SparseD {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::RASTER
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        let columns = outline.cells.grid.tokens().div_ceil(outline.cells.blocks.key_block);
        Some(self.kept(columns, Knob::Preset) as f64 / columns as f64)
    }

    fn estimate_cost(&self, tokens: usize) -> f64 {
        Estimator::BlockMass.cost(tokens)
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let blocks = view.blocks;
        let Mass { mass, lse } = block_mass(view.q, view.k, blocks, view.scale, None)?;
        let video = without_text(&mass, view)?;
        let columns = view.grid.tokens().div_ceil(blocks.key_block);
        let prepared = by_scores(mass, move |_, knob| {
            let kept = self.kept(columns, knob);
            with_text(&top_k_rows(&video, blocks, &[kept])?, view)
        });
        Ok(Prepared { lse: Some(lse), ..prepared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::testing::Case;

    /// 378 video tokens are 5.9 blocks: ⌊6·.3⌋ + 1 = 2 of them, and the block that the text begins in and the one after.
    #[test]
    fn each_row_has_its_quota_and_the_text() {
        let case = Case::new([3, 9, 14], 40);
        let view = case.view();
        let policy = SparseD { select: 0.3 };
        let prepared = policy.prepare(&view).unwrap();
        let levels = (prepared.select)(Knob::Preset).unwrap().to_vec().unwrap();
        for row in levels.chunks(view.blocks.columns()) {
            let full = row.iter().map(|&level| usize::from(level == 1)).sum::<usize>();
            assert_eq!((row.len(), row[5], row[6]), (7, 1, 1));
            assert!((3..=4).contains(&full), "{row:?}");
        }
    }
}
