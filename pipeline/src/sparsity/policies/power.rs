//! PowerAttention's static pattern: each block sees those at power-of-two distances, a window around it, and a sink.
//!
//! Every number below 2^d is a sum of at most d powers of two, so after d layers each block has heard of 2^d others. The
//! paper's model is autoregressive, its blocks are 256 tokens, a query sees its last 5 blocks, block 0, and the blocks 2^k
//! before it. Here both directions are seen, distances are counted in key blocks from the query block's own, along the
//! order that the attention works in. The knob: below the preset only every second and every fourth power, above it a wider
//! window and the neighbours of the powers. Source: arXiv 2503.03588 §3.3 and its algorithm 1, for language models.

use tessera_models::attention::Site;

use super::sta::everywhere;
use crate::Result;
use crate::sparsity::geometry::{Entries, density, distance, knob_at, prepared};
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Refresh;
use crate::sparsity::{Arrangement, Cells, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "power",
    summary: "PowerAttention: blocks at power-of-two distances, a window and a sink, the same for all heads.",
    source: "arXiv 2503.03588 §3.3 (language models)",
    differs: "The paper's pattern is causal, over a text, in blocks of 256 tokens, and the model is trained with it. Here it looks both ways along a Hilbert curve through the clip, where what is near in the sequence is near in the clip, in key blocks of 64 tokens; its window of 5 blocks is the own blocks and 2 on each side, its sink the first key block.",
    presets: &[Preset {
        name: "paper",
        source: "paper, Qwen2-7B at 32K tokens: 5 window blocks, 1 sink block",
        defaults: Defaults { refresh: Refresh::Never, ..Defaults::PLAIN },
        build: || Box::new(Power { radius: 2 }),
    }],
};

/// A window.
#[derive(Debug)]
struct Power {
    /// Key blocks to either side of the own ones.
    radius: usize,
}

impl Power {
    fn entries(&self, cells: Cells) -> Entries {
        let blocks = cells.blocks;
        let columns = blocks.columns();
        let share = |count: usize| count as f32 / columns as f32;
        let entry = |distance: usize| {
            let window = knob_at(share(distance), share(self.radius));
            if distance == 0 {
                return 0.0;
            }
            // The power below and the one above.
            let below = distance.ilog2();
            let beside = [below, below + 1].map(|power| (power, distance.abs_diff(1 << power)));
            let powers = beside.map(|(power, away)| match (power % 4, away) {
                (0, 0) => 1.0 / 6.0,
                (2, 0) => 2.0 / 6.0,
                (_, 0) => 0.5,
                (_, away) => 0.5 + 0.5 * share(away),
            });
            powers[0].min(powers[1]).min(window)
        };
        let all = cells.rows().flat_map(|row| (0..columns).map(move |column| (row, column)));
        let sink = |column: usize| column == 0;
        all.map(
            |(row, column)| {
                if sink(column) { 0.0 } else { entry(distance(blocks, row, column)) }
            },
        )
        .collect()
    }
}

impl Policy for Power {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Gilbert
    }

    fn owner(&self, site: Site, _layers: usize) -> Site {
        everywhere(site)
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(density(&[self.entries(outline.cells)]))
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        prepared(view, &[self.entries(view.outline()?.cells)])
    }
}

#[cfg(test)]
mod tests {
    use tessera_kernels::blocks::Blocks;
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};

    #[test]
    fn promises() {
        for grid in [Grid { frames: 9, rows: 16, cols: 16 }, Grid { frames: 5, rows: 9, cols: 13 }]
        {
            keeps_its_promises(&Power { radius: 2 }, &Call::new(grid, 1, Arrangement::Gilbert));
        }
    }

    fn cells(tokens: usize) -> Cells {
        Cells::all(Grid { frames: 1, rows: 1, cols: tokens }, Blocks::of(tokens))
    }

    #[test]
    fn powers_by_hand() {
        let entries = Power { radius: 1 }.entries(cells(64 * 24));
        let row = |keep: f32| -> String {
            entries[4 * 24..5 * 24].iter().map(|e| if *e <= keep { '#' } else { '.' }).collect()
        };
        // Row 4 is key blocks 8 and 9: 1, 2, 4, 8 and 16 blocks to either side, and block 0.
        assert_eq!(row(0.5), "#...#.######.#...#......");
        assert_eq!(row(0.49), "#...#..####..#..........", "1 and 4, but not 2 and 8");
        assert_eq!(row(0.0), "#.......##..............");
        assert_eq!(row(1.0), "#".repeat(24));
    }

    #[test]
    fn every_block_hears_of_every_other_in_a_few_layers() {
        let entries = Power { radius: 0 }.entries(cells(64 * 64));
        let sees = |row: usize, column: usize| entries[row * 64 + column] <= 0.5;
        let mut heard: Vec<Vec<bool>> =
            (0..64).map(|block| (0..64).map(|other| other == block).collect()).collect();
        for _ in 0..6 {
            let next = |block: usize| -> Vec<bool> {
                (0..64)
                    .map(|other| (0..64).any(|by| sees(block / 2, by) && heard[by][other]))
                    .collect()
            };
            heard = (0..64).map(next).collect();
        }
        assert!(heard.iter().flatten().all(|heard| *heard));
    }
}
