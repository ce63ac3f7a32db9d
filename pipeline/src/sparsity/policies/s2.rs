//! S2-Attention's static pattern: the heads share out the context, each sees every s-th block from an offset of its own.
//!
//! Head h of H sees key block j when (j + h·max(1, ⌊s/H⌋)) mod s = 0, and a local window of blocks around its own; together the
//! heads see everything when H ≥ s. The paper's model is autoregressive; here the window is on both sides. The knob widens the
//! window and brings blocks in by bit-reversed phase, so that at each power of two the blocks are a regular stride. Source:
//! arXiv 2407.17678 and its code (`get_sparse_attn_mask`), for language models.

use tessera_models::attention::Site;

use super::sta::everywhere;
use crate::Result;
use crate::sparsity::geometry::{Entries, density, distance, knob_at, prepared};
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::Refresh;
use crate::sparsity::{Arrangement, Cells, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "s2",
    summary: "S2-Attention: each head sees a local window and every s-th block from an offset of its own.",
    source: "arXiv 2407.17678 (language models)",
    differs: "The paper's pattern is causal, over a text, and the model is trained with it, some layers dense. Here it looks both ways along a Hilbert curve through the clip; the window of 4 blocks is the query block's own two key blocks and one on each side.",
    presets: &[Preset {
        name: "code",
        source: "official code's defaults: blocks of 64, 4 local blocks, stride 4",
        defaults: Defaults { refresh: Refresh::Never, ..Defaults::PLAIN },
        build: || Box::new(S2 { radius: 1, stride: 4 }),
    }],
};

/// A window and a stride.
#[derive(Debug)]
struct S2 {
    /// Key blocks to either side of the own ones.
    radius: usize,
    /// Key blocks from one that is seen to the next, a power of two.
    stride: usize,
}

impl S2 {
    /// The entries of all heads.
    fn maps(&self, cells: Cells, heads: usize) -> Vec<Entries> {
        (0..heads).map(|head| self.entries(cells, head, heads)).collect()
    }

    fn entries(&self, cells: Cells, head: usize, heads: usize) -> Entries {
        let blocks = cells.blocks;
        let columns = blocks.columns();
        let share = |count: usize| count as f32 / columns as f32;
        let offset = head * (self.stride / heads).max(1);
        let cycle = columns.next_power_of_two().max(self.stride);
        let entry = |(row, column): (usize, usize)| {
            let window = knob_at(share(distance(blocks, row, column)), share(self.radius));
            let phase = reversed((column + offset) % cycle, cycle);
            // Blocks of phase p are in from the share (p + 1)/cycle on: up to 1/stride they are that stride.
            let strided = knob_at((phase + 1) as f32 / cycle as f32, 1.0 / self.stride as f32);
            window.min(strided)
        };
        cells
            .rows()
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .map(entry)
            .collect()
    }
}

/// The bits of `x` below `cycle`, a power of two, in the other order.
fn reversed(x: usize, cycle: usize) -> usize {
    match cycle.trailing_zeros() {
        0 => 0,
        bits => x.reverse_bits() >> (usize::BITS - bits),
    }
}

impl Policy for S2 {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Gilbert
    }

    fn owner(&self, site: Site, _layers: usize) -> Site {
        everywhere(site)
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(density(&self.maps(outline.cells, outline.heads)))
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        let Outline { cells, heads, .. } = view.outline()?;
        prepared(view, &self.maps(cells, heads))
    }
}

#[cfg(test)]
mod tests {
    use tessera_kernels::blocks::Blocks;
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};

    #[test]
    fn promises() {
        for grid in [Grid { frames: 9, rows: 16, cols: 16 }, Grid { frames: 5, rows: 9, cols: 13 }]
        {
            let call = Call::new(grid, 5, Arrangement::Gilbert);
            keeps_its_promises(&S2 { radius: 1, stride: 4 }, &call);
        }
    }

    #[test]
    fn strides_by_hand() {
        let grid = Grid { frames: 1, rows: 1, cols: 64 * 16 };
        let cells = Cells::all(grid, Blocks::of(grid.tokens()));
        let row = |head: usize, heads: usize, stride: usize, keep: f32| -> String {
            let entries = S2 { radius: 1, stride }.entries(cells, head, heads);
            entries[..16].iter().map(|entry| if *entry <= keep { '#' } else { '.' }).collect()
        };
        // Row 0: its own blocks 0 and 1 and its neighbour 2, then every fourth.
        assert_eq!(row(0, 4, 4, 0.5), "###.#...#...#...");
        assert_eq!(row(1, 4, 4, 0.5), "####...#...#...#");
        assert_eq!(row(1, 2, 4, 0.5), "###...#...#...#.", "two heads are two blocks apart");
        assert_eq!(row(0, 4, 8, 0.5), "###.....#.......");
        assert_eq!(row(0, 4, 4, 1.0), "#".repeat(16));
        assert_eq!(row(1, 4, 4, 0.0), "##..............");
    }

    #[test]
    fn the_heads_together_see_everything() {
        let call = Call::new(Grid { frames: 9, rows: 16, cols: 16 }, 4, Arrangement::Gilbert);
        let levels = call.levels(&S2 { radius: 1, stride: 4 }, Knob::Preset);
        let rows = call.blocks.rows();
        for row in 0..rows {
            let sees = |column: usize| (0..4).any(|head| levels[head * rows + row][column] == 1);
            assert!((0..call.blocks.columns()).all(sees));
        }
    }
}
