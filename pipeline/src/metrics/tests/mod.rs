//! What can be worked out by hand, and what is refused. The figures against other programs' are in the files beside this one.

mod clips;
mod others;

use candle_core::{Device, Tensor};

use super::*;

/// Numbers that look random and are the same each time.
struct Noise(u32);

impl Noise {
    /// 0 to 255.
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as usize
    }
}

/// A picture with structure, and the same with errors that grow with `strength`.
fn pair(width: usize, height: usize, strength: usize) -> (Vec<u8>, Vec<u8>) {
    let (clip, reference) = clips_of(width, height, 1, strength);
    (reference.frames[0].clone(), clip.frames[0].clone())
}

/// A moving clip with errors that grow with `strength`, and the clip without them.
fn clips_of(width: usize, height: usize, frames: usize, strength: usize) -> (Pictures, Pictures) {
    let mut noise = Noise(1);
    let mut clips = [Vec::new(), Vec::new()];
    for frame in 0..frames {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for y in 0..height {
            for x in 0..width {
                for colour in 0..3 {
                    let value =
                        ((x + 5 * frame) * (3 + colour) + y * y / 7) % 200 + noise.next() % 20;
                    let wrong = value + noise.next() % (2 * strength + 1);
                    a.push(value as u8);
                    b.push(wrong.saturating_sub(strength).min(255) as u8);
                }
            }
        }
        clips[0].push(b);
        clips[1].push(a);
    }
    let [clip, reference] = clips.map(|frames| Pictures { width, height, frames });
    (clip, reference)
}

#[test]
fn a_shifted_picture_has_the_error_of_its_shift() {
    let a = vec![100u8; 300];
    let b = vec![110u8; 300];
    assert_eq!(mean_squared_error(&a, &b), 100.0);
    assert!((psnr(100.0) - 28.130_803_608_679_1).abs() < 1e-9, "10·log₁₀(65025/100)");
    assert_eq!(difference(&a, &b, 4.0), vec![40; 300]);
    assert_eq!(difference(&a, &b, 1000.0), vec![255; 300], "amplified beyond white");
    assert_eq!(difference(&a, &a, 1000.0), vec![0; 300]);
}

#[test]
fn the_map_of_similarity_shows_where_the_error_is() {
    let (a, _) = pair(37, 29, 0);
    let mut b = a.clone();
    let (x, y) = (30, 20);
    b[(y * 37 + x) * 3] ^= 0x7f;
    let map = ssim_map(&a, &b, 37, 29).unwrap();
    assert_eq!((map.width, map.height, map.values.len()), (8, 6, 48));
    for (index, value) in map.values.iter().enumerate() {
        let [left, top] = [index % 8, index / 8].map(|at| at * SsimMap::STEP);
        let holds = |from: usize, at: usize| (from..from + SsimMap::SIDE).contains(&at);
        let is_hit = holds(left, x) && holds(top, y);
        assert_eq!(*value < 1.0, is_hit, "window {index}: {value}");
    }
    let mean = map.values.iter().map(|v| f64::from(*v)).sum::<f64>() / 48.0;
    assert!((mean - ssim(&a, &b, 37, 29).unwrap()).abs() < 1e-6);
    assert_eq!(ssim_map(&a, &b, 37, 7), None);
}

#[test]
fn latents_are_compared_by_angle_and_by_distance() {
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    let (a, b) = (tensor(&[3.0, 4.0]), tensor(&[4.0, 3.0]));
    assert!((cosine(&a, &b).unwrap() - 24.0 / 25.0).abs() < 1e-12);
    assert!((relative_error(&a, &b).unwrap() - 2f64.sqrt() / 5.0).abs() < 1e-12);
    assert!((cosine(&a, &tensor(&[6.0, 8.0])).unwrap() - 1.0).abs() < 1e-12);
    for wrong in [&[0.0, 0.0], &[f32::NAN, 1.0]] {
        let distance = latent_distance(3, &tensor(wrong), &tensor(wrong)).unwrap();
        assert_eq!(distance, LatentDistance { step: 3, cosine: None, relative_l2: None });
    }
    let error = latent_distance(1, &a, &tensor(&[1.0, 2.0, 3.0])).unwrap_err().to_string();
    assert!(error.contains("expected latents [3], got [2]"), "{error}");
}
