//! STA, sliding tile attention: tokens in tiles, each tile sees the tiles of a window around it.
//!
//! Tiles of 4 × 4 × 4 tokens are key blocks, two of them side by side a query block, which sees what either sees. The window
//! is given as shares of the clip and rounded to tiles. Source: arXiv 2502.04507; methods.md §2.8.

use tessera_models::attention::{Branch, Site};

use super::windows::Windows;
use crate::Result;
use crate::sparsity::geometry::{Coverage, Entries, Known, density, entries, prepared};
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// Tokens of a tile.
pub(super) const TILE: [usize; 3] = [4, 4, 4];

/// The method.
pub(super) const METHOD: Method = Method {
    name: "sta",
    summary: "Sliding tile attention: each tile of the clip sees the tiles in a window around it.",
    source: "arXiv 2502.04507; methods.md §2.8",
    differs: "Tiles are 4 × 4 × 4 tokens, one key block, where the paper's are 6 × 8 × 8; the paper's windows on its 30 × 48 × 80 clip are taken as shares of any clip. All heads have one window: the paper's search by head is sparse-vdit's. Where the clip is no whole number of tiles, a block is kept when half of its pairs are in the window.",
    presets: &[
        Preset {
            name: "18x24x24",
            source: "paper, HunyuanVideo: 9 % of the tiles; 12 of 50 steps dense",
            defaults: defaults(Span::Share(0.24)),
            build: || Box::new(Sta::new([0.6, 0.5, 0.3])),
        },
        Preset {
            name: "30x40x40",
            source: "paper, HunyuanVideo, not trained: 42 % of the tiles",
            defaults: defaults(Span::Steps(0)),
            build: || Box::new(Sta::new([1.0, 0.8334, 0.5])),
        },
    ],
};

const fn defaults(warmup: Span) -> Defaults {
    Defaults { warmup, refresh: Refresh::Never, ..Defaults::PLAIN }
}

/// A window.
#[derive(Debug)]
struct Sta {
    windows: Windows,
    known: Known,
}

impl Sta {
    fn new(share: [f32; 3]) -> Self {
        Self { windows: Windows { tile: TILE, share, stride: [1; 3] }, known: Known::default() }
    }
}

impl Policy for Sta {
    fn arrangement(&self, _layer: usize) -> Arrangement {
        Arrangement::Tiles(TILE)
    }

    fn owner(&self, site: Site, _layers: usize) -> Site {
        everywhere(site)
    }

    fn density(&self, outline: &Outline<'_>) -> Option<f64> {
        Some(density(&in_windows(self.windows, &self.known, outline)))
    }

    fn prepare<'a>(&'a self, view: &'a View<'a>) -> Result<Prepared<'a>> {
        prepared(view, &in_windows(self.windows, &self.known, &view.outline()?))
    }
}

/// The site after which a map that is the same everywhere is named.
pub(super) fn everywhere(site: Site) -> Site {
    Site { layer: 0, branch: Branch::Cond, ..site }
}

/// The entries of a window in each order of a clip.
pub(super) fn in_windows(windows: Windows, known: &Known, outline: &Outline<'_>) -> Vec<Entries> {
    // A query block is two tiles: half of its pairs are all pairs of one of them.
    known.entries(outline, |order| {
        let rule = windows.rule(outline.cells.grid);
        entries(outline.cells, order, Coverage::Share(0.5), rule)
    })
}

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};

    #[test]
    fn promises() {
        for grid in [
            Grid { frames: 8, rows: 8, cols: 16 },
            Grid { frames: 9, rows: 16, cols: 16 },
            Grid { frames: 5, rows: 9, cols: 13 },
        ] {
            let call = Call::new(grid, 1, Arrangement::Tiles(TILE));
            keeps_its_promises(&Sta::new([0.6, 0.5, 0.3]), &call);
        }
    }

    #[test]
    fn whole_tiles_are_whole_blocks() {
        // 2 × 2 × 8 tiles; windows of 1 × 2 × 3 of them. Query block 5 is tiles 10 and 11: frame 0, row 1, columns 2 and 3.
        let call = Call::new(Grid { frames: 8, rows: 8, cols: 32 }, 2, Arrangement::Tiles(TILE));
        let levels = call.levels(&Sta::new([0.5, 1.0, 0.375]), Knob::Preset);
        let seen: Vec<usize> = (0..32).filter(|&column| levels[5][column] == 1).collect();
        // Columns 1 to 4 of both rows of the first four frames.
        assert_eq!(seen, [1, 2, 3, 4, 9, 10, 11, 12]);
        assert_eq!(levels[5], levels[16 + 5], "all heads");
    }

    #[test]
    fn one_map_for_all_sites() {
        let site = Site { layer: 3, branch: Branch::Uncond, expert: 1 };
        let owner = Sta::new([0.6, 0.5, 0.3]).owner(site, 8);
        assert_eq!(owner, Site { layer: 0, branch: Branch::Cond, expert: 1 });
    }
}
