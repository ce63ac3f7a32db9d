//! Goldens: the tables of wan.md §4, and trajectories of one number that diffusers 0.42.1 made with a toy model.

use candle_core::{DType, Device, Tensor};

use super::dpmpp::DpmPp2M;
use super::schedule::Shape;
use super::unipc::UniPc;
use super::*;
use crate::folder::config;

fn shape(steps: usize, shift: f64) -> Shape {
    Shape { steps, shift, trained: 1000, terminal: None }
}

fn read(text: &str) -> SchedulerConfig {
    config::read("scheduler/scheduler_config.json", text).unwrap()
}

fn unipc_config() -> SchedulerConfig {
    read(r#"{"prediction_type": "flow_prediction", "use_flow_sigmas": true, "flow_shift": 3.0}"#)
}

fn close(found: &[f64], expected: &[f64], bar: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= bar, "{found} is not {expected}");
    }
}

/// Runs one number x = 0.7 against a model whose clip is 0.8·tanh(1.3·x).
fn toy(sampler: &mut dyn Sampler) -> f64 {
    let mut x = Tensor::full(0.7f32, (1, 1, 1), &Device::Cpu).unwrap();
    for i in 0..sampler.timesteps().len() {
        let clip = x.affine(1.3, 0.0).unwrap().tanh().unwrap().affine(0.8, 0.0).unwrap();
        let velocity = ((&x - clip).unwrap() / sampler.sigmas()[i]).unwrap();
        x = sampler.step(&velocity, &x).unwrap();
    }
    f64::from(x.flatten_all().unwrap().to_vec1::<f32>().unwrap()[0])
}

#[test]
fn unipc_timesteps_are_those_of_diffusers() {
    let whole =
        |shift| shape(50, shift).unipc().timesteps.iter().map(|t| *t as u32).collect::<Vec<_>>();
    assert_eq!(
        whole(3.0),
        [
            999, 993, 986, 979, 971, 964, 956, 948, 940, 931, 923, 914, 904, 895, 885, 875, 864,
            853, 842, 830, 818, 805, 792, 779, 765, 750, 735, 719, 702, 685, 667, 648, 628, 607,
            586, 563, 539, 514, 487, 459, 429, 398, 365, 329, 292, 251, 208, 162, 113, 60
        ]
    );
    assert_eq!(
        whole(5.0),
        [
            999, 995, 991, 987, 982, 978, 973, 968, 963, 957, 952, 946, 940, 934, 927, 921, 914,
            906, 899, 890, 882, 873, 864, 854, 844, 833, 822, 810, 797, 783, 769, 754, 738, 720,
            702, 682, 661, 638, 613, 586, 556, 524, 489, 450, 407, 359, 305, 244, 175, 96
        ]
    );
    let sigmas = shape(50, 3.0).unipc().sigmas;
    assert_eq!((sigmas.len(), sigmas[0], sigmas[50]), (51, f64::from(0.999_999f32), 0.0));
}

#[test]
fn dpm_timesteps_are_those_of_diffusers() {
    let schedule = shape(50, 3.0).dpm();
    let whole: Vec<_> = schedule.timesteps.iter().map(|t| *t as u32).collect();
    assert_eq!(
        whole,
        [
            999, 992, 985, 978, 971, 963, 956, 948, 939, 931, 922, 913, 904, 894, 884, 874, 864,
            853, 841, 829, 817, 805, 792, 778, 764, 749, 734, 718, 701, 684, 666, 647, 627, 606,
            585, 562, 538, 512, 486, 458, 428, 396, 363, 327, 290, 249, 206, 160, 111, 57
        ]
    );
    let four = shape(4, 3.0).dpm().sigmas;
    close(
        &four,
        &[
            0.999_666_452_407_836_9,
            0.899_639_785_289_764_4,
            0.749_624_788_761_138_9,
            0.499_666_541_814_804_1,
            0.0,
        ],
        6e-8,
    );
}

#[test]
fn euler_bends_twice_and_does_not_round() {
    let timesteps = shape(50, 3.0).euler().timesteps;
    close(&timesteps[..4], &[1000.0, 993.124_389_648, 986.057_067_871, 978.789_794_922], 1e-4);
    close(&timesteps[47..], &[120.532_707_214, 66.900_177_002, 8.928_571_701], 1e-5);
    close(&shape(50, 5.0).euler().timesteps[1..2], &[995.872], 1e-3);
    close(&shape(50, 5.0).euler().timesteps[49..], &[24.414], 1e-3);
    assert_eq!(shape(1, 3.0).euler().sigmas, [1.0, 0.0]);
}

#[test]
fn a_terminal_level_stretches_the_schedule() {
    let terminal = |steps| Shape { terminal: Some(0.1), ..shape(steps, 3.0) };
    let unipc = terminal(5).unipc();
    assert_eq!(unipc.timesteps, [999.0, 878.0, 713.0, 474.0, 99.0]);
    close(&unipc.sigmas[1..5], &[0.878_726_363, 0.713_413_298, 0.474_750_161, 0.1], 1e-7);
    close(
        &terminal(5).euler().timesteps,
        &[1000.0, 909.515_259, 773.991_028, 548.656_677, 100.0],
        1e-4,
    );
}

#[test]
fn unipc_factors_are_the_table() {
    #[expect(clippy::type_complexity, reason = "a table as in the reference")]
    let rows: [(usize, f64, usize, [f64; 3], Option<[f64; 4]>); 9] = [
        (50, 3.0, 0, [0.993_251_1, 0.006_748_9, 0.0], None),
        (
            50,
            3.0,
            1,
            [0.993_018_2, 0.007_264_6, -0.000_282_8],
            Some([0.993_251_1, 0.003_374_5, 0.003_374_5, 0.0]),
        ),
        (
            50,
            3.0,
            2,
            [0.992_774_1, 0.009_384_8, -0.002_158_9],
            Some([0.993_018_2, 0.003_172_6, 0.003_816_2, -0.000_007_0]),
        ),
        (
            50,
            3.0,
            25,
            [0.979_643_4, 0.030_534_0, -0.010_177_5],
            Some([0.980_815_8, 0.012_650_8, 0.008_124_1, -0.001_590_7]),
        ),
        (50, 3.0, 49, [0.0, 1.0, 0.0], Some([0.531_850_6, 0.334_996_8, 0.212_584_4, -0.079_431_7])),
        (
            50,
            5.0,
            25,
            [0.986_338_4, 0.020_491_8, -0.006_830_3],
            Some([0.987_212_7, 0.008_432_5, 0.005_415_1, -0.001_060_3]),
        ),
        (
            4,
            3.0,
            1,
            [0.833_638_7, 0.174_231_9, -0.007_870_5],
            Some([0.900_120_9, 0.049_939_6, 0.049_939_6, 0.0]),
        ),
        (
            4,
            3.0,
            2,
            [0.667_665_0, 0.498_301_3, -0.165_966_3],
            Some([0.833_638_7, 0.070_828_9, 0.095_754_8, -0.000_222_3]),
        ),
        (4, 3.0, 3, [0.0, 1.0, 0.0], Some([0.667_665_0, 0.190_633_1, 0.168_807_6, -0.027_105_6])),
    ];
    for (steps, shift, i, predict, correct) in rows {
        let factors = UniPc::new(shape(steps, shift).unipc(), 2, &[]).factors()[i];
        close(&factors.predict, &predict, 1e-7);
        assert_eq!(factors.correct.is_some(), correct.is_some());
        close(&factors.correct.unwrap_or_default(), &correct.unwrap_or_default(), 1e-7);
    }
}

#[test]
fn the_toy_model_ends_where_it_does_in_diffusers() {
    let config = unipc_config();
    for (shift, steps, unipc, euler, dpm) in [
        (3.0, 1, 0.576_905_803, 0.576_905_791, 0.576_905_803),
        (3.0, 2, 0.561_121_455, 0.508_789_735, 0.561_088_873),
        (3.0, 6, 0.525_387_251, 0.481_837_680, 0.525_648_896),
        (3.0, 12, 0.500_883_330, 0.465_252_761, 0.500_824_993),
        (3.0, 14, 0.495_560_199, 0.461_748_836, 0.495_415_068),
        (3.0, 15, 0.493_206_054, 0.460_207_949, 0.493_019_701),
        (3.0, 50, 0.456_104_759, 0.436_708_663, 0.454_880_297),
        (5.0, 6, 0.539_038_498, 0.491_052_933, 0.539_103_825),
        (5.0, 50, 0.470_944_590, 0.452_286_709, 0.469_646_377),
    ] {
        for (kind, expected) in SamplerKind::ALL.into_iter().zip([unipc, euler, dpm]) {
            let mut sampler = kind.build(&config, steps, Some(shift)).unwrap();
            let first = toy(sampler.as_mut());
            assert!(
                (first - expected).abs() < 5e-7,
                "{kind} {steps}: {first}, expected {expected}"
            );
            sampler.reset();
            assert_eq!(toy(sampler.as_mut()), first, "{kind} must forget on reset");
        }
    }
}

#[test]
fn the_checkpoints_solver_options_count_for_its_own_solver_only() {
    let end =
        |text: &str, kind: SamplerKind| toy(kind.build(&read(text), 6, None).unwrap().as_mut());
    let flow =
        r#""prediction_type": "flow_prediction", "use_flow_sigmas": true, "flow_shift": 3.0"#;
    let order = format!(r#"{{{flow}, "solver_order": 1}}"#);
    close(&[end(&order, SamplerKind::UniPc)], &[0.527_310_574], 5e-7);
    close(&[end(&order, SamplerKind::DpmPp2M)], &[0.525_648_896], 5e-7);
    let uncorrected = format!(r#"{{{flow}, "disable_corrector": [0, 1]}}"#);
    close(&[end(&uncorrected, SamplerKind::UniPc)], &[0.525_532_393], 5e-7);
    let dpm =
        format!(r#"{{"_class_name": "DPMSolverMultistepScheduler", {flow}, "solver_order": 1}}"#);
    close(&[end(&dpm, SamplerKind::DpmPp2M)], &[0.527_901_026], 5e-7);
    let euler = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}"#;
    assert_eq!(SamplerKind::of(&read(euler)), SamplerKind::Euler);
    close(&[end(euler, SamplerKind::Euler)], &[0.481_837_680], 5e-7);
    // The shift is known under another name to the other classes.
    close(&[end(euler, SamplerKind::UniPc)], &[0.525_387_251], 5e-7);
}

#[test]
fn every_step_keeps_a_constant_clip() {
    // When the model always means the same clip, any consistent solver must arrive there: the factors add up.
    for kind in SamplerKind::ALL {
        for steps in [1, 2, 3, 7, 40, 1000] {
            let mut sampler = kind.build(&unipc_config(), steps, None).unwrap();
            let mut x = Tensor::full(2.0f32, (2, 3), &Device::Cpu).unwrap();
            for i in 0..steps {
                let velocity = ((&x - 0.25).unwrap() / sampler.sigmas()[i]).unwrap();
                x = sampler.step(&velocity, &x).unwrap();
            }
            let end = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(end.iter().all(|value| (value - 0.25).abs() < 2e-5), "{kind} {steps}: {end:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let config = unipc_config();
    let refused = |steps, shift| {
        SamplerKind::UniPc.build(&config, steps, shift).map(drop).unwrap_err().to_string()
    };
    assert_eq!(refused(0, None), "steps: expected 1 to 1000, got 0");
    assert_eq!(refused(1001, None), "steps: expected 1 to 1000, got 1001");
    assert!(refused(5, Some(0.0)).starts_with("flow shift: "));
    assert!(refused(5, Some(f64::NAN)).starts_with("flow shift: "));
    let text = "heun".parse::<SamplerKind>().unwrap_err().to_string();
    assert_eq!(text, "sampler: expected one of unipc, euler, dpm++2m, got heun");
    for kind in SamplerKind::ALL {
        assert_eq!(kind.to_string().parse::<SamplerKind>().unwrap(), kind);
        let mut sampler = kind.build(&config, 1, None).unwrap();
        assert_eq!(sampler.name(), kind.name());
        let x = Tensor::zeros((1, 2), DType::F32, &Device::Cpu).unwrap();
        let narrow = Tensor::zeros((1, 1), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(sampler.step(&narrow, &x), Err(Error::Argument { .. })));
        let half = x.to_dtype(DType::BF16).unwrap();
        assert!(matches!(sampler.step(&half, &x), Err(Error::Argument { .. })));
        sampler.step(&x, &x).unwrap();
        let error = sampler.step(&x, &x).unwrap_err().to_string();
        assert!(error.contains("reset"), "{error}");
    }
}

#[test]
fn all_factors_are_finite_at_every_shift() {
    for shift in [0.01, 0.5, 1.0, 3.0, 12.0, 100.0] {
        for steps in [1, 2, 5, 50, 1000] {
            let unipc = UniPc::new(shape(steps, shift).unipc(), 2, &[]);
            let numbers = unipc
                .factors()
                .iter()
                .flat_map(|f| f.predict.into_iter().chain(f.correct.unwrap_or_default()));
            assert!(
                numbers.into_iter().all(f64::is_finite),
                "unipc, {steps} steps at shift {shift}"
            );
            let dpm = DpmPp2M::new(shape(steps, shift).dpm(), 2);
            assert!(
                dpm.factors().iter().flatten().all(|f| f.is_finite()),
                "dpm, {steps} steps at shift {shift}"
            );
        }
    }
}
