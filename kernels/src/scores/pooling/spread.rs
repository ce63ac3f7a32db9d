//! How far the values of a group are from their mean, at every level.

use crate::blocks::Blocks;

/// One head's groups.
#[derive(Debug)]
pub(super) struct Spreads {
    /// Of level ℓ at index ℓ − 2, of each group in order: (1/n) Σ ‖v − v̄‖² over its n tokens.
    pub(super) levels: Vec<Vec<f32>>,
}

impl Spreads {
    /// From a head's values `[Sk, width]`.
    pub(super) fn new(v: &[f32], width: usize, blocks: Blocks) -> Self {
        let deepest = usize::from(blocks.deepest_level());
        let groups = |level: usize| blocks.keys.div_ceil(1 << (level - 1));
        let mut levels: Vec<Vec<f32>> =
            (2..=deepest).map(|level| Vec::with_capacity(groups(level))).collect();
        for block in v.chunks(blocks.key_block * width) {
            let mut means = block.to_vec();
            let mut tokens = vec![1.0_f32; means.len() / width];
            let mut squares = vec![0.0_f32; tokens.len()];
            for level in &mut levels {
                merge(&mut means, &mut tokens, &mut squares, width);
                level.extend(squares.iter().zip(&tokens).map(|(sum, n)| sum / n));
            }
        }
        Self { levels }
    }
}

/// Halves the groups, two neighbours into one: their means, their numbers of tokens, and the sums of their tokens' squared
/// distances from the mean, which grow by ‖a − b‖²·nₐn_b/(nₐ + n_b). A last group without a partner stays as it is.
fn merge(means: &mut Vec<f32>, tokens: &mut Vec<f32>, squares: &mut Vec<f32>, width: usize) {
    let groups = tokens.len();
    for to in 0..groups.div_ceil(2) {
        let (a, b) = (2 * to, 2 * to + 1);
        if b == groups {
            means.copy_within(a * width..(a + 1) * width, to * width);
            (tokens[to], squares[to]) = (tokens[a], squares[a]);
            continue;
        }
        let of_b = tokens[b] / (tokens[a] + tokens[b]);
        let mut distance = 0.0;
        for channel in 0..width {
            let gap = means[b * width + channel] - means[a * width + channel];
            distance += gap * gap;
            means[to * width + channel] = means[a * width + channel] + gap * of_b;
        }
        squares[to] = squares[a] + squares[b] + distance * tokens[a] * of_b;
        tokens[to] = tokens[a] + tokens[b];
    }
    tokens.truncate(groups.div_ceil(2));
    squares.truncate(tokens.len());
    means.truncate(tokens.len() * width);
}
