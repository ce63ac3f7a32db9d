//! Previews of a recorded run, made of the latents that it kept.

use std::sync::Arc;

use candle_core::Tensor;
use tessera_models::folder::ModelFolder;

use super::{Preview, Projection};
use crate::events::JobId;
use crate::export::projection::Projection as Principal;
use crate::recording::{Held, Recording};
use crate::{Result, bundled};

/// What a step of a recorded run was heading for; `None` where its latents are not kept. Colours are the VAE's where its model
/// is on this machine and known, otherwise the directions in which the latents vary most.
pub fn recorded(recording: &Recording, step: usize) -> Result<Option<Preview>> {
    let Held::Here(clip) = recording.predicted(step)? else { return Ok(None) };
    let (_, _, frames, height, width) = clip.dims5()?;
    let rgb = match fitted(recording) {
        Some(projection) => projection.rgb(&clip)?,
        None => principal(&clip)?,
    };
    Ok(Some(Preview {
        job: JobId(0),
        step: step as u64,
        of: recording.meta().steps() as u64,
        frames,
        width,
        height,
        rgb: Arc::from(rgb),
    }))
}

/// The map of the recorded model's VAE, when that model is here.
fn fitted(recording: &Recording) -> Option<Projection> {
    let meta = recording.meta();
    let recorded = meta.request.model.clone().into_iter().chain([meta.model.path.clone()]);
    let folders = recorded.chain(bundled::model().ok()).filter(|folder| folder.is_dir());
    let mut opened = folders.filter_map(|folder| ModelFolder::open(&folder).ok());
    let folder = opened.find(|folder| folder.fingerprint() == meta.model.fingerprint)?;
    Projection::of(&folder.vae_config().latents_mean)
}

fn principal(clip: &Tensor) -> Result<Vec<u8>> {
    let values: Vec<f32> = clip.flatten_all()?.to_vec1()?;
    Ok(Principal::of(clip)?.rgb(&values).concat())
}
