//! What the methods' knobs share: one share, stretched from nothing over the preset's to everything.

use candle_core::Tensor;
use tessera_kernels::levels::LevelMap;

use crate::Result;
use crate::sparsity::{Knob, Prepared};

/// A share in 0..=1 as the knob says: from 0 (keep 0) in a straight line to `share` (keep ½), and from there to 1 (keep 1).
/// It never falls as the knob grows.
pub(in crate::sparsity) fn stretched(share: f64, knob: Knob) -> f64 {
    match knob {
        Knob::Preset => share,
        Knob::Keep(keep) if keep < 0.5 => share * 2.0 * keep.max(0.0),
        Knob::Keep(keep) => share + (1.0 - share) * (2.0 * keep.min(1.0) - 1.0),
    }
}

/// `share` of `blocks` blocks, rounded, and at least one.
pub(super) fn count(share: f64, blocks: usize) -> usize {
    ((share * blocks as f64).round() as usize).clamp(1, blocks)
}

/// The share of a row that [`count`] makes of a share of its `blocks` blocks.
pub(super) fn shared(share: f64, blocks: usize) -> f64 {
    count(share, blocks) as f64 / blocks.max(1) as f64
}

/// How much of a row a preset keeps.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept {
    /// So many blocks, or all.
    Blocks(usize),
    /// This share of the blocks.
    Share(f64),
}

impl Kept {
    /// As a share of a row of `columns` blocks.
    pub(super) fn share(self, columns: usize) -> f64 {
        match self {
            Self::Blocks(blocks) => (blocks as f64 / columns as f64).min(1.0),
            Self::Share(share) => share,
        }
    }
}

/// What a policy answers that chooses from one tensor of scores.
pub(super) fn by_scores<'a>(
    scores: Tensor,
    select: impl Fn(&Tensor, Knob) -> Result<LevelMap> + 'a,
) -> Prepared<'a> {
    let chosen_by = scores.clone();
    Prepared {
        scores: Some(scores),
        lse: None,
        key_order: None,
        select: Box::new(move |knob| select(&chosen_by, knob)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_stretched_over_its_preset() {
        let at = |keep| stretched(0.2, Knob::Keep(keep));
        assert_eq!([at(0.0), at(0.25), at(0.5), at(1.0)], [0.0, 0.1, 0.2, 1.0]);
        assert!((at(0.75) - 0.6).abs() < 1e-12);
        assert_eq!(stretched(0.2, Knob::Preset), 0.2);
        assert_eq!([count(0.0, 9), count(0.5, 9), count(1.0, 9)], [1, 5, 9]);
    }
}
