//! The autoencoder with random weights: a stream is the whole clip cut in pieces.

use super::super::testing::{build, tensor, weights, worst};
use super::causal::{Context, Streaming as _};
use super::*;
use crate::Error;

fn config() -> VaeConfig {
    VaeConfig {
        base_dim: 4,
        decoder_base_dim: Some(6),
        z_dim: 3,
        num_res_blocks: 1,
        latents_mean: vec![0.1, -0.2, 0.3],
        latents_std: vec![1.1, 0.9, 1.4],
        ..VaeConfig::default()
    }
}

fn decoder(config: &VaeConfig, compute: DType) -> WanDecoder {
    let weights = weights(&vae_tensors(config));
    let (decoder, read) =
        build(&weights, compute, |source| WanDecoder::build(config, source, &Device::Cpu));
    assert_eq!(read, decoder_tensors(config).len());
    decoder
}

fn encoder(config: &VaeConfig) -> WanEncoder {
    let weights = weights(&vae_tensors(config));
    let (encoder, read) =
        build(&weights, DType::F32, |source| WanEncoder::build(config, source, &Device::Cpu));
    assert_eq!(read, encoder_tensors(config).len());
    encoder
}

fn decoded(decoder: &WanDecoder, latents: &Tensor) -> Tensor {
    let groups: Vec<_> = decoder.decode(latents).collect::<Result<_>>().unwrap();
    for (i, group) in groups.iter().enumerate() {
        assert_eq!(group.dim(2).unwrap(), if i == 0 { 1 } else { 4 });
    }
    Tensor::cat(&groups, 2).unwrap()
}

#[test]
fn decoding_in_steps_is_one_causal_pass() {
    for temperal_downsample in [vec![false, true, true], vec![true, false, true]] {
        let decoder = decoder(&VaeConfig { temperal_downsample, ..config() }, DType::F32);
        let latents = tensor(1, &[2, 3, 4, 3, 5]);
        let streamed = decoded(&decoder, &latents);
        assert_eq!(streamed.dims(), [2, 3, 13, 24, 40]);
        let whole = decoder.whole(&latents).unwrap();
        assert!(worst(&streamed, &whole) < 1e-5, "{}", worst(&streamed, &whole));
        assert!(streamed.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() <= 1.0);
    }
}

#[test]
fn tiles_are_close_to_the_whole_picture() {
    let decoder = decoder(&config(), DType::F32);
    let latents = tensor(7, &[1, 3, 2, 24, 18]);
    let whole = decoded(&decoder, &latents);
    let tiled = |side| {
        let mut stream = TiledStream::new(&decoder, [24, 18], side);
        let group = |frame| stream.step(&latents.narrow(2, frame, 1).unwrap()).unwrap();
        let groups: Vec<_> = (0..2).map(group).collect();
        (Tensor::cat(&groups, 2).unwrap(), stream.tiles())
    };
    let (same, one) = tiled(24);
    assert_eq!((worst(&same, &whole), one), (0.0, 1));
    let (near, four) = tiled(16);
    assert_eq!((near.dims(), four), (whole.dims(), 4));
    let mean = (near - whole).unwrap().abs().unwrap().mean_all().unwrap();
    let mean = mean.to_scalar::<f32>().unwrap();
    assert!(mean < 0.05, "{mean}");
}

#[test]
fn encoding_in_steps_is_one_causal_pass() {
    let encoder = encoder(&config());
    let pixels = tensor(2, &[2, 3, 13, 16, 24]);
    let streamed = encoder.encode(&pixels).unwrap();
    assert_eq!(streamed.dims(), [2, 3, 4, 2, 3]);
    let whole = encoder.whole(&pixels).unwrap();
    assert!(worst(&streamed, &whole) < 1e-5, "{}", worst(&streamed, &whole));
}

#[test]
fn a_reset_stream_is_a_new_one() {
    let (decoder, encoder) = (decoder(&config(), DType::F32), encoder(&config()));
    let latents = tensor(4, &[1, 3, 3, 2, 2]);
    let mut stream = decoder.stream();
    let first = stream.step(&latents.narrow(2, 0, 1).unwrap()).unwrap();
    stream.step(&latents.narrow(2, 1, 1).unwrap()).unwrap();
    stream.reset();
    assert_eq!(worst(&first, &stream.step(&latents.narrow(2, 0, 1).unwrap()).unwrap()), 0.0);
    let pixels = tensor(5, &[1, 3, 5, 8, 8]);
    let mut stream = encoder.stream();
    let first = stream.step(&pixels.narrow(2, 0, 1).unwrap()).unwrap();
    stream.step(&pixels.narrow(2, 1, 4).unwrap()).unwrap();
    stream.reset();
    assert_eq!(worst(&first, &stream.step(&pixels.narrow(2, 0, 1).unwrap()).unwrap()), 0.0);
}

#[test]
fn later_frames_do_not_reach_back() {
    let decoder = decoder(&config(), DType::F32);
    let latents = tensor(6, &[1, 3, 3, 2, 2]);
    let other = Tensor::cat(&[latents.narrow(2, 0, 2).unwrap(), tensor(7, &[1, 3, 1, 2, 2])], 2);
    let (a, b) = (decoded(&decoder, &latents), decoded(&decoder, &other.unwrap()));
    assert_eq!(worst(&a.narrow(2, 0, 5).unwrap(), &b.narrow(2, 0, 5).unwrap()), 0.0);
    assert!(worst(&a, &b) > 1e-3);
}

#[test]
fn wrong_shapes_are_refused() {
    let (decoder, encoder) = (decoder(&config(), DType::F32), encoder(&config()));
    let refused = |result: Result<Tensor>| matches!(result, Err(Error::Argument { .. }));
    assert!(refused(decoder.stream().step(&tensor(1, &[1, 3, 2, 2, 2]))));
    assert!(refused(decoder.stream().step(&tensor(1, &[1, 4, 1, 2, 2]))));
    assert!(decoder.decode(&tensor(1, &[1, 3, 2, 2])).all(refused));
    assert!(refused(encoder.stream().step(&tensor(1, &[1, 3, 4, 8, 8]))));
    assert!(refused(encoder.stream().step(&tensor(1, &[1, 3, 1, 8, 12]))));
    assert!(refused(encoder.encode(&tensor(1, &[1, 3, 4, 8, 8]))));
}

#[test]
fn bf16_stays_near_f32() {
    let latents = tensor(8, &[1, 3, 3, 4, 4]);
    let exact = decoded(&decoder(&config(), DType::F32), &latents);
    let rounded = decoded(&decoder(&config(), DType::BF16), &latents);
    let error = (exact - rounded).unwrap().sqr().unwrap().mean_all().unwrap();
    assert!(error.to_scalar::<f32>().unwrap().sqrt() < 0.03);
}

#[test]
fn the_context_is_the_last_two_frames_however_they_came() {
    let clip = tensor(9, &[2, 7, 1, 1, 3]);
    for pieces in [vec![7], vec![1; 7], vec![1, 4, 2], vec![3, 1, 3]] {
        let mut context = Context::default();
        let mut start = 0;
        for count in pieces {
            let piece = clip.narrow(1, start, count).unwrap();
            let mut parts = context.before(&piece, 2).unwrap();
            parts.push(piece);
            context = Context::end_of(parts, 2).unwrap();
            start += count;
        }
        let kept = Tensor::cat(&context.before(&clip, 2).unwrap(), 1).unwrap();
        assert_eq!(worst(&kept, &clip.narrow(1, 5, 2).unwrap()), 0.0);
    }
}

/// The whole clip in one causal pass, as training code does it: no piece, no state carried from call to call.
mod whole {
    use super::super::decoder::WanDecoder;
    use super::super::encoder::{Down, WanEncoder};
    use super::super::resample::{Downsample, Upsample, interleaved};
    use super::*;

    impl Upsample {
        fn whole(&self, x: &Tensor) -> Result<Tensor> {
            let Some(time) = &self.time else { return Ok(self.space.forward(x)?) };
            let first = x.narrow(1, 0, 1)?;
            let rest = x.narrow(1, 1, x.dim(1)? - 1)?.contiguous()?;
            let rest = interleaved(&time.step(rest, &mut Context::default())?)?;
            Ok(self.space.forward(&Tensor::cat(&[first, rest], 1)?)?)
        }
    }

    impl Downsample {
        fn whole(&self, x: &Tensor) -> Result<Tensor> {
            let y = self.space.forward(&[x])?;
            let Some(time) = &self.time else { return Ok(y) };
            Ok(Tensor::cat(&[y.narrow(1, 0, 1)?, time.forward(&[&y])?], 1)?)
        }
    }

    impl WanDecoder {
        pub(super) fn whole(&self, latents: &Tensor) -> Result<Tensor> {
            let z = channels_last(&self.statistics.denormalise(latents)?)?;
            let mut x = self.conv_in.step(self.post_quant.forward(&z)?, &mut Context::default())?;
            x = self.middle.step(x, &mut Default::default())?;
            for stage in &self.stages {
                for block in &stage.blocks {
                    x = block.step(x, &mut Default::default())?;
                }
                if let Some(upsample) = &stage.upsample {
                    x = upsample.whole(&x)?;
                }
            }
            x = tessera_kernels::channel_norm::channel_norm(&x, &self.norm_out, true)?;
            x = self.conv_out.step(x, &mut Context::default())?;
            channels_first(&x.clamp(-1f32, 1f32)?)
        }
    }

    impl WanEncoder {
        pub(super) fn whole(&self, pixels: &Tensor) -> Result<Tensor> {
            let mut x = self.conv_in.step(channels_last(pixels)?, &mut Context::default())?;
            for block in &self.down {
                x = match block {
                    Down::Residual(block) => block.step(x, &mut Default::default())?,
                    Down::Downsample(block) => block.whole(&x)?,
                };
            }
            x = self.middle.step(x, &mut Default::default())?;
            x = tessera_kernels::channel_norm::channel_norm(&x, &self.norm_out, true)?;
            x = self.conv_out.step(x, &mut Context::default())?;
            self.statistics.normalise(&channels_first(&self.quant.forward(&x)?)?)
        }
    }
}
