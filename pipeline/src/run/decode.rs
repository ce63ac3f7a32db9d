//! Latents to pictures, one latent frame at a time, straight into the video encoder: no clip is ever whole in memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use tessera_kernels::gpu;
use tessera_models::wan::{TiledStream, WanDecoder};

use super::device;
use super::sink::{self, Sink};
use crate::engine::{Job, Studio};
use crate::events::{EventKind, FileRole, Phase};
use crate::history::{Strip, Stripper};
use crate::plan::{Plan, Settled};
use crate::video::VideoFile;
use crate::{Error, Result};

/// What decoding made.
pub(super) struct Pictures {
    /// The video.
    pub(super) video: VideoFile,
    /// Some of its frames, small.
    pub(super) strip: Option<Strip>,
}

/// Decodes `latents` `[1, C, T, h, w]` and completes the video and, when asked for, the folder of frames.
pub(super) fn run(
    studio: &Studio,
    job: &mut Job<'_>,
    plan: &Plan,
    settled: &Settled,
    latents: &Tensor,
) -> Result<Pictures> {
    let missing = || Error::Thread("the VAE was not loaded before decoding".into());
    let seat = studio.resident.as_ref().ok_or_else(missing)?;
    let (_, decoder) = seat.decoder.as_ref().ok_or_else(missing)?;
    let groups = plan.latent_shape[2];
    let frames = plan.size.frames as u64;
    job.start(Phase::Decode, groups as u64);
    let latents = latents.to_device(&seat.device)?;
    let mut video = Sink::start(sink::video_plan(plan, settled)?)?;
    let mut pngs = if settled.save_frames {
        Some(Sink::start(sink::frames_plan(plan, settled)?)?)
    } else {
        None
    };
    let mut source = Source::new(decoder, &latents, settled)?;
    let mut stripper = Stripper::new(plan.size.frames);
    let size = (plan.size.width as u32, plan.size.height as u32);
    let mut first = 0;
    for group in 0..groups {
        job.rest()?;
        let pictures = source.group(job, group)?;
        let count = pictures.len() as u64;
        for picture in pictures {
            stripper.push(size, &picture);
            if let Some(pngs) = &mut pngs {
                pngs.push(Arc::clone(&picture))?;
            }
            video.push(picture)?;
        }
        job.tell(EventKind::FrameGroup { first, frames: count, of: frames });
        first += count;
        if job.progress(group as u64 + 1).is_break() {
            return Err(Error::Cancelled);
        }
    }
    drop(source);
    job.ran(device::kernels("vae", 1, &settled.device));
    job.finish();
    job.start(Phase::EncodeVideo, frames);
    if let Some(pngs) = pngs {
        let folder = pngs.finish(|_| job.progress(video.encoded()))?;
        job.wrote(FileRole::Frames, &folder.path, folder.bytes);
    }
    let video = video.finish(|encoded| job.progress(encoded))?;
    for note in &video.notes {
        job.warn(note.clone());
    }
    job.wrote(FileRole::Video, &video.path, video.bytes);
    job.finish();
    if let ControlFlow::Break(()) = job.progress(frames) {
        tracing::debug!("cancelled after the video was complete");
    }
    Ok(Pictures { video, strip: stripper.finish() })
}

/// Decodes group by group; where a device's memory does not do, in smaller and smaller tiles.
struct Source<'a> {
    decoder: &'a WanDecoder,
    latents: &'a Tensor,
    device: &'a str,
    stream: TiledStream<'a>,
    size: [usize; 2],
    side: usize,
}

impl<'a> Source<'a> {
    fn new(decoder: &'a WanDecoder, latents: &'a Tensor, settled: &'a Settled) -> Result<Self> {
        let (_, _, _, rows, columns) = latents.dims5()?;
        let (size, side) = ([rows, columns], rows.max(columns));
        let stream = TiledStream::new(decoder, size, side);
        Ok(Self { decoder, latents, device: &settled.device, stream, size, side })
    }

    /// The pictures of a group. After it ran out of memory the clip is streamed again from its start in smaller tiles, for
    /// what convolutions remember, without showing again what was shown.
    fn group(&mut self, job: &mut Job<'_>, group: usize) -> Result<Vec<Arc<[u8]>>> {
        let mut outcome = self.step(group);
        while let Err(error) = &outcome
            && error.is_out_of_memory()
            && let Some(side) = TiledStream::smaller(self.side)
        {
            self.side = side;
            self.stream = TiledStream::new(self.decoder, self.size, side);
            if let Some(device) = self.latents.device().is_cuda().then(|| self.latents.device()) {
                gpu::trim(device);
            }
            job.warn(format!(
                "{} ran out of memory while decoding latent frame {}: it goes on in {} overlapping tiles a picture, whose seams are blended.",
                self.device,
                group + 1,
                self.stream.tiles()
            ));
            let caught_up = (0..group).try_for_each(|before| self.step(before).map(drop));
            outcome = caught_up.and_then(|()| self.step(group));
        }
        outcome
    }

    fn step(&mut self, group: usize) -> Result<Vec<Arc<[u8]>>> {
        pictures(&self.stream.step(&self.latents.narrow(2, group, 1)?)?)
    }
}

/// Pixels `[1, 3, n, H, W]` in [−1, 1] as n pictures of packed RGB, rounded to the nearest of 256 levels.
fn pictures(pixels: &Tensor) -> Result<Vec<Arc<[u8]>>> {
    let levels =
        ((pixels.to_dtype(DType::F32)?.affine(0.5, 0.5)?.clamp(0.0, 1.0)? * 255.0)?).round()?;
    // Bytes, not floats, leave the device.
    let rows_last = levels.to_dtype(DType::U8)?.squeeze(0)?.permute((1, 2, 3, 0))?.contiguous()?;
    let (count, height, width, _) = rows_last.dims4()?;
    let bytes = rows_last.flatten_all()?.to_vec1::<u8>()?;
    Ok(bytes.chunks_exact(height * width * 3).take(count).map(Arc::from).collect())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn pixels_are_rounded_and_packed() {
        let red = [-1.0f32, 1.0];
        let green = [0.0f32, 0.004];
        let blue = [2.0f32, -0.5];
        let values: Vec<f32> = [red, green, blue].concat();
        let pixels = Tensor::from_vec(values, (1, 3, 1, 1, 2), &Device::Cpu).unwrap();
        let pictures = pictures(&pixels).unwrap();
        assert_eq!(pictures.len(), 1);
        assert_eq!(&*pictures[0], [0, 128, 255, 255, 128, 64]);
    }
}
