//! Vectors as arrays, for processors without a path of their own: the compiler finds what instructions it can.
#![expect(unsafe_code, reason = "the trait's methods take pointers")]

use half::bf16;

use super::{Simd, Work};

/// Arrays of eight.
#[derive(Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 8;

/// A lane-wise operation.
macro_rules! lanes {
    ($($name:ident($($x:ident),*) $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name($($x: Self::V),*) -> Self::V {
            let mut y = [0.0; LANES];
            for (i, y) in y.iter_mut().enumerate() {
                $(let $x = $x[i];)*
                *y = $body;
            }
            y
        }
    )*};
}

/// The two BF16 of a 32-bit lane.
#[inline(always)]
fn halves(x: f32) -> (f32, f32) {
    let bits = x.to_bits();
    (f32::from_bits(bits << 16), f32::from_bits(bits & 0xffff_0000))
}

impl Simd for Portable {
    type V = [f32; LANES];
    const LANES: usize = LANES;
    const ROWS: usize = 4;

    #[inline(never)]
    unsafe fn run<W: Work>(work: W) -> W::Output {
        // SAFETY: no instructions beyond the target's minimum; the rest is the caller's promise.
        unsafe { work.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller has LANES elements there.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, x: Self::V) {
        // SAFETY: as `load`.
        unsafe { to.cast::<Self::V>().write_unaligned(x) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const bf16) -> Self::V {
        // SAFETY: as `load`.
        unsafe { from.cast::<[bf16; LANES]>().read_unaligned() }.map(bf16::to_f32)
    }

    #[inline(always)]
    unsafe fn store_bf16(to: *mut bf16, x: Self::V) {
        // SAFETY: as `load`.
        unsafe { to.cast::<[bf16; LANES]>().write_unaligned(x.map(bf16::from_f32)) }
    }

    lanes! {
        add(a, b) a + b;
        sub(a, b) a - b;
        mul(a, b) a * b;
        div(a, b) a / b;
        // Fused only where the target has the instruction: elsewhere it would be a call.
        fma(a, b, c) if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c };
        max(a, b) if a > b { a } else { b };
        min(a, b) if a < b { a } else { b };
        round(x) x.round_ties_even();
        pow2(n) f32::from_bits((((n as i32) + 127) << 23) as u32);
        dot_pairs(a, b, c) {
            let ((a0, a1), (b0, b1)) = (halves(a), halves(b));
            c + (a0 * b0 + a1 * b1)
        };
        pair(low, high) {
            let (low, high) = (bf16::from_f32(low), bf16::from_f32(high));
            f32::from_bits(u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16)
        };
    }

    #[inline(always)]
    unsafe fn sum(x: Self::V) -> f32 {
        x.iter().sum()
    }

    #[inline(always)]
    unsafe fn swap_pairs(x: Self::V) -> Self::V {
        [x[1], x[0], x[3], x[2], x[5], x[4], x[7], x[6]]
    }

    #[inline(always)]
    unsafe fn load_pairs(low: *const bf16, high: *const bf16) -> Self::V {
        let mut pairs = [0.0; LANES];
        for (i, pair) in pairs.iter_mut().enumerate() {
            // SAFETY: the caller has LANES elements at both.
            let (low, high) = unsafe { (low.add(i).read(), high.add(i).read()) };
            *pair = f32::from_bits(u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16);
        }
        pairs
    }

    #[inline(always)]
    unsafe fn load_quads(rows: *const *const f32, k: usize) -> Self::V {
        let mut quads = [0.0; LANES];
        for (i, quad) in quads.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            // SAFETY: the caller has these rows, and the four units in each.
            *quad = unsafe { (*rows.add(4 * i)).add(k).cast::<[f32; 4]>().read_unaligned() };
        }
        quads
    }

    #[inline(always)]
    unsafe fn transpose_quads(rows: [Self::V; 4]) -> [Self::V; 4] {
        let mut columns = rows;
        for (c, column) in columns.iter_mut().enumerate() {
            for (i, x) in column.iter_mut().enumerate() {
                *x = rows[i % 4][i / 4 * 4 + c];
            }
        }
        columns
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
}
