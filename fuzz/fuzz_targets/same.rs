//! When two JSON values count as the same.

use serde_json::Value;

/// Equality, but for the last digit of numbers longer than 15 digits: serde_json reads those loosely unless its
/// feature `float_roundtrip` is on.
pub(crate) fn is_same(first: &Value, second: &Value) -> bool {
    match (first, second) {
        (Value::Object(first), Value::Object(second)) => {
            let pairs = first.iter().zip(second);
            first.len() == second.len()
                && pairs.into_iter().all(|(a, b)| a.0 == b.0 && is_same(a.1, b.1))
        }
        (Value::Array(first), Value::Array(second)) => {
            first.len() == second.len() && first.iter().zip(second).all(|(a, b)| is_same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 4.0 * f64::EPSILON * a.abs(),
            _ => a == b,
        },
        _ => first == second,
    }
}
