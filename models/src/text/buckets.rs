//! UMT5's relative positions: which of 32 learned biases a pair of tokens gets (wan.md §3.1).
//!
//! Half of the buckets are for keys after the query. Within a half, distances 0–7 have a bucket each and farther ones
//! share buckets that widen with the logarithm up to 128. The edges are baked: the reference computes
//! 8 + ⌊ln(n/8) / ln(16) · 8⌋ in F32, where another base or order of operations can move an edge by one.

/// Buckets in all; the first half is for keys at or before the query.
pub const COUNT: usize = 32;

/// The smallest distance of each shared bucket, from bucket 8 on.
const EDGES: [usize; 8] = [8, 12, 16, 23, 32, 46, 64, 91];

/// The bucket of a key at position `key` for a query at position `query`, 0 ≤ bucket < 32.
pub fn bucket(query: usize, key: usize) -> u32 {
    let distance = query.abs_diff(key);
    let near = if distance < EDGES[0] {
        distance
    } else {
        EDGES[0] - 1 + EDGES.iter().take_while(|&&edge| edge <= distance).count()
    };
    let after = if key > query { COUNT / 2 } else { 0 };
    (after + near) as u32
}

/// Buckets of all pairs among `tokens` positions, queries slowest: `tokens`² entries.
pub fn table(tokens: usize) -> Vec<u32> {
    (0..tokens).flat_map(|query| (0..tokens).map(move |key| bucket(query, key))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The reference's formula, in its order of operations: F32, natural logarithms.
    fn by_formula(relative: i64) -> u32 {
        let n = relative.unsigned_abs() as usize;
        let near = if n < 8 {
            n
        } else {
            let ratio = (n as f32 / 8.0).ln() / (16f64.ln() as f32) * 8.0;
            (8 + ratio as usize).min(15)
        };
        (near + if relative > 0 { 16 } else { 0 }) as u32
    }

    #[test]
    fn the_baked_table_is_the_formula() {
        for relative in -600..=600i64 {
            let (query, key) =
                if relative > 0 { (0, relative as usize) } else { (-relative as usize, 0) };
            assert_eq!(bucket(query, key), by_formula(relative), "at {relative}");
        }
    }

    #[test]
    fn the_edges_are_those_of_the_reference() {
        let at = |n| bucket(n, 0);
        for (first, last, expected) in [
            (7, 7, 7),
            (8, 11, 8),
            (12, 15, 9),
            (16, 22, 10),
            (23, 31, 11),
            (32, 45, 12),
            (46, 63, 13),
            (64, 90, 14),
            (91, 511, 15),
        ] {
            assert_eq!((at(first), at(last)), (expected, expected));
        }
    }

    proptest! {
        #[test]
        fn buckets_widen_and_mirror(query in 0usize..512, key in 0usize..511) {
            let (here, there) = (bucket(query, key), bucket(key, query));
            prop_assert!((here as usize) < COUNT);
            if query != key {
                prop_assert_eq!(here % 16, there % 16);
                prop_assert_eq!(here.abs_diff(there), 16);
            }
            if key >= query {
                prop_assert!(bucket(query, key + 1) >= here);
            }
            prop_assert_eq!(bucket(query + 3, key + 3), here);
        }
    }
}
