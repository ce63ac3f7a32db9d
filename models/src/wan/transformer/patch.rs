//! Between latents and tokens. A token is a patch of ph×pw latents of one frame; tokens are frame-major, then rows,
//! then columns.
//!
//! The two directions order a token's features differently: going in, the channel is slowest (channel, row, column: the
//! layout of a convolution's weight); coming out, it is fastest (row, column, channel).

use candle_core::Tensor;

use crate::geometry::Grid;
use crate::{Error, Result};

/// The token grid of latents `[B, C, T, H, W]`, or an error when a side is not a multiple of the patch.
pub(super) fn grid(latents: &Tensor, channels: usize, patch: [usize; 3]) -> Result<Grid> {
    let [_, rows, cols] = patch;
    match *latents.dims() {
        [batch, c, frames, height, width]
            if c == channels
                && batch * frames > 0
                && height >= rows
                && width >= cols
                && height.is_multiple_of(rows)
                && width.is_multiple_of(cols) =>
        {
            Ok(Grid { frames, rows: height / rows, cols: width / cols })
        }
        ref other => Err(Error::argument(
            "latents",
            format!("[B, {channels}, T, a multiple of {rows}, a multiple of {cols}]"),
            format!("{other:?}"),
        )),
    }
}

/// Latents `[B, C, T, H, W]` → tokens `[B, S, C·ph·pw]`.
pub(super) fn patchify(latents: &Tensor, grid: Grid, patch: [usize; 3]) -> Result<Tensor> {
    let (batch, channels, ..) = latents.dims5()?;
    let [_, ph, pw] = patch;
    let split = latents.reshape((batch, channels, grid.frames * grid.rows, ph, grid.cols, pw))?;
    Ok(split.permute((0, 2, 4, 1, 3, 5))?.reshape((batch, grid.tokens(), channels * ph * pw))?)
}

/// Tokens `[B, S, ph·pw·C]` → latents `[B, C, T, H, W]`.
pub(super) fn unpatchify(tokens: &Tensor, grid: Grid, patch: [usize; 3]) -> Result<Tensor> {
    let (batch, _, features) = tokens.dims3()?;
    let [_, ph, pw] = patch;
    let channels = features / (ph * pw);
    let rows = grid.frames * grid.rows;
    let split = tokens.reshape((batch, rows, grid.cols, ph, pw, channels))?;
    let latents = split.permute((0, 5, 1, 3, 2, 4))?;
    Ok(latents.reshape((batch, channels, grid.frames, grid.rows * ph, grid.cols * pw))?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    const PATCH: [usize; 3] = [1, 2, 2];

    #[test]
    fn the_channel_is_slowest_going_in_and_fastest_coming_out() {
        let values: Vec<f32> = (0..3 * 2 * 4 * 6).map(|i| i as f32).collect();
        let latents = Tensor::from_vec(values, (1, 3, 2, 4, 6), &Device::Cpu).unwrap();
        let grid = grid(&latents, 3, PATCH).unwrap();
        assert_eq!(grid, Grid { frames: 2, rows: 2, cols: 3 });
        let tokens = patchify(&latents, grid, PATCH).unwrap();
        assert_eq!(tokens.dims(), [1, 12, 12]);
        let first = tokens.get(0).unwrap().get(0).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(first, [0., 1., 6., 7., 48., 49., 54., 55., 96., 97., 102., 103.]);
        // Reordering the features of each token from (channel, row, column) to (row, column, channel) inverts it.
        let turned = tokens.reshape((1, 12, 3, 4)).unwrap().transpose(2, 3).unwrap();
        let back = unpatchify(&turned.reshape((1, 12, 12)).unwrap(), grid, PATCH).unwrap();
        let difference = (back - latents).unwrap().abs().unwrap().max_all().unwrap();
        assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.0);
    }

    #[test]
    fn odd_latents_are_refused_with_their_shape() {
        let latents =
            Tensor::zeros((1, 3, 2, 5, 6), candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = grid(&latents, 3, PATCH).unwrap_err().to_string();
        assert!(error.contains("[1, 3, 2, 5, 6]"), "{error}");
    }
}
