//! Starting noise: the stream of torch's CPU generator, bit for bit.
//!
//! `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))` in F32 has two forms, chosen by the number of
//! elements n of the (contiguous) tensor; both are here because a seed must give the same clip in either program.
//!
//! * **n ≥ 16.** One uniform u = (r mod 2²⁴)·2⁻²⁴ for each element, in order. Then every run of 16 is turned in place by
//!   Box–Muller: element j < 8 gives u₁ = 1 − u, element j + 8 gives u₂; radius ρ = √(−2 ln u₁), angle θ = 2π·u₂; element j
//!   becomes ρ·cos θ and element j + 8 becomes ρ·sin θ. When 16 does not divide n, the **last** 16 elements are drawn again with
//!   fresh uniforms and turned, overwriting some that were already finished.
//! * **n < 16.** Pairs of F64 uniforms of 53 bits; u from the first gives the angle, the second the radius √(−2·ln(1 − u)); cosine
//!   first, the sine is kept for the next element. Rounded to F32 at the end.
//!
//! ln, cos and sin of the first form are not libm's: torch's x86-64 build uses Cephes polynomials on AVX2 lanes, and its compiler
//! fuses products into sums, so last bits differ from any libm. `cephes.rs` repeats those operations in that order in scalar F32.
//! torch on a machine without AVX2 (or on ARM) gives noise that differs from this in last bits.
//!
//! Source of the algorithm: ATen `native/cpu/DistributionTemplates.h`, `core/DistributionsHelper.h`; checked against torch 2.15
//! over many sizes and seeds (`tests` holds a table of raw bits).

mod cephes;
mod mersenne;
#[cfg(test)]
mod tests;

use mersenne::Mersenne;

/// Elements that one turn of Box–Muller handles; also the size from which torch takes its vector form.
const RUN: usize = 16;

/// Standard normal noise equal in every bit to `torch.randn(shape)` from a CPU generator seeded with `seed`.
///
/// The result is contiguous in the order of `shape` (last axis fastest); its length is the product of `shape` (1 for no axes).
pub fn torch_randn(seed: u64, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let mut generator = Mersenne::new(seed);
    let mut noise = vec![0.0; count];
    if count < RUN {
        fill_few(&mut generator, &mut noise);
    } else {
        fill_runs(&mut generator, &mut noise);
    }
    noise
}

/// The form for at least 16 elements.
fn fill_runs(generator: &mut Mersenne, noise: &mut [f32]) {
    for value in noise.iter_mut() {
        *value = generator.uniform_f32();
    }
    for run in noise.chunks_exact_mut(RUN) {
        turn(run);
    }
    let count = noise.len();
    if !count.is_multiple_of(RUN) {
        let last = &mut noise[count - RUN..];
        for value in last.iter_mut() {
            *value = generator.uniform_f32();
        }
        turn(last);
    }
}

/// Box–Muller in place on 16 uniforms: the first eight are radii, the last eight are angles.
fn turn(run: &mut [f32]) {
    let (radii, angles) = run.split_at_mut(RUN / 2);
    for (first, second) in radii.iter_mut().zip(angles) {
        let radius = (-2.0_f32 * cephes::ln(1.0 - *first)).sqrt();
        let (sin, cos) = cephes::sin_cos(std::f32::consts::TAU * *second);
        *first = radius * cos;
        *second = radius * sin;
    }
}

/// The form for fewer than 16 elements.
fn fill_few(generator: &mut Mersenne, noise: &mut [f32]) {
    for pair in noise.chunks_mut(2) {
        let angle = std::f64::consts::TAU * generator.uniform_f64();
        let radius = (-2.0_f64 * (-generator.uniform_f64()).ln_1p()).sqrt();
        pair[0] = (radius * angle.cos()) as f32;
        if let Some(second) = pair.get_mut(1) {
            *second = (radius * angle.sin()) as f32;
        }
    }
}
