//! The static patterns that heads of video models show, as entries over the blocks of a clip.
//!
//! Bands and windows are ranked: the knob is the map's density, and the blocks that it keeps are the ones nearest to the
//! pattern's middle. So patterns of one density can be compared, whatever their shape. SVG's spatial head is the diagonal
//! band, its temporal head the multi-diagonal one (methods.md §2.6, §2.14).

use std::fmt;
use std::str::FromStr;

use tessera_kernels::order::{AxisOrder, Order, axes};

use super::Cells;
use super::arrangement::volume;
use super::geometry::{Coverage, Entries, Token, by_rank, entries};

/// A pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pattern {
    /// Everything.
    Full,
    /// Nothing: the head's output is 0.
    Skip,
    /// Tokens near each other in the model's order: frames near the query's.
    Diagonal,
    /// Tokens near each other with the frame as the fastest axis: places near the query's, in all frames.
    MultiDiagonal,
    /// Tokens near each other along every axis, each measured by the clip's edge (STA's window).
    Window,
    /// The key blocks that most queries look at.
    Stripes,
}

impl Pattern {
    /// Every pattern.
    pub(crate) const ALL: [Self; 6] =
        [Self::Full, Self::Skip, Self::Diagonal, Self::MultiDiagonal, Self::Window, Self::Stripes];

    /// Its name in plan files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Skip => "skip",
            Self::Diagonal => "diagonal",
            Self::MultiDiagonal => "multi-diagonal",
            Self::Window => "window",
            Self::Stripes => "stripes",
        }
    }

    /// The entries of a pattern that is the same for all heads; `None` for stripes, see [`stripes`].
    pub(crate) fn entries(self, cells: Cells, order: &Order) -> Option<Entries> {
        let Cells { grid, blocks, .. } = cells;
        let count = cells.rows().len() * blocks.columns();
        let ranked = |rule: &(dyn Fn(&Token, &Token) -> f32 + Sync)| {
            by_rank(&entries(cells, order, Coverage::Share(0.5), rule))
        };
        Some(match self {
            Self::Full => vec![0.0; count].into(),
            Self::Skip => vec![f32::INFINITY; count].into(),
            Self::Diagonal => {
                let tokens = grid.tokens() as f32;
                ranked(&|query, key| query.raster.abs_diff(key.raster) as f32 / tokens)
            }
            Self::MultiDiagonal => {
                let tokens = grid.tokens() as f32;
                let place = axes(volume(grid), AxisOrder::Hwf).inverse();
                let place = place.tokens();
                ranked(&|query, key| {
                    place[query.raster].abs_diff(place[key.raster]) as f32 / tokens
                })
            }
            Self::Window => {
                let edges = [grid.frames, grid.rows, grid.cols];
                let along = |query: &Token, key: &Token, axis: usize| {
                    query.place[axis].abs_diff(key.place[axis]) as f32 / edges[axis] as f32
                };
                ranked(&|query, key| (0..3).map(|axis| along(query, key, axis)).fold(0.0, f32::max))
            }
            Self::Stripes => return None,
        })
    }
}

/// The entries of stripes: the key blocks with the larger `mass` first, of equal ones the earlier.
pub(crate) fn stripes(mass: &[f32], rows: usize) -> Entries {
    let mut ranked: Vec<usize> = (0..mass.len()).collect();
    ranked.sort_by(|a, b| mass[*b].total_cmp(&mass[*a]));
    let mut row = vec![0.0; mass.len()];
    for (rank, column) in ranked.into_iter().enumerate() {
        row[column] = (rank + 1) as f32 / mass.len() as f32;
    }
    row.repeat(rows).into()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|pattern| pattern.name() == name);
        found.ok_or_else(|| {
            format!("one of {}, not \"{name}\"", Self::ALL.map(Self::name).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use tessera_kernels::blocks::Blocks;
    use tessera_models::geometry::Grid;

    use super::*;

    /// 3 frames of 2 × 2 tokens; blocks of 2 queries and 2 keys, two to a frame.
    const GRID: Grid = Grid { frames: 3, rows: 2, cols: 2 };

    fn kept(pattern: Pattern, density: f32) -> Vec<String> {
        let blocks = Blocks::new(12, 12, 2, 2).unwrap();
        let order = Order::identity(12);
        let entries = pattern.entries(Cells::all(GRID, blocks), &order).unwrap();
        let rows = entries.chunks(6);
        rows.map(|row| row.iter().map(|e| if *e <= density { '#' } else { '.' }).collect())
            .collect()
    }

    #[test]
    fn bands_by_hand() {
        assert_eq!(
            kept(Pattern::Diagonal, 0.5),
            ["##....", "###...", ".###..", "..###.", "...###", "....##"]
        );
        // The same half frame, in all frames.
        assert_eq!(
            kept(Pattern::MultiDiagonal, 0.5),
            ["#.#.#.", ".#.#.#", "#.#.#.", ".#.#.#", "#.#.#.", ".#.#.#"]
        );
        assert_eq!(kept(Pattern::Skip, 1.0), ["......"; 6]);
        assert_eq!(kept(Pattern::Full, 0.0), ["######"; 6]);
    }

    #[test]
    fn a_window_is_near_along_every_axis() {
        // One frame away is a third of the clip, one row away half of it.
        assert_eq!(kept(Pattern::Window, 0.4)[0], "#.#...");
        assert_eq!(kept(Pattern::Window, 1.0), ["######"; 6]);
    }

    #[test]
    fn stripes_are_the_heaviest_columns() {
        let entries = stripes(&[0.5, 2.0, 1.0, 0.5], 2);
        assert_eq!(entries[..4], [0.75, 0.25, 0.5, 1.0]);
        assert_eq!(entries[..4], entries[4..]);
    }

    #[test]
    fn names_are_read_back() {
        for pattern in Pattern::ALL {
            assert_eq!(pattern.name().parse::<Pattern>().unwrap(), pattern);
        }
        assert!("band".parse::<Pattern>().unwrap_err().contains("multi-diagonal"));
    }
}
