//! The golden vector of methods.md §6.3, to its printed digits.

use candle_core::{DType, Device, Tensor};

use super::run;
use crate::{
    blocks::Blocks,
    levels::LevelMap,
    pyramid::{Bias, Options, reference},
    testing,
};

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

/// Not printed there: the `level` case printed there replicates the last token to a whole block, ours counts real
/// tokens. Computed by a script of its own from the formula, as the rest of `NONE` is.
const LEVEL: Rows = [
    [0.525_627, 0.632_266, 0.639_085, 0.545_007],
    [0.438_690, 0.543_758, 0.562_980, 0.493_319],
    [0.460_512, 0.468_931, 0.403_316, 0.274_026],
    [0.554_929, 0.430_562, 0.238_220, 0.008_268],
    [0.770_553, 0.552_369, 0.246_979, -0.097_404],
    [0.841_708, 0.668_354, 0.389_482, 0.049_119],
];
const LEVEL_LSE: [f64; 6] = [2.516_035, 2.507_849, 2.481_719, 2.528_328, 2.123_713, 2.455_996];

/// Row 0 is printed, and the distance of all rows.
const NONE: Rows = [
    [0.463_125, 0.679_801, 0.789_151, 0.773_912],
    [0.367_182, 0.604_783, 0.746_902, 0.771_102],
    [0.371_212, 0.558_554, 0.657_713, 0.653_033],
    [0.483_980, 0.545_438, 0.520_783, 0.413_907],
    [0.647_843, 0.347_363, -0.007_957, -0.362_021],
    [0.722_307, 0.465_422, 0.135_057, -0.216_631],
];
const NONE_LSE: [f64; 6] = [2.239_807, 2.220_363, 2.043_908, 1.852_451, 1.583_016, 1.669_938];

fn operands() -> [Tensor; 3] {
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

fn map(levels: [u8; 6]) -> LevelMap {
    LevelMap::from_vec(levels.to_vec(), (1, 1), Blocks::new(6, 10, 4, 4).unwrap()).unwrap()
}

fn options(bias: Bias) -> Options<'static> {
    Options { bias, ..Options::new(0.5) }
}

fn check(levels: [u8; 6], bias: Bias, rows: &Rows, lses: &[f64; 6]) {
    let exact = Tensor::new(rows, &Device::Cpu).unwrap().reshape((1, 1, 6, 4)).unwrap();
    let lse = Tensor::new(lses, &Device::Cpu).unwrap().reshape((1, 1, 6)).unwrap();
    let far = |a: &Tensor, b: &Tensor| {
        let far = (a.to_dtype(DType::F64).unwrap() - b).unwrap().abs().unwrap();
        far.max_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let [q, k, v] = operands();
    let result = reference::attention(&q, &k, &v, &map(levels), &options(bias)).unwrap();
    assert_eq!(result.out.dtype(), DType::F64);
    // Half of the last printed digit.
    assert!(far(&result.out, &exact) < 5.1e-7, "{bias}: {}", result.out);
    assert!(far(&result.lse, &lse) < 5.1e-7, "{bias}: {}", result.lse);
    let narrow = operands().map(|x| x.to_dtype(DType::F32).unwrap());
    for level in testing::levels() {
        let fast = run(level, &narrow, &map(levels), &options(bias));
        assert!(far(&fast.out, &exact) < 1e-6 && far(&fast.lse, &lse) < 1e-6, "{level:?}, {bias}");
    }
}

/// ‖O − dense‖ / ‖dense‖, as printed.
fn distance(rows: &Rows) -> f64 {
    let tensor = |rows: &Rows| Tensor::new(rows, &Device::Cpu).unwrap();
    (testing::error(&tensor(rows), &tensor(&DENSE)) * 1e4).round() / 1e4
}

const MAP: [u8; 6] = [1, 2, 3, 0, 3, 1];

#[test]
fn printed_digits() {
    check([1; 6], Bias::Count, &DENSE, &DENSE_LSE);
    check(MAP, Bias::Count, &COUNT, &COUNT_LSE);
    check(MAP, Bias::None, &NONE, &NONE_LSE);
    assert_eq!((distance(&COUNT), distance(&NONE)), (0.1030, 0.3514));
}

#[test]
fn level_bias_counts_real_tokens() {
    check(MAP, Bias::Level, &LEVEL, &LEVEL_LSE);
}
