//! The golden vector of methods.md §6.3, to its printed digits.

use candle_core::{DType, Device, Tensor};

use super::super::{Attended, Bias, Options, reference};
use crate::{blocks::Blocks, levels::LevelMap};

/// O of each query.
type Rows = [[f64; 4]; 6];

const DENSE: Rows = [
    [0.521_969, 0.676_642, 0.724_489, 0.657_954],
    [0.418_840, 0.586_555, 0.661_666, 0.632_314],
    [0.431_351, 0.521_823, 0.529_910, 0.454_336],
    [0.548_692, 0.503_913, 0.379_577, 0.195_314],
    [0.690_244, 0.568_170, 0.356_394, 0.088_352],
    [0.788_755, 0.673_532, 0.451_973, 0.159_058],
];
const DENSE_LSE: [f64; 6] = [2.423_396, 2.382_675, 2.278_565, 2.232_330, 2.391_290, 2.649_793];

const COUNT: Rows = [
    [0.523_027, 0.677_015, 0.724_117, 0.656_898],
    [0.422_835, 0.593_751, 0.670_927, 0.642_178],
    [0.438_813, 0.535_918, 0.548_413, 0.474_325],
    [0.556_173, 0.516_548, 0.395_371, 0.211_774],
    [0.770_553, 0.552_369, 0.246_979, -0.097_404],
    [0.841_708, 0.668_354, 0.389_482, 0.049_119],
];
const COUNT_LSE: [f64; 6] = [2.420_007, 2.376_262, 2.267_667, 2.224_596, 2.123_713, 2.455_996];

/// Row 0 without a bias.
const NONE: [f64; 4] = [0.463_125, 0.679_801, 0.789_151, 0.773_912];

pub(super) fn operands() -> [Tensor; 3] {
    let table = |rows: usize, at: fn(f64, f64) -> f64| {
        let values: Vec<f64> = (0..rows * 4).map(|i| at((i / 4) as f64, (i % 4) as f64)).collect();
        Tensor::from_vec(values, (1, 1, rows, 4), &Device::Cpu).unwrap()
    };
    [
        table(6, |t, c| (0.7 * t + 1.3 * c + 0.1).sin()),
        table(10, |t, c| (0.5 * t - 0.9 * c + 0.2).cos()),
        table(10, |t, c| (0.3 * t + 0.4 * c).sin()),
    ]
}

fn run(levels: [u8; 6], bias: Bias) -> (Vec<Vec<f64>>, Vec<f64>) {
    let map = LevelMap::from_vec(levels.to_vec(), (1, 1), Blocks::new(6, 10, 4, 4).unwrap());
    let [q, k, v] = operands();
    let options = Options { bias, ..Options::new(0.5) };
    let Attended { out, lse } = reference::attention(&q, &k, &v, &map.unwrap(), &options).unwrap();
    assert_eq!(out.dtype(), DType::F64);
    (out.reshape((6, 4)).unwrap().to_vec2().unwrap(), lse.flatten_all().unwrap().to_vec1().unwrap())
}

/// Half a digit beyond the printed ones.
fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 5.1e-7, "{a} is not {b}");
}

fn check((out, lse): &(Vec<Vec<f64>>, Vec<f64>), rows: &Rows, lses: &[f64; 6]) {
    out.iter().flatten().zip(rows.iter().flatten()).for_each(|(a, b)| near(*a, *b));
    lse.iter().zip(lses).for_each(|(a, b)| near(*a, *b));
}

/// ‖O − dense‖ / ‖dense‖.
fn distance(out: &[Vec<f64>]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let dense = DENSE.as_flattened();
    norm(&mut out.iter().flatten().zip(dense).map(|(a, b)| a - b))
        / norm(&mut dense.iter().copied())
}

const MAP: [u8; 6] = [1, 2, 3, 0, 3, 1];

#[test]
fn dense_and_count() {
    check(&run([1; 6], Bias::Count), &DENSE, &DENSE_LSE);
    let count = run(MAP, Bias::Count);
    check(&count, &COUNT, &COUNT_LSE);
    assert!((distance(&count.0) - 0.1030).abs() < 5.1e-5);
}

#[test]
fn no_bias() {
    let (out, lse) = run(MAP, Bias::None);
    out[0].iter().zip(NONE).for_each(|(a, b)| near(*a, b));
    near(lse[0], 2.239_807);
    assert!((distance(&out) - 0.3514).abs() < 5.1e-5);
}
