//! Vectors of F32 at each level behind one trait, so that a kernel's loop is written once.
//!
//! Methods are inlined into a function that has the level's instructions switched on: [`Simd::run`] is that function,
//! and a kernel is a [`Work`] whose `run` is `#[inline(always)]`. Outside of one a method would be a slow call, not a
//! wrong one. For that reason `run` has loops but no closures: a closure is a function without the level.
#![expect(unsafe_code, reason = "each level's instructions are there only on some processors")]

use half::bf16;

use super::Level;

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

/// A kernel's inner part, written once for every level.
pub(crate) trait Work {
    type Output;

    /// # Safety
    /// The processor has `S`'s instructions; pointers in `self` are good for what the kernel reads and writes.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Runs `work` at `level`; [`Level::Reference`] and levels unknown to the target run the portable loops.
///
/// # Safety
/// `level` is not above [`Level::of_this_machine`]; pointers in `work` are good for what it reads and writes.
pub(crate) unsafe fn dispatch<W: Work>(level: Level, work: W) -> W::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that the processor has these instructions.
        Level::Avx512Bf16 => unsafe { x86::Avx512Bf16::run(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { x86::Avx512::run(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::Avx2::run(work) },
        // SAFETY: no instructions beyond the target's minimum.
        _ => unsafe { portable::Portable::run(work) },
    }
}

/// Vectors of F32 of one level.
///
/// # Safety
/// Every method needs the level's instructions; loads and stores need as many elements as they name.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// LANES values.
    type V: Copy;
    /// Values in a vector.
    const LANES: usize;
    /// Rows of a product's tile, such that ROWS × 2 sums, 2 columns and a row value fit the registers.
    const ROWS: usize;

    /// Calls `work` with the level's instructions switched on.
    unsafe fn run<W: Work>(work: W) -> W::Output;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, x: Self::V);
    unsafe fn load_bf16(from: *const bf16) -> Self::V;
    /// Rounds to nearest, ties to even; a NaN stays one.
    unsafe fn store_bf16(to: *mut bf16, x: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// a·b + c.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; b where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; b where either is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// The nearest whole number, ties to even, of |x| < 2³¹.
    unsafe fn round(x: Self::V) -> Self::V;
    /// 2ⁿ of whole numbers n from −127 (which gives 0) to 128 (which gives ∞).
    unsafe fn pow2(n: Self::V) -> Self::V;
    /// Sum over the lanes.
    unsafe fn sum(x: Self::V) -> f32;
    /// Pairs of adjacent BF16 in each 32-bit lane: c + a₀·b₀ + a₁·b₁.
    unsafe fn dot_pairs(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `low` and `high` rounded to BF16 and put into one 32-bit lane, `low` in the low half.
    unsafe fn pair(low: Self::V, high: Self::V) -> Self::V;
    /// Swaps neighbours: lanes 1, 0, 3, 2, …
    unsafe fn swap_pairs(x: Self::V) -> Self::V;
    /// The two BF16 at each place of two rows in one 32-bit lane, `low`'s in the low half.
    unsafe fn load_pairs(low: *const bf16, high: *const bf16) -> Self::V;
    /// Four units of every fourth row: lanes 4i..4i + 4 are units k..k + 4 of `rows[4i]`.
    unsafe fn load_quads(rows: *const *const f32, k: usize) -> Self::V;
    /// In each four lanes, number r of result c is number c of operand r.
    unsafe fn transpose_quads(rows: [Self::V; 4]) -> [Self::V; 4];
    /// Asks for the cache line of an address, which need not be mapped, to be brought near.
    unsafe fn prefetch(from: *const u8);

    /// The first `count` ≤ LANES elements, zeros after them.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::V {
        let mut whole = [0.0; 16];
        // SAFETY: `count` ≤ LANES ≤ 16, and the caller has `count` elements at `from`.
        unsafe {
            std::ptr::copy_nonoverlapping(from, whole.as_mut_ptr(), count);
            Self::load(whole.as_ptr())
        }
    }

    /// Stores the first `count` ≤ LANES elements.
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, x: Self::V, count: usize) {
        let mut whole = [0.0; 16];
        // SAFETY: as `load_first`.
        unsafe {
            Self::store(whole.as_mut_ptr(), x);
            std::ptr::copy_nonoverlapping(whole.as_ptr(), to, count);
        }
    }
}
