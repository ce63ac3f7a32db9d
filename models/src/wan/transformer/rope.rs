//! Rotary position tables in three dimensions.
//!
//! A head's D channels are split between time, rows and columns: rows and columns get 2·⌊D/6⌋ each, time the rest
//! (44, 42, 42 of 128). On an axis of width w the pair j of the token at index i turns by i·10000^(−2j/w): each axis has
//! its own w in the exponent. Angles are F64, their cosines and sines F32. A table row lists time's pairs, then the
//! rows', then the columns'. Source: diffusers 0.42, `WanRotaryPosEmbed`.

use candle_core::{Device, Tensor};
use tessera_kernels::rope::RopeTables;

use crate::geometry::Grid;
use crate::{Error, Result};

const THETA: f64 = 10_000.0;

/// The channels of a head of `width` that time, rows and columns turn.
fn split(width: usize) -> [usize; 3] {
    let side = 2 * (width / 6);
    [width - 2 * side, side, side]
}

/// Tables `[S, D/2]` for the tokens of `grid` and heads of even `width` D. No axis may exceed `longest`, the
/// checkpoint's `rope_max_seq_len`.
pub(super) fn tables(
    width: usize,
    grid: Grid,
    longest: usize,
    device: &Device,
) -> Result<RopeTables> {
    let lengths = [grid.frames, grid.rows, grid.cols];
    if lengths.iter().any(|&length| length > longest) {
        let expected = format!("at most {longest} on each axis (rope_max_seq_len)");
        return Err(Error::argument("token grid", expected, format!("{lengths:?}")));
    }
    let axes: Vec<Vec<(f32, f32)>> =
        lengths.iter().zip(split(width)).map(|(&length, width)| axis(length, width)).collect();
    let row = |axis: usize, index: usize| {
        let pairs = axes[axis].len() / lengths[axis];
        &axes[axis][index * pairs..(index + 1) * pairs]
    };
    let size = grid.tokens() * width / 2;
    let (mut cos, mut sin) = (Vec::with_capacity(size), Vec::with_capacity(size));
    for frame in 0..grid.frames {
        for y in 0..grid.rows {
            for x in 0..grid.cols {
                for pairs in [row(0, frame), row(1, y), row(2, x)] {
                    cos.extend(pairs.iter().map(|pair| pair.0));
                    sin.extend(pairs.iter().map(|pair| pair.1));
                }
            }
        }
    }
    let shape = (grid.tokens(), width / 2);
    Ok(RopeTables {
        cos: Tensor::from_vec(cos, shape, device)?,
        sin: Tensor::from_vec(sin, shape, device)?,
    })
}

/// Cosine and sine of every pair at every index of one axis, the pairs of an index together.
fn axis(length: usize, width: usize) -> Vec<(f32, f32)> {
    let frequencies: Vec<f64> =
        (0..width / 2).map(|j| THETA.powf((2 * j) as f64 / width as f64).recip()).collect();
    let turn = |index: usize, frequency: f64| {
        let (sin, cos) = (index as f64 * frequency).sin_cos();
        (cos as f32, sin as f32)
    };
    (0..length)
        .flat_map(|index| frequencies.iter().map(move |&frequency| turn(index, frequency)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_the_axes() {
        assert_eq!(split(128), [44, 42, 42]);
        assert_eq!(split(64), [24, 20, 20]);
        assert_eq!(split(12), [4, 4, 4]);
        assert_eq!(split(2), [2, 0, 0]);
    }

    #[test]
    fn a_row_holds_the_angles_of_its_frame_row_and_column() {
        let grid = Grid { frames: 3, rows: 2, cols: 5 };
        let tables = tables(128, grid, 1024, &Device::Cpu).unwrap();
        let sin = tables.sin.to_vec2::<f32>().unwrap();
        let cos = tables.cos.to_vec2::<f32>().unwrap();
        assert_eq!((sin.len(), sin[0].len()), (30, 64));
        let token = 2 * 10 + 5 + 3; // frame 2, row 1, column 3
        let angle = |index: f64, j: f64, width: f64| index * 10_000f64.powf(-2.0 * j / width);
        assert!((f64::from(sin[token][5]) - angle(2.0, 5.0, 44.0).sin()).abs() < 1e-7);
        assert!((f64::from(cos[token][22 + 7]) - angle(1.0, 7.0, 42.0).cos()).abs() < 1e-7);
        assert!((f64::from(sin[token][43 + 1]) - angle(3.0, 1.0, 42.0).sin()).abs() < 1e-7);
    }

    #[test]
    fn an_axis_beyond_the_tables_is_refused() {
        let grid = Grid { frames: 1, rows: 33, cols: 1 };
        let error = tables(12, grid, 32, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("at most 32"), "{error}");
    }
}
