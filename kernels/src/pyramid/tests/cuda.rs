//! The GPU's kernels against the CPU's reference. `scripts/bench-gpu` runs them where there is a GPU.

use candle_core::{DType, Device, Tensor};

use super::{Case, finite, seen};
use crate::{
    attention,
    blocks::Blocks,
    cpu::{Level, with_level},
    cuda::{Limits, limits},
    levels::LevelMap,
    pyramid::{self, Attended, Bias, Options, cuda},
    testing::{close, close_bf16, random},
};

fn gpu() -> Device {
    Device::new_cuda(0).unwrap()
}

/// The device's own limits, and those of sm_80: the portable kernel runs on every later device too.
fn designs() -> [Limits; 2] {
    let own = limits(&gpu()).unwrap().unwrap();
    [own, Limits { capability: (8, 0), ..own }]
}

fn on(device: &Device, operands: &[Tensor; 3]) -> [Tensor; 3] {
    operands.each_ref().map(|x| x.to_device(device).unwrap())
}

fn home(attended: &Attended) -> Attended {
    let of = |x: &Tensor| x.to_device(&Device::Cpu).unwrap();
    Attended { out: of(&attended.out), lse: of(&attended.lse) }
}

/// A call on the GPU against F32 and plain BF16 on the CPU; twice, for the same bits.
fn check(case: Case, map: &LevelMap, options: &Options<'_>) {
    let device = gpu();
    let operands = case.operands(DType::F32);
    let half = operands.each_ref().map(|x| x.to_dtype(DType::BF16).unwrap());
    let reference = |[q, k, v]: &[Tensor; 3]| {
        with_level(Level::Reference, || pyramid::attention(q, k, v, map, options).unwrap())
    };
    let (exact, plain) = (reference(&operands), reference(&half));
    let [q, k, v] = on(&device, &half);
    let bits = |x: &Tensor| {
        x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    for limits in designs() {
        let run =
            || home(&cuda::attention(limits, &q, &k, &v, map, options).unwrap().expect("served"));
        let (fast, again) = (run(), run());
        assert_eq!(bits(&fast.out), bits(&again.out));
        assert_eq!(bits(&fast.lse), bits(&again.lse));
        assert_eq!(seen(&fast.lse), seen(&plain.lse), "other rows are empty");
        close(&finite(&fast.lse), &finite(&plain.lse), 1e-4, Level::Reference);
        close_bf16(&fast.out, &plain.out, &exact.out, Level::Reference);
    }
}

#[test]
#[ignore = "needs a GPU"]
fn any_map_equals_the_reference() {
    for width in [64, 128] {
        for (seed, (queries, keys)) in
            (0..).zip([(128, 128), (1, 1), (130, 70), (257, 700), (300, 1000)])
        {
            let blocks = Blocks::new(queries, keys, 128, 64).unwrap();
            let case = Case { heads: (2, 1), blocks, width, seed };
            let valid = case.valid();
            for bias in Bias::ALL {
                let options = Options { bias, ..case.options() };
                check(case, &case.map(), &options);
                check(case, &case.map(), &Options { valid: Some(&valid), ..options });
            }
            for level in 0..=7_u8 {
                let map = LevelMap::filled(level, case.heads, blocks).unwrap();
                check(case, &map, &case.options());
                check(case, &case.map().with_floor(level).unwrap(), &case.options());
            }
        }
    }
}

#[test]
#[ignore = "needs a GPU"]
fn hidden_keys_may_hold_anything() {
    let blocks = Blocks::new(200, 300, 128, 64).unwrap();
    let case = Case { heads: (1, 2), blocks, width: 64, seed: 3 };
    let [q, k, v] = case.operands(DType::BF16);
    let mut flags = vec![1_u8; 300];
    flags[70..90].fill(0);
    let valid = Tensor::new(flags, &Device::Cpu).unwrap();
    let options = Options { valid: Some(&valid), ..case.options() };
    let poison = |x: &Tensor| {
        let bad = Tensor::full(f32::NAN, (1, 2, 20, 64), &Device::Cpu).unwrap();
        let bad = bad.to_dtype(DType::BF16).unwrap();
        let parts = [x.narrow(2, 0, 70).unwrap(), bad, x.narrow(2, 90, 210).unwrap()];
        Tensor::cat(&parts, 2).unwrap()
    };
    let map = case.map();
    let run = |k: &Tensor, v: &Tensor| {
        let [q, k, v] = on(&gpu(), &[q.clone(), k.clone(), v.clone()]);
        designs().map(|limits| {
            home(&cuda::attention(limits, &q, &k, &v, &map, &options).unwrap().expect("served"))
        })
    };
    for (clean, poisoned) in run(&k, &v).iter().zip(run(&poison(&k), &poison(&v))) {
        close(&poisoned.out, &clean.out, 0.0, Level::Reference);
    }
}

#[test]
#[ignore = "needs a GPU"]
fn dense_attention_takes_biases_of_keys() {
    let device = gpu();
    for (width, queries, keys) in [(64, 300, 512), (128, 1000, 77), (128, 129, 1001)] {
        let blocks = Blocks::new(queries, keys, 128, 64).unwrap();
        let case = Case { heads: (1, 3), blocks, width, seed: 9 };
        let operands = case.operands(DType::F32);
        let half = operands.each_ref().map(|x| x.to_dtype(DType::BF16).unwrap());
        let hidden = random(&[keys], 4).ge(1.0).unwrap();
        let minus = Tensor::full(f32::NEG_INFINITY, keys, &Device::Cpu).unwrap();
        let bias = hidden.where_cond(&minus, &random(&[keys], 5)).unwrap();
        let scale = case.options().scale;
        for bias in [None, Some(&bias)] {
            let reference = |[q, k, v]: &[Tensor; 3]| {
                with_level(Level::Reference, || {
                    attention::attention_with_lse(q, k, v, scale, bias).unwrap()
                })
            };
            let (exact, plain) = (reference(&operands), reference(&half));
            let [q, k, v] = on(&device, &half);
            let bias = bias.map(|bias| bias.to_device(&device).unwrap());
            for limits in designs() {
                let fast = cuda::dense(limits, &q, &k, &v, scale, bias.as_ref()).unwrap();
                let fast = home(&fast.expect("served"));
                close(&fast.lse, &plain.1, 1e-4, Level::Reference);
                close_bf16(&fast.out, &plain.0, &exact.0, Level::Reference);
            }
        }
    }
}
