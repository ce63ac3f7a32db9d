//! ln and sin/cos in F32 after Moshier's Cephes library, with the roundings of torch's compiled AVX2 code.
//!
//! The polynomials are Cephes' `logf` and `sincosf`. What decides the last bits is which products are fused into the following sum:
//! every Horner step is one fused multiply-add, and so are the three steps of the range reduction and the last product before a
//! sum. `f32::mul_add` rounds once by definition, so this gives the same bits on every machine, with or without the instruction.

/// ln of the mantissa near 1, highest power first: ln(1+x) = x − x²/2 + x³·P(x).
const LN: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    0.116_769_984,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    0.200_007_14,
    -2.499_999_4e-1,
    0.333_333_3,
];
/// ln 2 in two parts, the larger one short so that its product with a small integer is exact.
const LN_2_LOW: f32 = -2.121_944_4e-4;
const LN_2_HIGH: f32 = 0.693_359_4;

/// sin x = x + x³·P(x²) for |x| ≤ π/4.
const SIN: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
/// cos x = 1 − x²/2 + x⁴·P(x²) for |x| ≤ π/4.
const COS: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];
/// −π/4 in three parts for the range reduction.
const MINUS_QUARTER_PI: [f32; 3] = [-0.785_156_25, -2.418_756_5e-4, -3.774_895e-8];

/// Natural logarithm of a positive normal number.
pub(super) fn ln(value: f32) -> f32 {
    // value = mantissa · 2^exponent with the mantissa in [½, 1), then moved to [√½, √2) − 1.
    let bits = value.to_bits();
    let mut exponent = ((bits >> 23) as i32 - 126) as f32;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let mut x = mantissa - 1.0;
    if mantissa < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        x += mantissa;
    }
    let square = x * x;
    let series = horner(&LN, x) * x;
    let small = series.mul_add(square, exponent * LN_2_LOW);
    let small = square.mul_add(-0.5, small);
    exponent.mul_add(LN_2_HIGH, x + small)
}

/// (sin, cos) of an angle in [0, 8192).
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    // The even octant nearest to the angle, in units of π/4.
    let octant = ((angle * (2.0 * std::f32::consts::FRAC_2_PI)) as i32 + 1) & !1;
    let turns = octant as f32;
    let x = MINUS_QUARTER_PI.iter().fold(angle, |x, part| turns.mul_add(*part, x));
    let square = x * x;
    let cos = (horner(&COS, square) * square).mul_add(square, -(square * 0.5)) + 1.0;
    let sin = (horner(&SIN, square) * square).mul_add(x, x);
    let (sin, cos) = if octant & 2 == 0 { (sin, cos) } else { (cos, sin) };
    (if octant & 4 == 0 { sin } else { -sin }, if (octant - 2) & 4 == 0 { -cos } else { cos })
}

/// The polynomial with these coefficients, highest power first, every step fused.
fn horner(coefficients: &[f32], x: f32) -> f32 {
    coefficients[1..].iter().fold(coefficients[0], |sum, c| sum.mul_add(x, *c))
}
