//! How large the next value may be, going by a few.

/// 95 % points of Student's t for 1, 2, … degrees of freedom; from 30 on the normal distribution's is near enough.
const T95: [f64; 29] = [
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771,
    1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725, 1.721, 1.717, 1.714, 1.711, 1.708, 1.706,
    1.703, 1.701, 1.699,
];
const NORMAL95: f64 = 1.645;

/// The bound that a further value of the same normal distribution stays below with 95 % probability: mean + t·s·√(1 + 1/n). Give
/// logarithms of distances, which are spread evenly where distances are not. `None` of fewer than two values, or where one
/// is not finite.
pub fn upper_bound(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    if values.len() < 2 || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    let t = T95.get(values.len() - 2).copied().unwrap_or(NORMAL95);
    Some(mean + t * deviation * (1.0 + 1.0 / count).sqrt())
}
