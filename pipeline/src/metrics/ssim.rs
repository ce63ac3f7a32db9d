//! Structural similarity of 8-bit RGB pictures, as FFmpeg's filter defines it for planar RGB.
//!
//! In windows of 8×8 samples, 4 apart, of one colour: ((2μ₁μ₂ + C₁)(2σ₁₂ + C₂)) / ((μ₁² + μ₂² + C₁)(σ₁² + σ₂² + C₂)), with
//! C₁ = (0.01·255)², C₂ = (0.03·255)²; the mean over windows, then over colours. Source: Wang et al. 2004, with the window of
//! x264. 1 is equal; it can be negative.

/// Samples of a window's side.
const WINDOW: usize = 8;
/// Samples between windows: a window is 2×2 cells of this side.
const CELL: usize = WINDOW / 2;
/// Samples of a window.
const COUNT: f64 = (WINDOW * WINDOW) as f64;
/// C₁ and C₂ in units of sums over a window.
const C1: f64 = 0.01 * 0.01 * 255.0 * 255.0 * COUNT;
const C2: f64 = 0.03 * 0.03 * 255.0 * 255.0 * COUNT * (COUNT - 1.0);

/// Where two pictures are alike: the similarity of each window, the mean of its three colours.
#[derive(Debug, Clone, PartialEq)]
pub struct SsimMap {
    /// Windows in a row. Window `x` covers the pixels from `x * SsimMap::STEP`, `SsimMap::SIDE` of them.
    pub width: usize,
    /// Rows of windows.
    pub height: usize,
    /// `width * height` values, rows from the top; 1 is equal.
    pub values: Vec<f32>,
}

impl SsimMap {
    /// Pixels from one window to the next, across and down.
    pub const STEP: usize = CELL;
    /// Pixels of a window's side.
    pub const SIDE: usize = WINDOW;
}

/// Sums over one cell.
#[derive(Clone, Copy, Default)]
struct Sums {
    a: u32,
    b: u32,
    /// Σa² + Σb².
    squares: u32,
    /// Σab.
    products: u32,
}

/// The similarity of two RGB pictures of `width`×`height` (3 bytes a pixel, rows without gaps); `None` when they are smaller than a
/// window.
pub fn ssim(a: &[u8], b: &[u8], width: usize, height: usize) -> Option<f64> {
    let [across, down] = windows_of(width, height)?;
    let of_colour = |colour| {
        let mut total = 0.0;
        windows(a, b, [width, height], colour, |value| total += value);
        total / (across * down) as f64
    };
    Some((0..3).map(of_colour).sum::<f64>() / 3.0)
}

/// The similarity of each window of two pictures as [`ssim`] takes them; the mean of the map is their similarity.
pub fn ssim_map(a: &[u8], b: &[u8], width: usize, height: usize) -> Option<SsimMap> {
    let [across, down] = windows_of(width, height)?;
    let mut sums = vec![0.0; across * down];
    for colour in 0..3 {
        let mut sums = sums.iter_mut();
        windows(a, b, [width, height], colour, |value| {
            if let Some(sum) = sums.next() {
                *sum += value;
            }
        });
    }
    let values = sums.into_iter().map(|sum| (sum / 3.0) as f32).collect();
    Some(SsimMap { width: across, height: down, values })
}

/// Windows in a row, and rows of them; `None` when there is not one.
fn windows_of(width: usize, height: usize) -> Option<[usize; 2]> {
    (width >= WINDOW && height >= WINDOW).then(|| [width / CELL - 1, height / CELL - 1])
}

/// Gives the similarity of each window of one colour, rows from the top.
fn windows(
    a: &[u8],
    b: &[u8],
    [width, height]: [usize; 2],
    colour: usize,
    mut give: impl FnMut(f64),
) {
    let (across, down) = (width / CELL, height / CELL);
    let mut above = vec![Sums::default(); across];
    let mut here = above.clone();
    for row in 0..down {
        for (column, cell) in here.iter_mut().enumerate() {
            *cell = cell_of(a, b, width, [column * CELL, row * CELL], colour);
        }
        if row > 0 {
            for column in 1..across {
                give(window([above[column - 1], above[column], here[column - 1], here[column]]));
            }
        }
        std::mem::swap(&mut above, &mut here);
    }
}

fn cell_of(a: &[u8], b: &[u8], width: usize, [x, y]: [usize; 2], colour: usize) -> Sums {
    let mut sums = Sums::default();
    for row in y..y + CELL {
        for column in x..x + CELL {
            let at = (row * width + column) * 3 + colour;
            let (a, b) = (u32::from(a[at]), u32::from(b[at]));
            sums.a += a;
            sums.b += b;
            sums.squares += a * a + b * b;
            sums.products += a * b;
        }
    }
    sums
}

fn window(cells: [Sums; 4]) -> f64 {
    let sum = |of: fn(&Sums) -> u32| f64::from(cells.iter().map(of).sum::<u32>());
    let (a, b) = (sum(|s| s.a), sum(|s| s.b));
    let variances = sum(|s| s.squares) * COUNT - a * a - b * b;
    let covariance = sum(|s| s.products) * COUNT - a * b;
    (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * (variances + C2))
}
