//! The product that linear layers, convolutions and attention share: one tile of sums.
//!
//! C[r, n] += Σ_k A[k, r] · B[k, n], where k counts *units* of 32 bits: one F32, or two adjacent BF16 that are
//! multiplied pairwise. A is k-major: the unit (k, r) is at `offsets[k] + r`. So one pointer serves all rows, and one
//! loop serves all taps of a convolution, whose offsets are the same rows shifted. B is packed: the units of a panel of
//! one or two vectors' width lie in the order in which the loop takes them.
#![expect(unsafe_code, reason = "the innermost loop works on packed memory through pointers")]

use std::marker::PhantomData;

use super::{
    host::Element,
    simd::{Simd, Work},
};

/// One tile's operands.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// Row 0 of the tile.
    pub(crate) a: *const u32,
    /// Where row 0 of each k lies, counted from `a`.
    pub(crate) offsets: &'a [usize],
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
            (12, 1) => S::run(Sized::<T, 12, 1>(t, PhantomData)),
            (12, _) => S::run(Sized::<T, 12, 2>(t, PhantomData)),
            (8, 1) => S::run(Sized::<T, 8, 1>(t, PhantomData)),
            (8, _) => S::run(Sized::<T, 8, 2>(t, PhantomData)),
            (6, 1) => S::run(Sized::<T, 6, 1>(t, PhantomData)),
            (6, _) => S::run(Sized::<T, 6, 2>(t, PhantomData)),
            (4, 1) => S::run(Sized::<T, 4, 1>(t, PhantomData)),
            (4, _) => S::run(Sized::<T, 4, 2>(t, PhantomData)),
            (2, 1) => S::run(Sized::<T, 2, 1>(t, PhantomData)),
            (2, _) => S::run(Sized::<T, 2, 2>(t, PhantomData)),
            (1, 1) => S::run(Sized::<T, 1, 1>(t, PhantomData)),
            (1, _) => S::run(Sized::<T, 1, 2>(t, PhantomData)),
            _ => {}
        }
    }
}

/// A tile of R rows and V vectors. It enters the level anew, as a function of its own: inlined into a larger one, its
/// sums would compete for registers with whatever that one keeps there.
struct Sized<'a, T, const R: usize, const V: usize>(Tile<'a>, PhantomData<T>);

impl<T: Element, const R: usize, const V: usize> Work for Sized<'_, T, R, V> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's promise.
        unsafe { sized::<S, T, R, V>(self.0) }
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
        for &offset in t.offsets {
            let a = t.a.add(offset).cast::<f32>();
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
            b = b.add(V * S::LANES);
        }
        for (r, row) in sums.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                S::store(t.sums.add(r * t.ldc + v * S::LANES), *sum);
            }
        }
    }
}
