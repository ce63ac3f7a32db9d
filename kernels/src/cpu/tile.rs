//! The product that linear layers, convolutions and attention share: one tile of sums.
//!
//! C[r, n] += Σ_tap Σ_k A[tap, k, r] · B[tap, k, n], where k counts *units* of 32 bits: one F32, or two adjacent BF16
//! that are multiplied pairwise. A is k-major: the unit (k, r) of a tap is at `taps[tap] + k·lda + r`, so one pointer
//! serves all rows, and a convolution's taps are the same rows at other offsets. B is packed: the units of a panel of
//! one or two vectors' width lie in the order in which the loop takes them.
#![expect(unsafe_code, reason = "the innermost loop works on packed memory through pointers")]

use super::{host::Element, simd::Simd};

/// One tile's operands.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// Row 0 of the tile, k = 0.
    pub(crate) a: *const u32,
    /// Offset of each tap from `a`.
    pub(crate) taps: &'a [usize],
    /// Units along k in each tap.
    pub(crate) depth: usize,
    /// Units from k to k + 1.
    pub(crate) lda: usize,
    /// The panel's first unit.
    pub(crate) b: *const u32,
    /// Sums, row after row.
    pub(crate) sums: *mut f32,
    /// From one row of sums to the next.
    pub(crate) ldc: usize,
    /// Whether the sums already there are added to.
    pub(crate) accumulate: bool,
}

/// Rows that a tile of at least `rows` computes: the rows of A up to that number are read, and so many sums written.
pub(crate) fn tile_rows<S: Simd>(rows: usize) -> usize {
    match rows {
        0 => 0,
        1 => 1,
        2 => 2,
        3 | 4 => 4,
        5..=8 if S::ROWS > 6 => 8,
        _ => S::ROWS,
    }
}

/// Computes a tile of `tile_rows(rows)` rows and `vectors` (1 or 2) vectors' width.
///
/// # Safety
/// `S`'s instructions are there; A, B and the sums have the units that the shape names.
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, T: Element>(rows: usize, vectors: usize, t: Tile<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        match (tile_rows::<S>(rows), vectors) {
            (12, 1) => sized::<S, T, 12, 1>(t),
            (12, _) => sized::<S, T, 12, 2>(t),
            (8, 1) => sized::<S, T, 8, 1>(t),
            (8, _) => sized::<S, T, 8, 2>(t),
            (6, 1) => sized::<S, T, 6, 1>(t),
            (6, _) => sized::<S, T, 6, 2>(t),
            (4, 1) => sized::<S, T, 4, 1>(t),
            (4, _) => sized::<S, T, 4, 2>(t),
            (2, 1) => sized::<S, T, 2, 1>(t),
            (2, _) => sized::<S, T, 2, 2>(t),
            (1, 1) => sized::<S, T, 1, 1>(t),
            (1, _) => sized::<S, T, 1, 2>(t),
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn sized<S: Simd, T: Element, const R: usize, const V: usize>(t: Tile<'_>) {
    if R > S::ROWS {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; R];
        if t.accumulate {
            for (r, row) in sums.iter_mut().enumerate() {
                for (v, sum) in row.iter_mut().enumerate() {
                    *sum = S::load(t.sums.add(r * t.ldc + v * S::LANES));
                }
            }
        }
        let mut b = t.b.cast::<f32>();
        for &tap in t.taps {
            let mut a = t.a.add(tap).cast::<f32>();
            for _ in 0..t.depth {
                let mut columns = [S::splat(0.0); V];
                for (v, column) in columns.iter_mut().enumerate() {
                    *column = S::load(b.add(v * S::LANES));
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let x = S::splat(*a.add(r));
                    for (sum, column) in row.iter_mut().zip(columns) {
                        *sum = if T::PER_UNIT == 2 {
                            S::dot_pairs(x, column, *sum)
                        } else {
                            S::fma(x, column, *sum)
                        };
                    }
                }
                a = a.add(t.lda);
                b = b.add(V * S::LANES);
            }
        }
        for (r, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                S::store(t.sums.add(r * t.ldc + v * S::LANES), *sum);
            }
        }
    }
}
