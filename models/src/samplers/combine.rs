//! The one tensor operation of every solver: a sum of tensors with factors, in F32 on any device.

use candle_core::{DType, Tensor};

use crate::{Error, Result};

/// Σ factor·tensor over `terms` in their order; a factor of 0 leaves its tensor out (and its shape unchecked).
/// All tensors are F32 of one shape.
pub(super) fn combine(terms: &[(f64, &Tensor)]) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for &(factor, tensor) in terms.iter().filter(|(factor, _)| *factor != 0.0) {
        #[expect(clippy::float_cmp, reason = "exactly 1 changes nothing")]
        let part = if factor == 1.0 { tensor.clone() } else { tensor.affine(factor, 0.0)? };
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    match (sum, terms.first()) {
        (Some(sum), _) => Ok(sum),
        (None, Some((_, tensor))) => Ok(tensor.zeros_like()?),
        (None, None) => Err(Error::argument("terms", "at least one", "none")),
    }
}

/// Refuses tensors that a step cannot take, and steps after the last.
pub(super) fn check(step: usize, of: usize, velocity: &Tensor, sample: &Tensor) -> Result<()> {
    if step >= of {
        let expected = format!("a call for each of {of} steps");
        return Err(Error::argument("sampler step", expected, "one more (reset first)"));
    }
    if velocity.shape() != sample.shape() {
        let got = format!("{:?}", velocity.dims());
        return Err(Error::argument("velocity", format!("shape {:?}", sample.dims()), got));
    }
    for (name, tensor) in [("velocity", velocity), ("sample", sample)] {
        if tensor.dtype() != DType::F32 {
            return Err(Error::argument(name, "F32", format!("{:?}", tensor.dtype())));
        }
    }
    Ok(())
}
