//! Windows of tiles that slide along each axis: what STA and GNA have in common.
//!
//! The clip is cut into tiles. Along one axis of n tiles, query tile i has a leader, min(⌊i/s⌋·s + ⌊s/2⌋, n − 1) for stride s
//! (s = 1: itself), and sees the w tiles from clamp(leader − ⌊w/2⌋, 0, n − w) on: as many at the border as inside. A pair is
//! in the window when it is along all three axes. A wider window holds a narrower one, so the knob grows all three widths
//! together, over the preset to the whole clip; below one stride, the narrowest there is, only its nearest tiles are seen. Source: methods.md §2.8, §2.9.

use tessera_models::geometry::Grid;

use crate::sparsity::geometry::{Token, knob_at};

/// A window by its shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Windows {
    /// Tokens of a tile: frames, rows, columns.
    pub(super) tile: [usize; 3],
    /// Width of the window as a share of the clip, along each axis.
    pub(super) share: [f32; 3],
    /// Stride in tiles, along each axis.
    pub(super) stride: [usize; 3],
}

impl Windows {
    /// The rule for a clip.
    pub(super) fn rule(self, grid: Grid) -> impl Fn(&Token, &Token) -> f32 + Sync {
        let edges = [grid.frames, grid.rows, grid.cols];
        let axes = [0, 1, 2].map(|axis| {
            let count = edges[axis].div_ceil(self.tile[axis]);
            Axis::new(count, self.stride[axis], self.share[axis])
        });
        move |query, key| {
            let along = |axis: usize| {
                let tile = |token: &Token| token.place[axis] / self.tile[axis];
                axes[axis].entry(tile(query), tile(key))
            };
            along(0).max(along(1)).max(along(2))
        }
    }
}

/// One axis: at which knob each pair of tiles is in.
struct Axis {
    count: usize,
    entries: Vec<f32>,
}

impl Axis {
    fn new(count: usize, stride: usize, share: f32) -> Self {
        let stride = stride.clamp(1, count.max(1));
        // Never narrower than the stride: queries between two leaders would not see themselves.
        let preset = ((share * count as f32).round() as usize).clamp(stride, count.max(1));
        let width = |tiles: usize| (tiles - 1) as f32 / (count.max(2) - 1) as f32;
        let blocked = knob_at(width(stride), width(preset));
        let entry = |pair: usize| {
            let (query, key) = (pair / count, pair % count);
            let least = least_window(query, key, count, stride);
            if least > stride {
                knob_at(width(least), width(preset))
            } else {
                // The narrowest window is a stride wide; below it the nearest tiles of that.
                let away = query.abs_diff(key) as f32 / (stride.max(2) - 1) as f32;
                blocked * away.min(1.0)
            }
        };
        Self { count, entries: (0..count * count).map(entry).collect() }
    }

    fn entry(&self, query: usize, key: usize) -> f32 {
        self.entries[query * self.count + key]
    }
}

/// The narrowest window in which tile `query` sees tile `key`.
fn least_window(query: usize, key: usize, count: usize, stride: usize) -> usize {
    let leader = (query / stride * stride + stride / 2).min(count - 1);
    let holds = |width: usize| {
        let first = leader.saturating_sub(width / 2).min(count - width);
        (first..first + width).contains(&key)
    };
    (1..=count).find(|&width| holds(width)).unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tiles that each of `count` sees at a knob.
    fn seen(count: usize, stride: usize, share: f32, keep: f32) -> Vec<String> {
        let axis = Axis::new(count, stride, share);
        let mark = |query, key| if axis.entry(query, key) <= keep { '#' } else { '.' };
        (0..count).map(|query| (0..count).map(|key| mark(query, key)).collect()).collect()
    }

    #[test]
    fn sliding_windows_by_hand() {
        let preset = seen(6, 1, 0.5, 0.5);
        assert_eq!(preset, ["###...", "###...", ".###..", "..###.", "...###", "...###"]);
        assert_eq!(
            seen(6, 1, 0.5, 0.0),
            ["#.....", ".#....", "..#...", "...#..", "....#.", ".....#"]
        );
        assert_eq!(seen(6, 1, 0.5, 1.0), ["######"; 6]);
        assert_eq!(seen(1, 1, 0.5, 0.0), ["#"]);
    }

    #[test]
    fn strides_share_windows() {
        // Leaders are 1, 1, 3, 3, 5, 5; a window of 4 starts 2 before them.
        let preset = seen(6, 2, 0.66, 0.5);
        assert_eq!(preset, ["####..", "####..", ".####.", ".####.", "..####", "..####"]);
        // The narrowest is a stride wide: blocked attention. The knob at which it is: 1 of the 3 tiles that widths grow by.
        let least = seen(6, 2, 0.66, 0.2);
        assert_eq!(least, ["##....", "##....", "..##..", "..##..", "....##", "....##"]);
        let none = seen(6, 2, 0.66, 0.0);
        assert_eq!(none[3], "...#..");
    }

    #[test]
    fn wider_windows_hold_narrower_ones() {
        for (count, stride) in [(7, 1), (7, 3), (12, 5)] {
            for query in 0..count {
                for key in 0..count {
                    let least = least_window(query, key, count, stride);
                    let leader = (query / stride * stride + stride / 2).min(count - 1);
                    for width in least..=count {
                        let first = leader.saturating_sub(width / 2).min(count - width);
                        assert!((first..first + width).contains(&key));
                    }
                }
            }
        }
    }
}
