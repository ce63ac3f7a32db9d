//! A table's cells as rows: medians over the prompts, differences paired prompt by prompt.

use serde::{Deserialize, Serialize};

use super::{Cell, REFERENCE, REPEAT};
use crate::statistics::{Interval, Paired, Point, front, median};

/// All rows, densest first, and within a density the most faithful first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The rows.
    pub rows: Vec<Row>,
    /// The prompts.
    pub prompts: Vec<String>,
}

/// One arm over all prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The arm.
    pub arm: String,
    /// The density that was asked for.
    pub asked: Option<f64>,
    /// Prompts.
    pub clips: usize,
    /// Median exact density of the sparse calls.
    pub density_sparse: Option<f64>,
    /// Median exact density of all calls.
    pub density: f64,
    /// Median decibels; `None` where most clips are equal to the dense ones.
    pub psnr: Option<f64>,
    /// Median structural similarity.
    pub ssim: Option<f64>,
    /// SSIM minus that of `tessera` at the same density, paired by prompt: above 0 this arm is the more faithful.
    pub ssim_against_tessera: Option<Interval>,
    /// Median cosine of the latents to the dense run's after each step.
    pub latent_cosine: Vec<f64>,
    /// Median attention time over the dense run's, estimates included, paired by prompt.
    pub attention_time: f64,
    /// The estimates' share of it.
    pub estimate_share: f64,
    /// Median time of all steps over the dense run's, paired by prompt.
    pub denoise_time: f64,
    /// Median time of the clip over the dense run's, paired by prompt.
    pub clip_time: f64,
    /// Whether no arm of the same density is as fast and as close, and better in one (medians of attention time and SSIM).
    pub on_front: bool,
}

/// The arm that others are compared with.
const OURS: &str = "tessera";

impl Summary {
    /// Medians of the cells; cells of one arm and density belong together.
    pub fn new(cells: &[Cell]) -> Self {
        let mut prompts: Vec<String> = Vec::new();
        let mut groups: Vec<(&str, Option<f64>)> = Vec::new();
        for cell in cells {
            if !prompts.contains(&cell.prompt) {
                prompts.push(cell.prompt.clone());
            }
            if !groups.contains(&(cell.arm.as_str(), cell.asked)) {
                groups.push((&cell.arm, cell.asked));
            }
        }
        let of = |arm: &str, asked: Option<f64>| Group::new(cells, &prompts, arm, asked);
        let is_repeated = cells.iter().any(|cell| cell.arm == REPEAT);
        // The repeat ran among the methods' clips, the first dense clips before them.
        let reference = of(if is_repeated { REPEAT } else { REFERENCE }, None);
        let mut rows: Vec<Row> = groups
            .into_iter()
            .map(|(arm, asked)| {
                let ours = asked.map(|_| of(OURS, asked));
                of(arm, asked).row(&reference, ours.as_ref())
            })
            .collect();
        mark_front(&mut rows);
        let rank = |row: &Row| (row.asked.map_or(2.0, |density| density), row.ssim.unwrap_or(-1.0));
        rows.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal));
        Self { rows, prompts }
    }

    /// The rows of one asked density.
    pub fn at(&self, asked: Option<f64>) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.asked == asked)
    }

    /// The densities that were asked for, densest first.
    pub fn densities(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.rows.iter().filter_map(|row| row.asked).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all.dedup();
        all
    }
}

/// Marks the rows that are on the front of attention time and 1 − SSIM among those of their density.
fn mark_front(rows: &mut [Row]) {
    let point = |row: &Row| Point {
        time: row.attention_time,
        distance: row.ssim.map_or(f64::NAN, |ssim| 1.0 - ssim),
    };
    let points: Vec<(Option<f64>, Point)> =
        rows.iter().map(|row| (row.asked, point(row))).collect();
    for row in rows {
        let own = point(row);
        let alike: Vec<Point> = std::iter::once(own)
            .chain(points.iter().filter(|(asked, _)| *asked == row.asked).map(|(_, point)| *point))
            .collect();
        row.on_front = front(&alike)[0];
    }
}

/// One arm's cells, by prompt.
struct Group<'a> {
    arm: String,
    asked: Option<f64>,
    cells: Vec<Option<&'a Cell>>,
}

impl<'a> Group<'a> {
    fn new(cells: &'a [Cell], prompts: &[String], arm: &str, asked: Option<f64>) -> Self {
        let find = |prompt: &String| {
            cells
                .iter()
                .find(|cell| cell.arm == arm && cell.asked == asked && cell.prompt == *prompt)
        };
        Self { arm: arm.into(), asked, cells: prompts.iter().map(find).collect() }
    }

    fn all(&self) -> impl Iterator<Item = &'a Cell> {
        self.cells.iter().copied().flatten()
    }

    fn median(&self, of: impl Fn(&Cell) -> f64) -> Option<f64> {
        median(&self.all().map(of).collect::<Vec<_>>())
    }

    /// Both groups' values, by prompt.
    fn paired(&self, other: &Self, of: impl Fn(&Cell) -> Option<f64>) -> Paired {
        let values = |group: &Self| -> Vec<(usize, f64)> {
            let cells = group.cells.iter().enumerate();
            cells.filter_map(|(prompt, cell)| Some((prompt, of((*cell)?)?))).collect()
        };
        Paired::new(values(self), values(other))
    }

    fn ratio(&self, other: &Self, of: impl Fn(&Cell) -> f64) -> f64 {
        let ratio = self.paired(other, |cell| Some(of(cell))).ratio();
        ratio.map_or(f64::NAN, |interval| interval.median)
    }

    fn row(&self, reference: &Self, ours: Option<&Self>) -> Row {
        let steps = self.all().map(|cell| cell.latent_cosine.len()).min().unwrap_or(0);
        let attention = self.median(|cell| cell.attention_seconds).unwrap_or(0.0);
        Row {
            arm: self.arm.clone(),
            asked: self.asked,
            clips: self.all().count(),
            density_sparse: median(
                &self.all().filter_map(|cell| cell.density_sparse).collect::<Vec<_>>(),
            ),
            density: self.median(|cell| cell.density).unwrap_or(1.0),
            psnr: self.median(|cell| cell.fidelity.psnr).filter(|value| value.is_finite()),
            ssim: self.median(|cell| cell.fidelity.ssim.unwrap_or(f64::NAN)),
            ssim_against_tessera: ours
                .filter(|_| self.arm != OURS)
                .and_then(|ours| self.paired(ours, |cell| cell.fidelity.ssim).difference()),
            latent_cosine: (0..steps)
                .filter_map(|step| self.median(|cell| cell.latent_cosine[step]))
                .collect(),
            attention_time: self.ratio(reference, |cell| cell.attention_seconds),
            estimate_share: self.median(|cell| cell.estimate_seconds).unwrap_or(0.0)
                / attention.max(f64::MIN_POSITIVE),
            denoise_time: self.ratio(reference, |cell| cell.denoise_seconds),
            clip_time: self.ratio(reference, |cell| cell.clip_seconds),
            on_front: false,
        }
    }
}
