//! GNA, generalised neighbourhood attention, aligned: a window that moves in strides, so that neighbours share it.
//!
//! All queries of a stride have one leader and see the window around it. Windows and strides are whole tiles of 4 × 4 × 4
//! tokens and a query block is two tiles along a row, so blocks are full or empty ("perfectly block-sparse") where the
//! clip's edges are whole strides. Source: arXiv 2504.16922; methods.md §2.9.

use tessera_models::attention::Site;

use super::sta::{TILE, everywhere, in_windows};
use super::windows::Windows;
use crate::Result;
use crate::sparsity::geometry::{Known, density, prepared};
use crate::sparsity::registry::{Defaults, Method, Preset};
use crate::sparsity::schedule::{Refresh, Span};
use crate::sparsity::{Arrangement, Outline, Policy, Prepared, View};

/// The method.
pub(super) const METHOD: Method = Method {
    name: "gna",
    summary: "Generalised neighbourhood attention: a window that moves in strides of whole tiles.",
    source: "arXiv 2504.16922; methods.md §2.9",
    differs: "Only aligned shapes: windows and strides are rounded to tiles of 4 × 4 × 4 tokens, dilation is 1. The paper's windows on its 30 × 48 × 80 clip are taken as shares of any clip, its strides as they are. A density below that of windows one stride wide is met with the nearest tiles of them. Where the clip is no whole number of strides, a block is kept when half of its pairs are in the window.",
    presets: &[
        Preset {
            name: "18x24x24",
            source: "paper, HunyuanVideo: window 18×24×24, stride 16×8×8, 15 of 50 steps dense",
            defaults: defaults(Span::Share(0.3)),
            build: || Box::new(Gna::new([0.6, 0.5, 0.3], [4, 2, 2])),
        },
        Preset {
            name: "30x40x40",
            source: "paper, HunyuanVideo: window 30×40×40, stride 1×32×8",
            defaults: defaults(Span::Steps(0)),
            build: || Box::new(Gna::new([1.0, 0.8334, 0.5], [1, 8, 2])),
        },
    ],
};

const fn defaults(warmup: Span) -> Defaults {
    Defaults { warmup, refresh: Refresh::Never, ..Defaults::PLAIN }
}

/// A window with strides.
#[derive(Debug)]
struct Gna {
    windows: Windows,
    known: Known,
}

impl Gna {
    fn new(share: [f32; 3], stride: [usize; 3]) -> Self {
        Self { windows: Windows { tile: TILE, share, stride }, known: Known::default() }
    }
}

impl Policy for Gna {
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

#[cfg(test)]
mod tests {
    use tessera_models::geometry::Grid;

    use super::*;
    use crate::sparsity::Knob;
    use crate::sparsity::policies::promises::{Call, keeps_its_promises};

    #[test]
    fn promises() {
        for grid in [
            Grid { frames: 16, rows: 8, cols: 16 },
            Grid { frames: 9, rows: 16, cols: 16 },
            Grid { frames: 5, rows: 9, cols: 13 },
        ] {
            let call = Call::new(grid, 1, Arrangement::Tiles(TILE));
            keeps_its_promises(&Gna::new([0.6, 0.5, 0.3], [4, 2, 2]), &call);
        }
    }

    #[test]
    fn neighbours_in_a_stride_see_the_same() {
        // 1 × 4 × 8 tiles, windows of 2 × 4, strides of 2 × 2: leaders are odd.
        let call = Call::new(Grid { frames: 4, rows: 16, cols: 32 }, 1, Arrangement::Tiles(TILE));
        let levels = call.levels(&Gna::new([1.0, 0.5, 0.5], [1, 2, 2]), Knob::Preset);
        let seen = |row: usize| -> Vec<usize> {
            (0..32).filter(|&column| levels[row][column] == 1).collect()
        };
        // Tiles 2 and 3 of row 0: leader 3, columns 1 to 4 of rows 0 and 1; the query block below them sees the same.
        assert_eq!(seen(1), [1, 2, 3, 4, 9, 10, 11, 12]);
        assert_eq!(seen(1), seen(5));
    }
}
