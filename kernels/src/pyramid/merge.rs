//! Two attentions over different keys as one over all of them.

use candle_core::{D, DType, Result, Tensor};

use super::Attended;
use crate::check;

/// (e^LSE₁·O₁ + e^LSE₂·O₂)/(e^LSE₁ + e^LSE₂), in F32, rounded once to the outputs' dtype.
///
/// Exact where each key is seen by one of the two at most; a row that both leave empty stays empty. Both need the same
/// shapes and dtype. Source: methods.md §6.3, property 5.
pub fn merge(a: &Attended, b: &Attended) -> Result<Attended> {
    const OP: &str = "merge";
    check::compute_dtype(OP, a.out.dtype())?;
    check::dtype(OP, "b.out", &b.out, a.out.dtype())?;
    check::shape(OP, "b.out", &b.out, a.out.dims())?;
    let (batch, heads, queries, _) = a.out.dims4()?;
    for (name, lse) in [("a.lse", &a.lse), ("b.lse", &b.lse)] {
        check::dtype(OP, name, lse, DType::F32)?;
        check::shape(OP, name, lse, &[batch, heads, queries])?;
    }
    // The floor keeps −∞ − −∞ out of the exponent.
    let highest = a.lse.maximum(&b.lse)?.maximum(f32::MIN)?;
    let weight = |lse: &Tensor| lse.sub(&highest)?.exp();
    let (of_a, of_b) = (weight(&a.lse)?, weight(&b.lse)?);
    let sum = (&of_a + &of_b)?;
    let divisor = sum.maximum(f32::MIN_POSITIVE)?;
    let part = |x: &Attended, weight: &Tensor| {
        let share = weight.div(&divisor)?.unsqueeze(D::Minus1)?;
        x.out.to_dtype(DType::F32)?.broadcast_mul(&share)
    };
    let out = (part(a, &of_a)? + part(b, &of_b)?)?.to_dtype(a.out.dtype())?;
    Ok(Attended { out, lse: (sum.log()? + highest)? })
}
