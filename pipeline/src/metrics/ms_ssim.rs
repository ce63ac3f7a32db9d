//! Multi-scale structural similarity of two pictures' luma.
//!
//! Gaussian windows of 11×11 (σ 1.5), without padding; contrast·structure at five scales, each half of the one before (means of
//! 2×2, an odd last row or column left out), luminance at the last; ∏ csⱼ^wⱼ · (l·cs)₅^w₅ of the means over windows, negative
//! means taken as 0. Source: Wang, Simoncelli, Bovik 2003. Luma is BT.709's of the stored RGB.

/// Samples of a window's side.
const WINDOW: usize = 11;
const SIGMA: f32 = 1.5;
const C1: f32 = 0.01 * 0.01 * 255.0 * 255.0;
const C2: f32 = 0.03 * 0.03 * 255.0 * 255.0;
/// Exponents of the scales, finest first.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// The similarity of two RGB pictures of `width`×`height` (3 bytes a pixel, rows without gaps), 0 to 1; `None` when a side is
/// below 176 pixels, where the fifth scale is smaller than a window.
pub fn ms_ssim(a: &[u8], b: &[u8], width: usize, height: usize) -> Option<f64> {
    if width.min(height) >> (WEIGHTS.len() - 1) < WINDOW {
        return None;
    }
    let mut pair = [Plane::luma(a, width, height), Plane::luma(b, width, height)];
    let mut product = 1.0;
    for (scale, weight) in WEIGHTS.into_iter().enumerate() {
        let (whole, structure) = means(&pair);
        let is_last = scale + 1 == WEIGHTS.len();
        let mean = if is_last { whole } else { structure };
        product *= mean.max(0.0).powf(weight);
        if !is_last {
            pair = pair.map(|plane| plane.half());
        }
    }
    Some(product)
}

struct Plane {
    width: usize,
    height: usize,
    samples: Vec<f32>,
}

impl Plane {
    fn luma(rgb: &[u8], width: usize, height: usize) -> Self {
        let luma = |p: &[u8; 3]| {
            let [red, green, blue] = p.map(f32::from);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let samples = rgb.as_chunks().0.iter().map(luma).collect();
        Self { width, height, samples }
    }

    /// The plane at half its width and height.
    fn half(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut samples = Vec::with_capacity(width * height);
        for rows in self.samples.chunks_exact(2 * self.width).take(height) {
            let (upper, lower) = rows.split_at(self.width);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            samples.extend(pairs.map(|([a, b], [c, d])| (a + b + c + d) / 4.0));
        }
        Self { width, height, samples }
    }

    /// This plane's samples with another's, one by one.
    fn with(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let pairs = self.samples.iter().zip(&other.samples);
        Self { samples: pairs.map(|(a, b)| f(*a, *b)).collect(), ..*self }
    }

    /// The weighted mean of each window.
    fn blurred(&self) -> Vec<f32> {
        let kernel = kernel();
        let (across, down) = (self.width - WINDOW + 1, self.height - WINDOW + 1);
        let mut rows = vec![0.0; across * self.height];
        for (row, out) in self.samples.chunks_exact(self.width).zip(rows.chunks_exact_mut(across)) {
            for (offset, weight) in kernel.iter().enumerate() {
                add(out, &row[offset..offset + across], *weight);
            }
        }
        let mut blurred = vec![0.0; across * down];
        for (y, out) in blurred.chunks_exact_mut(across).enumerate() {
            for (offset, weight) in kernel.iter().enumerate() {
                add(out, &rows[(y + offset) * across..][..across], *weight);
            }
        }
        blurred
    }
}

/// `out += weight * row`.
fn add(out: &mut [f32], row: &[f32], weight: f32) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += weight * value;
    }
}

fn kernel() -> [f32; WINDOW] {
    let centre = (WINDOW / 2) as f32;
    let mut kernel =
        std::array::from_fn(|i| (-(i as f32 - centre).powi(2) / (2.0 * SIGMA * SIGMA)).exp());
    let sum: f32 = kernel.iter().sum();
    for weight in &mut kernel {
        *weight /= sum;
    }
    kernel
}

/// Means over the windows of one scale: luminance·contrast·structure, and contrast·structure alone.
fn means([a, b]: &[Plane; 2]) -> (f64, f64) {
    let (mean_a, mean_b) = (a.blurred(), b.blurred());
    let squares = a.with(b, |a, b| a * a + b * b).blurred();
    let products = a.with(b, |a, b| a * b).blurred();
    let (mut whole, mut structures) = (0.0, 0.0);
    for (((a, b), squares), products) in mean_a.iter().zip(&mean_b).zip(&squares).zip(&products) {
        let means = a * a + b * b;
        let structure = (2.0 * (products - a * b) + C2) / (squares - means + C2);
        structures += f64::from(structure);
        whole += f64::from(structure * (2.0 * a * b + C1) / (means + C1));
    }
    let count = mean_a.len() as f64;
    (whole / count, structures / count)
}
