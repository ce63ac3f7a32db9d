//! The Pareto plot: each arm's median time and distance with whiskers, the front, and the band of noise.

use std::fmt::Write as _;

use super::html::escaped;
use crate::statistics::Interval;
use crate::sweep::cells::Role;
use crate::sweep::summary::{Row, Summary};

/// Width and height of the picture, and its margins: left, top, right, bottom.
const SIZE: [f64; 2] = [560.0, 400.0];
const MARGIN: [f64; 4] = [56.0, 14.0, 14.0, 44.0];

/// What goes to the right.
pub(super) struct Axis {
    /// Its title.
    pub(super) title: &'static str,
    /// An arm's place on it.
    pub(super) time: fn(&Row) -> Option<Interval>,
    /// Whether an arm is on the front by it.
    pub(super) is_on_front: fn(&Row) -> bool,
    /// What two dense runs differ by.
    pub(super) noise: Option<[f64; 2]>,
}

/// A plot of SSIM over time, as SVG.
pub(super) fn pareto(summary: &Summary, axis: &Axis) -> String {
    let places: Vec<(usize, &Row, Interval, Interval)> = summary
        .rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.role == Role::Compared)
        .filter_map(|(index, row)| Some((index + 1, row, (axis.time)(row)?, row.ssim?)))
        .collect();
    if places.is_empty() {
        return "<p>No compared clip is finished.</p>\n".into();
    }
    let band = axis.noise.unwrap_or([1.0, 1.0]);
    let times = places.iter().flat_map(|(_, _, time, _)| [time.low, time.high]);
    let x = Scale::new(times.chain(band).chain([1.0]), [MARGIN[0], SIZE[0] - MARGIN[2]]);
    let ssims = places.iter().flat_map(|(_, _, _, ssim)| [ssim.low, ssim.high]);
    let y = Scale::new(ssims.chain([1.0]), [SIZE[1] - MARGIN[3], MARGIN[1]]);
    let (left, right) = (MARGIN[0], SIZE[0] - MARGIN[2]);
    let (top, bottom) = (MARGIN[1], SIZE[1] - MARGIN[3]);

    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=img aria-label=\"SSIM over {}\">\n",
        SIZE[0], SIZE[1], axis.title
    );
    for tick in x.ticks() {
        let at = x.at(tick);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            svg,
            "<line class=grid x1={at:.1} x2={at:.1} y1={top} y2={bottom} /><text x={at:.1} y={} text-anchor=middle>{}</text>",
            bottom + 16.0,
            x.label(tick)
        );
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        let _ = writeln!(
            svg,
            "<line class=grid x1={left} x2={right} y1={at:.1} y2={at:.1} /><text x={} y={:.1} text-anchor=end>{}</text>",
            left - 6.0,
            at + 4.0,
            y.label(tick)
        );
    }
    let (from, to) = (x.at(band[0]), x.at(band[1]));
    let _ = writeln!(
        svg,
        "<rect class=band x={from:.1} y={top} width={:.1} height={} />",
        (to - from).max(1.0),
        bottom - top
    );
    let _ = writeln!(svg, "<line class=one x1={0:.1} x2={0:.1} y1={top} y2={bottom} />", x.at(1.0));
    let _ = writeln!(
        svg,
        "<text x={} y={} text-anchor=middle>{}</text>",
        f64::midpoint(left, right),
        SIZE[1] - 8.0,
        axis.title
    );
    let _ = writeln!(
        svg,
        "<text x=14 y={0} text-anchor=middle transform=\"rotate(-90 14 {0})\">SSIM to the dense clip</text>",
        f64::midpoint(top, bottom)
    );

    let mut front: Vec<(f64, f64)> = places
        .iter()
        .filter(|(_, row, ..)| (axis.is_on_front)(row))
        .map(|(_, _, time, ssim)| (x.at(time.median), y.at(ssim.median)))
        .collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    let line: Vec<_> = front.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline class=front points=\"{}\" />", line.join(" "));
    for (number, row, time, ssim) in places {
        let (cx, cy) = (x.at(time.median), y.at(ssim.median));
        let class = if (axis.is_on_front)(row) { "point best" } else { "point" };
        let _ = writeln!(
            svg,
            "<g><title>{number}: {}: SSIM {:.4}, time {:.2}</title><line class=whisker x1={:.1} x2={:.1} y1={cy:.1} y2={cy:.1} /><line class=whisker x1={cx:.1} x2={cx:.1} y1={:.1} y2={:.1} /><circle class=\"{class}\" cx={cx:.1} cy={cy:.1} r=4.5 /><text class=label x={:.1} y={:.1}>{number}</text></g>",
            escaped(&row.arm),
            ssim.median,
            time.median,
            x.at(time.low),
            x.at(time.high),
            y.at(ssim.low),
            y.at(ssim.high),
            cx + 7.0,
            cy - 6.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Numbers to pixels.
struct Scale {
    from: f64,
    to: f64,
    step: f64,
    pixels: [f64; 2],
}

impl Scale {
    /// Over all finite values and a little beyond, with round ticks.
    fn new(values: impl Iterator<Item = f64>, pixels: [f64; 2]) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let [low, high] = finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
            [low.min(value), high.max(value)]
        });
        let span = (high - low).max(1e-4);
        let (from, to) = (low - 0.06 * span, high + 0.06 * span);
        let rough = (to - from) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough);
        Self { from, to, step: step.unwrap_or(rough), pixels }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        self.pixels[0] + share * (self.pixels[1] - self.pixels[0])
    }

    fn ticks(&self) -> Vec<f64> {
        let (first, last) =
            ((self.from / self.step).ceil() as i64, (self.to / self.step).floor() as i64);
        (first..=last).map(|n| n as f64 * self.step).collect()
    }

    /// As many digits as the ticks need.
    fn label(&self, tick: f64) -> String {
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{tick:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::new([0.61, 1.02].into_iter(), [0.0, 100.0]);
        let ticks: Vec<_> = scale.ticks().iter().map(|tick| scale.label(*tick)).collect();
        assert_eq!(ticks, ["0.6", "0.7", "0.8", "0.9", "1.0"]);
        assert!(scale.at(0.61) > 0.0 && scale.at(1.02) < 100.0 && scale.at(0.7) < scale.at(0.8));
        let flat = Scale::new([1.0, 1.0, f64::INFINITY].into_iter(), [0.0, 100.0]);
        assert!(flat.at(1.0).is_finite() && flat.ticks().len() > 1);
    }
}
