//! The densities of a map's heads, counted where the map is and read when somebody asks: counting does not wait for a GPU.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::Density;
use crate::{blocks::Blocks, gpu::Fetch};

/// The density of every (sample, head) of a map, in row-major order.
#[derive(Debug, Clone)]
pub struct Densities(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Known(Vec<Density>),
    /// `[heads, 2]` I64, of each head Σ 2^(deepest − ℓ) over the blocks that are seen and Σ queries · pooled keys; and the
    /// heads that count as full.
    #[cfg_attr(not(any(feature = "cuda", test)), expect(dead_code, reason = "made on a GPU"))]
    Counted(Tensor, Blocks, Vec<usize>),
    /// The same counts on their way to the host.
    Fetched(Arc<Fetch>, Blocks, Vec<usize>),
}

impl Densities {
    /// Densities that were read.
    pub fn known(densities: Vec<Density>) -> Self {
        Self(Kind::Known(densities))
    }

    #[cfg(feature = "cuda")]
    pub(super) fn counts(counts: Tensor, blocks: Blocks) -> Self {
        Self(Kind::Counted(counts, blocks, Vec::new()))
    }

    /// The same with these heads in full.
    #[must_use]
    pub fn with_full(mut self, heads: &[usize]) -> Self {
        match &mut self.0 {
            Kind::Known(densities) => fill(densities, heads),
            Kind::Counted(_, _, full) | Kind::Fetched(_, _, full) => full.extend_from_slice(heads),
        }
        self
    }

    /// The same with counts that are copied to the host from now on, beside the work: any thread may read them.
    pub fn fetched(self) -> Result<Self> {
        Ok(Self(match self.0 {
            Kind::Counted(counts, blocks, full) => {
                Kind::Fetched(Arc::new(Fetch::begin(&counts)?), blocks, full)
            }
            other => other,
        }))
    }

    /// The densities where they are known without waiting.
    pub fn known_now(&self) -> Option<&[Density]> {
        match &self.0 {
            Kind::Known(densities) => Some(densities),
            Kind::Counted(..) | Kind::Fetched(..) => None,
        }
    }

    /// The densities; waits for a GPU that has yet to count.
    pub fn read(&self) -> Result<Vec<Density>> {
        Ok(Self::read_all(&[self])?.swap_remove(0))
    }

    /// The densities of several maps of one device, in one copy.
    pub fn read_all(all: &[&Self]) -> Result<Vec<Vec<Density>>> {
        let counts: Vec<&Tensor> = all.iter().filter_map(|one| one.counts_of()).collect();
        let counts = match counts.as_slice() {
            [] => Vec::new(),
            counts => Tensor::cat(counts, 0)?.to_device(&Device::Cpu)?.to_vec2::<i64>()?,
        };
        let mut counts = counts.into_iter();
        let read = |one: &&Self| match &one.0 {
            Kind::Known(densities) => Ok(densities.clone()),
            Kind::Counted(of, blocks, full) => {
                let counts = counts.by_ref().take(of.dim(0)?);
                Ok(densities(counts, *blocks, full))
            }
            Kind::Fetched(fetch, blocks, full) => {
                Ok(densities(fetch.finish()?.to_vec2()?, *blocks, full))
            }
        };
        all.iter().map(read).collect()
    }

    fn counts_of(&self) -> Option<&Tensor> {
        match &self.0 {
            Kind::Known(_) | Kind::Fetched(..) => None,
            Kind::Counted(counts, ..) => Some(counts),
        }
    }
}

/// The densities that all heads' counts say, these heads `full`.
fn densities(
    counts: impl IntoIterator<Item = Vec<i64>>,
    blocks: Blocks,
    full: &[usize],
) -> Vec<Density> {
    let mut densities: Vec<Density> =
        counts.into_iter().map(|counts| density(&counts, blocks)).collect();
    fill(&mut densities, full);
    densities
}

/// The density that a head's two counts say.
fn density(counts: &[i64], blocks: Blocks) -> Density {
    let whole = 1_usize << (blocks.deepest_level() - 1);
    let share = |count: i64, of: usize| count as f64 / of as f64;
    Density {
        nominal: share(counts[0], blocks.rows() * blocks.columns() * whole),
        exact: share(counts[1], blocks.queries * blocks.keys),
    }
}

/// Makes these heads full.
fn fill(densities: &mut [Density], heads: &[usize]) {
    for head in heads {
        if let Some(density) = densities.get_mut(*head) {
            *density = Density { nominal: 1.0, exact: 1.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::levels::LevelMap;

    /// The counts that a GPU would make of the golden map, beside what the host makes of it.
    #[test]
    fn counts_say_what_the_map_does() {
        let blocks = Blocks::new(6, 10, 4, 4).unwrap();
        let map = LevelMap::from_vec(vec![1, 2, 3, 0, 3, 1], (1, 1), blocks).unwrap();
        let known = map.counted().unwrap();
        // Levels 1 2 3 | 0 3 1 of the deepest 3: 4 + 2 + 1 + 1 + 4; 4·(4 + 2 + 1) + 2·(1 + 2).
        let counts = Tensor::new(&[[12_i64, 34]], &Device::Cpu).unwrap();
        let counted = Densities(Kind::Counted(counts, blocks, Vec::new()));
        assert_eq!(counted.read().unwrap(), map.densities().unwrap());
        assert!(counted.known_now().is_none() && known.known_now().is_some());
        let full = Density { nominal: 1.0, exact: 1.0 };
        assert_eq!(counted.clone().with_full(&[0]).read().unwrap(), [full]);
        let all = Densities::read_all(&[&counted, &known.clone().with_full(&[0]), &counted]);
        let all = all.unwrap();
        assert_eq!((all[0].clone(), all[1].clone()), (known.read().unwrap(), vec![full]));
        assert_eq!(all[2], all[0]);
        let fetched = counted.clone().with_full(&[0]).fetched().unwrap();
        assert!(fetched.known_now().is_none());
        assert_eq!(fetched.read().unwrap(), [full]);
        assert_eq!(counted.clone().fetched().unwrap().with_full(&[0]).read().unwrap(), [full]);
        assert_eq!(counted.fetched().unwrap().read().unwrap(), known.read().unwrap());
    }
}
