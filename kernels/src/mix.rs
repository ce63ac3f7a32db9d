//! Reproducible randomness: Steele, Lea and Flood's SplitMix64.

/// The generator.
pub(crate) struct SplitMix(u64);

impl SplitMix {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// `count` different numbers below `of`, ascending.
    pub(crate) fn choose(&mut self, count: usize, of: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..of).collect();
        for place in 0..count.min(of) {
            // The bias of the remainder is below `of` in 2⁶⁴.
            let other = place + (self.next() % (of - place) as u64) as usize;
            all.swap(place, other);
        }
        all.truncate(count);
        all.sort_unstable();
        all
    }
}

/// The generator's mixing step: a bijection after which every bit depends on all.
pub(crate) fn mixed(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
