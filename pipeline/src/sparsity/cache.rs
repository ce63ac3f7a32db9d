//! What is kept of a clip's attention between calls: level maps, four bits a block (a byte on a GPU, where they stay), and
//! log-sum-exps.
//!
//! Bounded: what would go over the bound is not kept, and whoever wants it later estimates again. Nothing is thrown out to
//! make room: every site asks once a step in the same order, so the newest would always push out the one that is asked for
//! next. Dropped with the attention that it belongs to, so a cancelled clip leaves nothing. Source: methods.md §6.5.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use tessera_kernels::levels::{Densities, LevelMap, PackedLevels};
use tessera_kernels::order::Order;
use tessera_models::attention::Site;

use super::Arrangement;
use crate::Result;

/// Whose map it is, and everything else that a map depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Layer, guidance branch and expert; of sites that share a map, the one that it is named after.
    pub site: Site,
    /// Samples at once.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Tokens.
    pub tokens: usize,
    /// Their order.
    pub arrangement: Arrangement,
    /// The policy and its numbers, hashed.
    pub policy: u64,
}

/// Where a map is kept.
#[derive(Debug, Clone)]
enum Levels {
    /// On the host.
    Packed(PackedLevels),
    /// On the GPU that made it.
    There(LevelMap),
}

/// A map and what is known of it.
#[derive(Debug, Clone)]
pub struct Kept {
    map: Levels,
    /// The site that estimated it.
    pub site: Site,
    /// The step in which it was estimated.
    pub step: usize,
    /// Its density for each (sample, head).
    pub densities: Densities,
    /// The order of each head's keys that it is about, where a method sorts them.
    pub key_order: Option<Vec<Order>>,
    /// Mean recall of the probed rows when it was made; `None` where nothing is probed.
    pub recall: Option<f64>,
}

impl Kept {
    /// Takes a map: packs one of the host.
    pub fn new(
        map: &LevelMap,
        (site, step): (Site, usize),
        densities: Densities,
        key_order: Option<Vec<Order>>,
        recall: Option<f64>,
    ) -> Result<Self> {
        let map = match map.levels().device() {
            Device::Cpu => Levels::Packed(map.packed()?),
            _ => Levels::There(map.clone()),
        };
        Ok(Self { map, site, step, densities, key_order, recall })
    }

    /// The map.
    pub fn map(&self) -> Result<LevelMap> {
        match &self.map {
            Levels::Packed(levels) => Ok(levels.unpack()?),
            Levels::There(map) => Ok(map.clone()),
        }
    }

    fn bytes(&self) -> u64 {
        let orders = self.key_order.iter().flatten().map(|order| 4 * order.tokens().len());
        let levels = match &self.map {
            Levels::Packed(levels) => levels.bytes(),
            Levels::There(map) => map.levels().elem_count(),
        };
        (levels + orders.sum::<usize>()) as u64
    }
}

/// Maps and log-sum-exps of one clip.
#[derive(Debug)]
pub struct MapCache {
    limit: u64,
    bytes: u64,
    maps: HashMap<Key, Kept>,
    lses: HashMap<Key, Tensor>,
}

impl MapCache {
    /// An empty cache that keeps at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, bytes: 0, maps: HashMap::new(), lses: HashMap::new() }
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// The newest map of a key.
    pub fn map(&self, key: &Key) -> Option<&Kept> {
        self.maps.get(key)
    }

    /// Keeps a map in place of the key's last one; `false` when there is no room for it.
    pub fn keep_map(&mut self, key: Key, kept: Kept) -> bool {
        self.bytes -= self.maps.remove(&key).map_or(0, |old| old.bytes());
        let fits = self.take(kept.bytes());
        if fits {
            self.maps.insert(key, kept);
        }
        fits
    }

    /// The newest log-sum-exp of a key, `[B, H, S]` F32.
    pub fn lse(&self, key: &Key) -> Option<&Tensor> {
        self.lses.get(key)
    }

    /// Keeps a log-sum-exp in place of the key's last one; `false` when there is no room for it.
    pub fn keep_lse(&mut self, key: Key, lse: &Tensor) -> bool {
        self.bytes -= self.lses.remove(&key).map_or(0, |old| lse_bytes(&old));
        let fits = self.take(lse_bytes(lse));
        if fits {
            self.lses.insert(key, lse.clone());
        }
        fits
    }

    fn take(&mut self, bytes: u64) -> bool {
        let fits = self.bytes + bytes <= self.limit;
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

fn lse_bytes(lse: &Tensor) -> u64 {
    (lse.elem_count() * lse.dtype().size_in_bytes()) as u64
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use tessera_kernels::blocks::Blocks;
    use tessera_models::attention::Branch;

    use super::*;

    fn key(layer: usize, branch: Branch) -> Key {
        let site = Site { layer, branch, expert: 0 };
        let arrangement = Arrangement::RASTER;
        Key { site, batch: 1, heads: 2, tokens: 500, arrangement, policy: 7 }
    }

    fn kept(key: Key, level: u8, step: usize) -> Kept {
        let map = LevelMap::filled(level, (1, 2), Blocks::of(500)).unwrap();
        Kept::new(&map, (key.site, step), map.counted().unwrap(), None, None).unwrap()
    }

    #[test]
    fn what_is_kept_comes_back_and_every_part_of_the_key_counts() {
        let mut cache = MapCache::new(1 << 20);
        let mine = key(3, Branch::Cond);
        assert!(cache.keep_map(mine, kept(mine, 4, 5)));
        let found = cache.map(&mine).unwrap();
        assert_eq!((found.step, found.site), (5, mine.site));
        assert!(found.map().unwrap().to_vec().unwrap().iter().all(|level| *level == 4));
        for other in [
            key(4, Branch::Cond),
            key(3, Branch::Uncond),
            Key { site: Site { expert: 1, ..mine.site }, ..mine },
            Key { batch: 2, ..mine },
            Key { heads: 3, ..mine },
            Key { tokens: 501, ..mine },
            Key { arrangement: Arrangement::Gilbert, ..mine },
            Key { policy: 8, ..mine },
        ] {
            assert!(cache.map(&other).is_none(), "{other:?}");
        }
        cache.clear();
        assert!(cache.map(&mine).is_none() && cache.bytes() == 0);
    }

    #[test]
    fn the_bound_holds_and_what_is_kept_stays() {
        let (first, second) = (key(0, Branch::Cond), key(1, Branch::Cond));
        let size = kept(first, 1, 0).bytes();
        assert_eq!(size, 32, "2 heads of 4 × 8 blocks at 4 bits");
        let mut cache = MapCache::new(size + 10);
        assert!(cache.keep_map(first, kept(first, 1, 0)));
        assert!(!cache.keep_map(second, kept(second, 1, 0)));
        assert!(cache.map(&second).is_none() && cache.map(&first).is_some());
        // A newer map of the same key takes the place of the old one.
        assert!(cache.keep_map(first, kept(first, 2, 1)));
        assert_eq!((cache.bytes(), cache.map(&first).unwrap().step), (size, 1));
        let lse = Tensor::zeros((1, 2, 500), DType::F32, &Device::Cpu).unwrap();
        assert!(!cache.keep_lse(first, &lse) && cache.lse(&first).is_none());
        let mut roomy = MapCache::new(4000);
        assert!(roomy.keep_lse(first, &lse) && roomy.keep_lse(first, &lse));
        assert_eq!(roomy.bytes(), 4000);
    }
}
