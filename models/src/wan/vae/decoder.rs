//! Latents to pixels: denormalise, a linear map of the channels, conv_in, the middle, stages that double rows, columns
//! and (in the first ones) frames, then norm → SiLU → conv_out, clamped to [−1, 1].

use candle_core::{DType, Device, Tensor};
use tessera_kernels::channel_norm::channel_norm;
use tessera_kernels::linear::Linear;

use super::super::source::{Source, from_folder};
use super::causal::{CausalConv, Context, Streaming};
use super::layout::{decoder_middle, decoder_stages};
use super::mid::Middle;
use super::resample::Upsample;
use super::residual::Residual;
use super::{Statistics, channels_first, channels_last, decoder_tensors, vae_tensors};
use crate::folder::ModelFolder;
use crate::wan::config::VaeConfig;
use crate::watch::Watch;
use crate::{Error, Result};

/// The decoder with its weights packed for one compute dtype on one device.
#[derive(Debug)]
pub struct WanDecoder {
    pub(super) statistics: Statistics,
    pub(super) post_quant: Linear,
    pub(super) conv_in: CausalConv,
    pub(super) middle: Middle,
    pub(super) stages: Vec<UpStage>,
    pub(super) norm_out: Tensor, // [C] F32
    pub(super) conv_out: CausalConv,
    pub(super) compute: DType,
    pub(super) latent_channels: usize,
}

impl WanDecoder {
    /// Reads the decoder's half of the component "vae" of `folder` for computing in `dtype` (F32, or BF16 whose error
    /// can be seen) on `device`. The whole component is checked before the first tensor is read; `watch` ticks once a
    /// tensor.
    pub fn load(
        folder: &ModelFolder,
        dtype: DType,
        device: &Device,
        watch: &mut dyn Watch,
    ) -> Result<Self> {
        let config = folder.vae_config();
        from_folder(
            (folder, "vae"),
            (&vae_tensors(config), &[], decoder_tensors(config).len()),
            (dtype, device),
            watch,
            |source| Self::build(config, source, device),
        )
    }

    pub(in crate::wan) fn build(
        config: &VaeConfig,
        source: &mut Source<'_>,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self {
            statistics: Statistics::new(config, device)?,
            post_quant: source.linear("post_quant_conv")?,
            conv_in: CausalConv::new(source, "decoder.conv_in", [3, 3])?,
            middle: Middle::new(source, "decoder.mid_block", decoder_middle(config))?,
            stages: decoder_stages(config)
                .into_iter()
                .enumerate()
                .map(|(i, stage)| {
                    let at = format!("decoder.up_blocks.{i}");
                    let blocks = stage
                        .channels()
                        .enumerate()
                        .map(|(j, channels)| {
                            Residual::new(source, &format!("{at}.resnets.{j}"), channels)
                        })
                        .collect::<Result<_>>()?;
                    let upsample = stage
                        .resample
                        .map(|kind| Upsample::new(source, &format!("{at}.upsamplers.0"), kind))
                        .transpose()?;
                    Ok(UpStage { blocks, upsample })
                })
                .collect::<Result<_>>()?,
            norm_out: source.vector("decoder.norm_out.gamma")?,
            conv_out: CausalConv::new(source, "decoder.conv_out", [3, 3])?,
            compute: source.compute,
            latent_channels: config.z_dim,
        })
    }

    /// A new clip.
    pub fn stream(&self) -> DecodeStream<'_> {
        DecodeStream { decoder: self, state: State::default() }
    }

    /// The pixels of `latents` `[B, z, T, h, w]`, one latent frame at a time: `[B, 3, 1, H, W]`, then `[B, 3, 4, H, W]`
    /// each, F32 in [−1, 1].
    pub fn decode<'a>(&'a self, latents: &'a Tensor) -> impl Iterator<Item = Result<Tensor>> + 'a {
        let mut stream = self.stream();
        let frames = latents.dim(2).unwrap_or(1);
        (0..frames).map(move |frame| {
            if latents.rank() != 5 {
                return Err(self.wrong_latents(latents, "T"));
            }
            stream.step(&latents.narrow(2, frame, 1)?)
        })
    }

    fn wrong_latents(&self, latents: &Tensor, frames: &str) -> Error {
        let expected = format!("[B, {}, {frames}, h, w]", self.latent_channels);
        Error::argument("latents to decode", expected, format!("{:?}", latents.dims()))
    }
}

#[derive(Debug)]
pub(super) struct UpStage {
    pub(super) blocks: Vec<Residual>,
    pub(super) upsample: Option<Upsample>,
}

/// What is remembered of the latent frames before: two input frames of each causal convolution.
#[derive(Debug, Default)]
pub(super) struct State {
    conv_in: Context,
    middle: <Middle as Streaming>::State,
    stages: Vec<StageState>,
    conv_out: Context,
}

#[derive(Debug, Default)]
pub(super) struct StageState {
    blocks: Vec<<Residual as Streaming>::State>,
    upsample: <Upsample as Streaming>::State,
}

impl Streaming for UpStage {
    type State = StageState;

    fn step(&self, mut x: Tensor, state: &mut StageState) -> Result<Tensor> {
        state.blocks.resize_with(self.blocks.len(), Default::default);
        for (block, state) in self.blocks.iter().zip(&mut state.blocks) {
            x = block.step(x, state)?;
        }
        match &self.upsample {
            Some(upsample) => upsample.step(x, &mut state.upsample),
            None => Ok(x),
        }
    }
}

impl Streaming for WanDecoder {
    type State = State;

    /// x `[B, T, h, w, z]` in the autoencoder's space → `[B, n, H, W, 3]`, not clamped.
    fn step(&self, mut x: Tensor, state: &mut State) -> Result<Tensor> {
        state.stages.resize_with(self.stages.len(), Default::default);
        x = self.conv_in.step(self.post_quant.forward(&x)?, &mut state.conv_in)?;
        x = self.middle.step(x, &mut state.middle)?;
        for (stage, state) in self.stages.iter().zip(&mut state.stages) {
            x = stage.step(x, state)?;
        }
        x = channel_norm(&x, &self.norm_out, true)?;
        self.conv_out.step(x, &mut state.conv_out)
    }
}

/// One clip on its way from latents to pixels.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    decoder: &'a WanDecoder,
    state: State,
}

impl DecodeStream<'_> {
    /// The pixels of the next latent frame `[B, z, 1, h, w]` (transformer's space): `[B, 3, 1, H, W]` for a clip's first,
    /// `[B, 3, 4, H, W]` for the others, F32 in [−1, 1]. After an error the stream must be [`Self::reset`].
    pub fn step(&mut self, latent_frame: &Tensor) -> Result<Tensor> {
        match *latent_frame.dims() {
            [_, channels, 1, _, _]
                if channels == self.decoder.latent_channels && latent_frame.elem_count() > 0 => {}
            _ => return Err(self.decoder.wrong_latents(latent_frame, "1")),
        }
        let z = channels_last(&self.decoder.statistics.denormalise(latent_frame)?)?;
        let pixels = self.decoder.step(z.to_dtype(self.decoder.compute)?, &mut self.state)?;
        channels_first(&pixels.to_dtype(DType::F32)?.clamp(-1f32, 1f32)?)
    }

    /// Forgets the clip: the next latent frame is a first one.
    pub fn reset(&mut self) {
        self.state = State::default();
    }
}
