//! What estimators cost beside the attention that they are for.

/// An estimator, by what its scores are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimator {
    /// [`super::mean_pool`].
    MeanPool,
    /// [`super::mean_pool`], and [`super::self_similarity`] of queries and keys.
    SelfSimilarity,
    /// [`super::sub_block`], over runs of 16.
    SubBlock,
    /// [`super::sampled_max`], of a quarter of each block's tokens.
    SampledMax,
    /// [`super::sampled_rows`], of 64 queries.
    SampledRows,
    /// [`super::pooling_loss`], of 8 queries of each block.
    PoolingLoss,
    /// [`super::block_mass`].
    BlockMass,
}

impl Estimator {
    /// Time as a share of that of dense attention over `tokens` tokens: what grows as attention does, and what it outgrows.
    /// A line through the times measured at 2 304 and 8 192 tokens (see [`super`]).
    pub fn cost(self, tokens: usize) -> f64 {
        let (share, outgrown) = match self {
            Self::MeanPool => (0.0, 28.0),
            Self::SelfSimilarity => (0.017, 85.0),
            Self::SubBlock => (0.004, 19.0),
            Self::SampledMax => (0.028, 16.0),
            Self::SampledRows => (0.001, 48.0),
            // Measured at 2 304 tokens alone (.21); its work grows as attention's does.
            Self::PoolingLoss => (0.18, 69.0),
            Self::BlockMass => (0.51, 64.0),
        };
        share + outgrown / tokens.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_those_that_were_measured() {
        for (estimator, short, long) in [
            (Estimator::MeanPool, 0.012, 0.003),
            (Estimator::SelfSimilarity, 0.054, 0.027),
            (Estimator::SubBlock, 0.012, 0.006),
            (Estimator::SampledMax, 0.035, 0.030),
            (Estimator::SampledRows, 0.022, 0.007),
            (Estimator::BlockMass, 0.54, 0.52),
        ] {
            for (tokens, measured) in [(2304, short), (8192, long)] {
                let missed = (estimator.cost(tokens) - measured).abs();
                assert!(missed <= 0.02 * measured + 0.0005, "{estimator:?} at {tokens}");
            }
        }
    }
}
