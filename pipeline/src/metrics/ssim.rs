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
    if width < WINDOW || height < WINDOW {
        return None;
    }
    Some((0..3).map(|colour| of_colour(a, b, [width, height], colour)).sum::<f64>() / 3.0)
}

fn of_colour(a: &[u8], b: &[u8], [width, height]: [usize; 2], colour: usize) -> f64 {
    let (across, down) = (width / CELL, height / CELL);
    let mut above = vec![Sums::default(); across];
    let mut here = above.clone();
    let mut total = 0.0;
    for row in 0..down {
        for (column, cell) in here.iter_mut().enumerate() {
            *cell = cell_of(a, b, width, [column * CELL, row * CELL], colour);
        }
        if row > 0 {
            for column in 1..across {
                let cells = [above[column - 1], above[column], here[column - 1], here[column]];
                total += window(cells);
            }
        }
        std::mem::swap(&mut above, &mut here);
    }
    total / ((across - 1) * (down - 1)) as f64
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
