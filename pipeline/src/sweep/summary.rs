//! What a sweep says: an arm's medians over prompts and seeds with their intervals, wins and losses, the front, the noise.
//!
//! Clips differ more from each other than settings do, so everything is paired: a clip with the dense clip of its prompt and
//! seed, an arm with another on the same prompts and seeds. Medians of pairs, never means of means.

use serde::Serialize;

use super::cell::{Cell, Made};
use super::cells::{Arm, Role};
use super::results::Results;
use crate::statistics::{Interval, Paired, Point, Score, front, interval, median};

/// All arms of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// In the order of the manifest.
    pub rows: Vec<Row>,
    /// What the repeats of the dense clips differ by: the noise of the measurement; `None` without repeats.
    pub noise: Option<Noise>,
}

/// One arm over all prompts and seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub arm: String,
    /// What it is for.
    pub role: Role,
    /// Clips that were made.
    pub clips: usize,
    /// Clips that could not be made.
    pub failed: usize,
    /// Structural similarity to the dense clips.
    pub ssim: Option<Interval>,
    /// Median decibels; infinite where most clips are equal to the dense ones.
    pub psnr: Option<f64>,
    /// Median cosine of the latents to the dense run's after each step.
    pub latent_cosine: Vec<f64>,
    /// Median exact density of the sparse calls.
    pub density_sparse: Option<f64>,
    /// Median exact density of all calls.
    pub density: Option<f64>,
    /// Time in attention over the dense run's.
    pub attention_time: Option<Interval>,
    /// Share of it that went into estimates.
    pub estimate_share: Option<f64>,
    /// Time of the steps over the dense run's.
    pub denoise_time: Option<Interval>,
    /// Time of the clip, loading left out, over the dense run's.
    pub clip_time: Option<Interval>,
    /// Median time of the clip in seconds.
    pub clip_seconds: Option<f64>,
    /// Beside the arm that it is measured against; `None` of that one and of dense ones.
    pub against: Option<Against>,
    /// Whether no arm is at least as fast in clip time and as close, and better in one of them (by the medians).
    pub on_front: bool,
    /// The same by attention time.
    pub on_attention_front: bool,
}

/// An arm beside another on the same prompts and seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Against {
    /// The other's name.
    pub arm: String,
    /// SSIM minus the other's: above 0 this one is closer to dense.
    pub ssim: Interval,
    /// How often it is closer; pairs no further apart than the noise are ties.
    pub score: Score,
}

/// What equal runs differ by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Noise {
    /// Lowest SSIM of a repeat to its reference; 1 where all are equal.
    pub ssim: Option<f64>,
    /// Lowest and highest ratio of two dense runs' clip times.
    pub clip_time: [f64; 2],
    /// The same of attention.
    pub attention_time: [f64; 2],
}

impl Summary {
    /// Sums up what is finished.
    pub fn new(results: &Results) -> Self {
        let arms = &results.manifest().arms;
        let noise = noise(results);
        let tie = noise.as_ref().and_then(|noise| noise.ssim).map_or(0.0, |ssim| 1.0 - ssim);
        let mut rows: Vec<Row> = arms.iter().map(|arm| row(results, arm, arms, tie)).collect();
        let by_clip = fronts(&rows, |row| row.clip_time);
        let by_attention = fronts(&rows, |row| row.attention_time);
        for (row, (clip, attention)) in rows.iter_mut().zip(by_clip.into_iter().zip(by_attention)) {
            (row.on_front, row.on_attention_front) = (clip, attention);
        }
        Self { rows, noise }
    }
}

/// Which compared arms are on the front by their medians; dense ones are on none.
fn fronts(rows: &[Row], time: fn(&Row) -> Option<Interval>) -> Vec<bool> {
    let point = |row: &Row| {
        let place = (row.role == Role::Compared).then_some(()).and(time(row)).zip(row.ssim);
        let none = Point { time: f64::NAN, distance: f64::NAN };
        place.map_or(none, |(time, ssim)| Point { time: time.median, distance: 1.0 - ssim.median })
    };
    front(&rows.iter().map(point).collect::<Vec<_>>())
}

fn row(results: &Results, arm: &Arm, arms: &[Arm], tie: f64) -> Row {
    let cells: Vec<&Cell> = results.of_arm(&arm.name).collect();
    let made: Vec<(&Cell, &Made)> =
        cells.iter().filter_map(|cell| Some((*cell, cell.made()?))).collect();
    let values = |of: &dyn Fn(&Made) -> Option<f64>| -> Vec<f64> {
        made.iter().filter_map(|(_, made)| of(made)).collect()
    };
    let ratios = |of: &dyn Fn(&Made) -> f64| {
        let ratio = |(cell, made): &(&Cell, &Made)| {
            let base = of(results.baseline_of(cell)?.made()?);
            (base > 0.0).then(|| of(made) / base)
        };
        interval(&made.iter().filter_map(ratio).collect::<Vec<_>>())
    };
    let steps = made.iter().map(|(_, made)| made.latents.len()).min().unwrap_or(0);
    let fidelity = |made: &Made| made.fidelity.clone();
    Row {
        arm: arm.name.clone(),
        role: arm.role,
        clips: made.len(),
        failed: cells.len() - made.len(),
        ssim: interval(&values(&|made| fidelity(made)?.ssim)),
        psnr: median(&values(&|made| Some(fidelity(made)?.psnr))),
        latent_cosine: (0..steps)
            .filter_map(|step| median(&values(&|made| made.latents.get(step)?.cosine)))
            .collect(),
        density_sparse: median(&values(&|made| made.density_sparse)),
        density: median(&values(&|made| Some(made.density))),
        attention_time: ratios(&|made| made.attention_seconds),
        estimate_share: median(&values(&|made| {
            (made.attention_seconds > 0.0).then(|| made.estimate_seconds / made.attention_seconds)
        })),
        denoise_time: ratios(&Made::denoise_seconds),
        clip_time: ratios(&Made::clip_seconds),
        clip_seconds: median(&values(&|made| Some(made.clip_seconds()))),
        against: (arm.role == Role::Compared).then(|| against(results, arm, arms, tie)).flatten(),
        on_front: false,
        on_attention_front: false,
    }
}

/// The arm that another is measured against: the same with Tessera's own method where there is one, else the first.
fn rival<'a>(arm: &Arm, arms: &'a [Arm]) -> Option<&'a Arm> {
    let others = || arms.iter().filter(|other| other.role == Role::Compared);
    let mut alike = arm.settings.clone();
    if alike.contains_key("attention") {
        alike.remove("preset");
        alike.insert("attention".into(), "tessera".into());
    }
    let same = others().find(|other| other.settings == alike);
    same.or_else(|| others().next()).filter(|other| other.name != arm.name)
}

fn against(results: &Results, arm: &Arm, arms: &[Arm], tie: f64) -> Option<Against> {
    let rival = rival(arm, arms)?;
    let ssims = |arm: &Arm| {
        let of = |cell: &Cell| {
            let ssim = cell.made()?.fidelity.as_ref()?.ssim?;
            Some(((cell.prompt.clone(), cell.seed), ssim))
        };
        results.of_arm(&arm.name).filter_map(of).collect::<Vec<_>>()
    };
    let pairs = Paired::new(ssims(arm), ssims(rival));
    Some(Against { arm: rival.name.clone(), ssim: pairs.difference()?, score: pairs.score(tie) })
}

fn noise(results: &Results) -> Option<Noise> {
    let repeats: Vec<(&Made, &Made)> = results
        .cells()
        .filter(|cell| matches!(cell.role, Role::Repeat(_)))
        .filter_map(|cell| Some((cell.made()?, results.reference_of(cell)?.made()?)))
        .collect();
    if repeats.is_empty() {
        return None;
    }
    let range = |of: fn(&Made) -> f64| {
        let ratios = repeats.iter().map(|(repeat, reference)| of(reference) / of(repeat));
        ratios.fold([1.0_f64, 1.0], |[low, high], ratio| [low.min(ratio), high.max(ratio)])
    };
    let ssims = repeats.iter().filter_map(|(repeat, _)| repeat.fidelity.as_ref()?.ssim);
    Some(Noise {
        ssim: ssims.reduce(f64::min),
        clip_time: range(Made::clip_seconds),
        attention_time: range(|made| made.attention_seconds),
    })
}
