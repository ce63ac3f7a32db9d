//! Peak signal-to-noise ratio of 8-bit pictures: 10·log₁₀(255² / mean squared error), in decibels.

/// The mean squared difference of two pictures' samples, in squared steps of 1/255. Both have the same length.
pub fn mean_squared_error(a: &[u8], b: &[u8]) -> f64 {
    // A row's sum of squares stays far below 2^64, so the sum is exact in any order.
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    sum as f64 / a.len().max(1) as f64
}

/// Decibels of a mean squared error; infinite for equal pictures. The ratio of a clip is that of its mean error, as FFmpeg's
/// filter gives it, not the mean of its frames' ratios.
pub fn psnr(mean_squared_error: f64) -> f64 {
    10.0 * (255.0 * 255.0 / mean_squared_error).log10()
}

/// Decibels in JSON, which has no infinity: `"inf"` for equal pictures.
pub(super) mod decibels {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives fields by reference")]
    pub(in crate::metrics) fn serialize<S: Serializer>(
        value: &f64,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        if *value == f64::INFINITY { to.serialize_str("inf") } else { to.serialize_f64(*value) }
    }

    pub(in crate::metrics) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Finite(f64),
            Word(String),
        }
        match Written::deserialize(from)? {
            Written::Finite(value) => Ok(value),
            Written::Word(word) if word == "inf" => Ok(f64::INFINITY),
            Written::Word(word) => {
                Err(de::Error::custom(format!("expected decibels or \"inf\", got {word:?}")))
            }
        }
    }
}
