//! Between the stages: rows and columns doubled or halved, and in some stages frames too.
//!
//! * Up in time (before space): a causal convolution of 3 frames makes 2C channels; the first C are frame 2t, the
//!   others frame 2t + 1. The clip's first latent frame is not doubled and is not remembered: the convolution's memory
//!   begins as zeros with the second.
//! * Up in space: nearest ×2, then 3×3 to half the channels.
//! * Down in space: one column of zeros to the right and one row below, then 3×3 with stride 2.
//! * Down in time (after space): 3 frames with stride 2, no padding, behind one remembered frame. The clip's first frame
//!   only becomes that memory.

use candle_core::Tensor;
use tessera_kernels::conv::{Conv3d, Padding, UpsampleConv2x};

use super::super::source::Source;
use super::causal::{CausalConv, Context, Streaming};
use super::layout::Resample;
use crate::Result;

#[derive(Debug)]
pub(super) struct Upsample {
    pub(super) time: Option<CausalConv>,
    pub(super) space: UpsampleConv2x,
}

impl Upsample {
    pub(super) fn new(source: &mut Source<'_>, at: &str, kind: Resample) -> Result<Self> {
        let space = source.upsampling(&format!("{at}.resample.1"))?;
        let time = match kind {
            Resample::Space => None,
            Resample::SpaceAndTime => {
                Some(CausalConv::new(source, &format!("{at}.time_conv"), [3, 1])?)
            }
        };
        Ok(Self { time, space })
    }
}

#[derive(Debug, Default)]
pub(super) struct UpsampleState {
    begun: bool,
    context: Context,
}

impl Streaming for Upsample {
    type State = UpsampleState;

    fn step(&self, mut x: Tensor, state: &mut UpsampleState) -> Result<Tensor> {
        if let Some(time) = &self.time {
            if state.begun {
                x = interleaved(&time.step(x, &mut state.context)?)?;
            }
            state.begun = true;
        }
        Ok(self.space.forward(&x)?)
    }
}

/// `[B, T, H, W, 2C]`, each frame's two halves of the channels as two frames: `[B, 2T, H, W, C]`.
pub(super) fn interleaved(pairs: &Tensor) -> Result<Tensor> {
    let (batch, frames, height, width, channels) = pairs.dims5()?;
    let split = pairs.reshape((batch, frames, height * width, 2, channels / 2))?;
    let frames_first = split.transpose(2, 3)?.contiguous()?;
    Ok(frames_first.reshape((batch, 2 * frames, height, width, channels / 2))?)
}

#[derive(Debug)]
pub(super) struct Downsample {
    pub(super) space: Conv3d,
    pub(super) time: Option<Conv3d>,
}

impl Downsample {
    pub(super) fn new(source: &mut Source<'_>, at: &str, kind: Resample) -> Result<Self> {
        let beyond = Padding { top: 0, bottom: 1, left: 0, right: 1 };
        let space = source.conv(&format!("{at}.resample.1"), [1, 2, 2], beyond)?;
        let time = match kind {
            Resample::Space => None,
            Resample::SpaceAndTime => {
                Some(source.conv(&format!("{at}.time_conv"), [2, 1, 1], Padding::default())?)
            }
        };
        Ok(Self { space, time })
    }
}

/// The last frame seen, at the halved size.
#[derive(Debug, Default)]
pub(super) struct DownsampleState(Option<Tensor>);

impl Streaming for Downsample {
    type State = DownsampleState;

    fn step(&self, x: Tensor, DownsampleState(last): &mut DownsampleState) -> Result<Tensor> {
        let y = self.space.forward(&[&x])?;
        let Some(time) = &self.time else { return Ok(y) };
        let frames = y.dim(1)?;
        let end =
            if frames == 1 { y.clone() } else { y.narrow(1, frames - 1, 1)?.force_contiguous()? };
        match last.replace(end) {
            Some(before) => Ok(time.forward(&[&before, &y])?),
            None => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_first_half_of_the_channels_is_the_earlier_frame() {
        let values: Vec<f32> = (0..2 * 2 * 4).map(|i| i as f32).collect();
        let pairs = Tensor::from_vec(values, (1, 2, 1, 2, 4), &Device::Cpu).unwrap();
        let frames = interleaved(&pairs).unwrap();
        assert_eq!(frames.dims(), [1, 4, 1, 2, 2]);
        let flat = frames.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat, [0., 1., 4., 5., 2., 3., 6., 7., 8., 9., 12., 13., 10., 11., 14., 15.]);
    }
}
