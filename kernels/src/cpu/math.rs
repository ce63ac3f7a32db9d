//! Functions of vectors: 2ˣ, SiLU, GELU.
#![expect(unsafe_code, reason = "made of the levels' vector methods")]

use super::simd::Simd;
use crate::Activation;

/// log₂ e.
pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// 2ˣ to 2·10⁻⁷ relative. Below 2^−126.5 it is 0, above 2^127.5 it is ∞; NaN stays NaN.
///
/// x = n + f with |f| ≤ ½; 2ᶠ is a polynomial of degree 6 (the coefficients of Cephes' exp2f), 2ⁿ goes into the exponent.
///
/// # Safety
/// As the methods of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp2<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise.
    let [y] = unsafe { exp2_each::<S, 1>([x]) };
    y
}

/// [`exp2`] of several vectors in step: each step waits for the one before, and the vectors fill the time.
///
/// # Safety
/// As the methods of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp2_each<S: Simd, const N: usize>(x: [S::V; N]) -> [S::V; N] {
    const COEFFICIENTS: [f32; 6] =
        [1.339_887_4e-3, 9.618_437e-3, 5.550_332_5e-2, 2.402_264_8e-1, 6.931_472e-1, 1.0];
    // SAFETY: the caller's promise.
    unsafe {
        let (mut n, mut f) = (x, x);
        for (n, f) in n.iter_mut().zip(&mut f) {
            // The constant comes first, so that a NaN in x stays.
            let x = S::max(S::splat(-127.0), S::min(S::splat(128.0), *f));
            *n = S::round(x);
            *f = S::sub(x, *n);
        }
        let mut p = [S::splat(1.535_336_2e-4); N];
        for c in COEFFICIENTS {
            for (p, f) in p.iter_mut().zip(&f) {
                *p = S::fma(*p, *f, S::splat(c));
            }
        }
        for (p, n) in p.iter_mut().zip(&n) {
            *p = S::mul(*p, S::pow2(*n));
        }
        p
    }
}

/// The activation of a vector.
///
/// GELU's ½(1 + tanh u) is 1/(1 + e^(−2u)), which does not cancel for negative u.
///
/// # Safety
/// As the methods of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(activation: Activation, x: S::V) -> S::V {
    /// √(2/π), the inner factor of the tanh form.
    const INNER: f32 = 0.797_884_6;
    // SAFETY: the caller's promise.
    unsafe {
        match activation {
            Activation::None => x,
            Activation::GeluTanh => {
                let cubed = S::mul(S::mul(x, x), x);
                let inner = S::fma(cubed, S::splat(0.044_715), x);
                logistic::<S>(x, S::mul(inner, S::splat(-2.0 * INNER * LOG2_E)))
            }
            Activation::Silu => silu::<S>(x),
        }
    }
}

/// x / (1 + e^(−x)).
///
/// # Safety
/// As the methods of [`Simd`].
#[inline(always)]
pub(crate) unsafe fn silu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { logistic::<S>(x, S::mul(x, S::splat(-LOG2_E))) }
}

/// x / (1 + 2ᵉ).
#[inline(always)]
unsafe fn logistic<S: Simd>(x: S::V, exponent: S::V) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { S::div(x, S::add(S::splat(1.0), exp2::<S>(exponent))) }
}
