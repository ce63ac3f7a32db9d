//! Pixels to latents: conv_in, stages that halve rows, columns and (in the later ones) frames, the middle, then
//! norm → SiLU → conv_out and a linear map to z means and z log-variances. The latent is the mean, normalised; the
//! variances are not computed.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::channel_norm::channel_norm;
use tessera_kernels::linear::Linear;

use super::super::source::{Source, from_folder};
use super::causal::{CausalConv, Context, Streaming};
use super::layout::{encoder_middle, encoder_stages};
use super::mid::Middle;
use super::resample::Downsample;
use super::residual::Residual;
use super::{Statistics, channels_first, channels_last, encoder_tensors, vae_tensors};
use crate::folder::ModelFolder;
use crate::wan::config::VaeConfig;
use crate::watch::Watch;
use crate::{Error, Result};

/// The encoder with its weights packed for one compute dtype on one device.
#[derive(Debug)]
pub struct WanEncoder {
    pub(super) statistics: Statistics,
    pub(super) conv_in: CausalConv,
    pub(super) down: Vec<Down>,
    pub(super) middle: Middle,
    pub(super) norm_out: Tensor, // [C] F32
    pub(super) conv_out: CausalConv,
    /// The rows of quant_conv that make the means.
    pub(super) quant: Linear,
    pub(super) compute: DType,
    pub(super) spatial: usize,
    pub(super) temporal: usize,
}

impl WanEncoder {
    /// Reads the encoder's half of the component "vae" of `folder` for computing in `dtype` on `device`. The whole
    /// component is checked before the first tensor is read; `watch` ticks once a tensor.
    pub fn load(
        folder: &ModelFolder,
        dtype: DType,
        device: &Device,
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let config = folder.vae_config();
        from_folder(
            (folder, "vae"),
            (&vae_tensors(config), &[], encoder_tensors(config).len()),
            (dtype, device),
            watch,
            |source| Self::build(config, source, device),
        )
    }

    pub(super) fn build(
        config: &VaeConfig,
        source: &mut Source<'_>,
        device: &Device,
    ) -> Result<Self> {
        let conv_in = CausalConv::new(source, "encoder.conv_in", [3, 3])?;
        let mut down = Vec::new();
        for stage in encoder_stages(config) {
            for channels in stage.channels() {
                let at = format!("encoder.down_blocks.{}", down.len());
                down.push(Down::Residual(Residual::new(source, &at, channels)?));
            }
            if let Some(kind) = stage.resample {
                let at = format!("encoder.down_blocks.{}", down.len());
                down.push(Down::Downsample(Downsample::new(source, &at, kind)?));
            }
        }
        let middle = Middle::new(source, "encoder.mid_block", encoder_middle(config))?;
        let norm_out = source.vector("encoder.norm_out.gamma")?;
        let conv_out = CausalConv::new(source, "encoder.conv_out", [3, 3])?;
        let weight = source.tensor("quant_conv.weight", source.compute)?.flatten_from(1)?;
        let bias = source.vector("quant_conv.bias")?;
        let means = 0..config.z_dim;
        let (weight, bias) =
            (weight.narrow(0, means.start, means.len())?, bias.narrow(0, 0, means.len())?);
        Ok(Self {
            statistics: Statistics::new(config, device)?,
            conv_in,
            down,
            middle,
            norm_out,
            conv_out,
            quant: Linear::new(&weight, Some(&bias), source.compute)?,
            compute: source.compute,
            spatial: config.spatial_factor(),
            temporal: config.temporal_factor(),
        })
    }

    /// A new clip.
    pub fn stream(&self) -> EncodeStream<'_> {
        EncodeStream { encoder: self, state: State::default() }
    }

    /// The latents `[B, z, T, h, w]` (transformer's space, F32) of a whole clip `[B, 3, n, H, W]` in [−1, 1], where
    /// n = 1 + temporal·(T − 1) and the sides are multiples of the spatial factor.
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let frames = match *pixels.dims() {
            [_, _, frames, _, _] if frames % self.temporal == 1 % self.temporal && frames > 0 => {
                frames
            }
            ref other => {
                let expected = format!("[B, 3, {}k + 1, H, W]", self.temporal);
                return Err(Error::argument("pixels to encode", expected, format!("{other:?}")));
            }
        };
        let mut stream = self.stream();
        let mut latents = vec![stream.step(&pixels.narrow(2, 0, 1)?)?];
        for start in (1..frames).step_by(self.temporal) {
            latents.push(stream.step(&pixels.narrow(2, start, self.temporal)?)?);
        }
        Ok(Tensor::cat(&latents, 2)?)
    }
}

#[derive(Debug)]
pub(super) enum Down {
    Residual(Residual),
    Downsample(Downsample),
}

#[derive(Debug, Default)]
pub(super) struct DownState {
    residual: <Residual as Streaming>::State,
    downsample: <Downsample as Streaming>::State,
}

impl Streaming for Down {
    type State = DownState;

    fn step(&self, x: Tensor, state: &mut DownState) -> Result<Tensor> {
        match self {
            Self::Residual(block) => block.step(x, &mut state.residual),
            Self::Downsample(block) => block.step(x, &mut state.downsample),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    begun: bool,
    conv_in: Context,
    down: Vec<DownState>,
    middle: <Middle as Streaming>::State,
    conv_out: Context,
}

impl Streaming for WanEncoder {
    type State = State;

    /// x `[B, n, H, W, 3]` → means `[B, 1, h, w, z]` in the autoencoder's space.
    fn step(&self, mut x: Tensor, state: &mut State) -> Result<Tensor> {
        state.down.resize_with(self.down.len(), Default::default);
        x = self.conv_in.step(x, &mut state.conv_in)?;
        for (block, state) in self.down.iter().zip(&mut state.down) {
            x = block.step(x, state)?;
        }
        x = self.middle.step(x, &mut state.middle)?;
        x = channel_norm(&x, &self.norm_out, true)?;
        x = self.conv_out.step(x, &mut state.conv_out)?;
        Ok(self.quant.forward(&x)?)
    }
}

/// One clip on its way from pixels to latents.
#[derive(Debug)]
pub struct EncodeStream<'a> {
    encoder: &'a WanEncoder,
    state: State,
}

impl EncodeStream<'_> {
    /// The latent frame `[B, z, 1, h, w]` (transformer's space, F32) of the next pixel frames `[B, 3, n, H, W]` in
    /// [−1, 1]: n is 1 for a clip's first and the temporal factor (4) for the others. After an error the stream must be
    /// [`Self::reset`].
    pub fn step(&mut self, pixels: &Tensor) -> Result<Tensor> {
        let encoder = self.encoder;
        let frames = if self.state.begun { encoder.temporal } else { 1 };
        let side = encoder.spatial;
        match *pixels.dims() {
            [batch, 3, n, height, width]
                if n == frames
                    && batch * height * width > 0
                    && height.is_multiple_of(side)
                    && width.is_multiple_of(side) => {}
            ref other => {
                let expected = format!("[B, 3, {frames}, sides that are multiples of {side}]");
                return Err(Error::argument("pixels to encode", expected, format!("{other:?}")));
            }
        }
        self.state.begun = true;
        let x = channels_last(&pixels.to_dtype(encoder.compute)?)?;
        let means = encoder.step(x, &mut self.state)?.to_dtype(DType::F32)?;
        encoder.statistics.normalise(&channels_first(&means)?)
    }

    /// Forgets the clip: the next frame is a first one.
    pub fn reset(&mut self) {
        self.state = State::default();
    }
}
