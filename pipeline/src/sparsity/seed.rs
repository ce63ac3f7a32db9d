//! Seeds of estimators that sample: from the request's seed and the place, never from a count of calls.

use tessera_models::attention::{Branch, Site};

/// A seed mixed with numbers, by the finaliser of SplitMix64 after each.
pub fn mixed(seed: u64, numbers: &[u64]) -> u64 {
    numbers.iter().fold(seed, |state, number| {
        let mut z = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// The seed of a site in a step.
pub fn of_call(seed: u64, site: Site, step: usize) -> u64 {
    mixed(seed, &[place(site), step as u64 + 1])
}

/// The seed of a site in all steps.
pub fn of_site(seed: u64, site: Site) -> u64 {
    mixed(seed, &[place(site), 0])
}

fn place(site: Site) -> u64 {
    let branch = match site.branch {
        Branch::Cond => 0,
        Branch::Uncond => 1,
    };
    (site.layer as u64) << 16 | (site.expert as u64) << 1 | branch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_seed_of_its_own() {
        let mut all = Vec::new();
        for layer in 0..8 {
            for branch in [Branch::Cond, Branch::Uncond] {
                for expert in 0..2 {
                    let site = Site { layer, branch, expert };
                    all.extend((0..5).map(|step| of_call(1, site, step)));
                    all.push(of_site(1, site));
                }
            }
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        let site = Site { layer: 0, branch: Branch::Cond, expert: 0 };
        assert_ne!(of_call(1, site, 0), of_call(2, site, 0));
    }
}
