//! Fits the linear map from latents to RGB that previews are drawn with, on clips that a VAE has decoded.
//!
//! ```sh
//! tessera generate --prompts-file assets/toybox/prompts.txt --out /tmp/fit/ --save-latents --codec ffv1
//! cargo run -p tessera-pipeline --example fit_preview -- "Tessera's toybox" assets/toybox/checkpoint /tmp/fit/*.mkv
//! ```
//!
//! Prints one entry of `pipeline/src/preview/fitted.json`. Every latent place is paired with the mean colour of the pixels that
//! it became: all of its frames (one for the first latent frame, four for the others) in its square of rows and columns.

use std::path::{Path, PathBuf};

use errors::{Result, fail};
use tessera_models::folder::ModelFolder;
use tessera_models::geometry::Geometry;
use tessera_pipeline::preview::Projection;
use tessera_pipeline::{latents, video};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(model)) = (args.next(), args.next()) else {
        return fail(
            "usage: fit_preview NAME MODEL VIDEO...; each video with its latents beside it",
        );
    };
    let folder = ModelFolder::open(Path::new(&model))?;
    let geometry = Geometry::new(folder.transformer_config(), folder.vae_config())?;
    let videos: Vec<PathBuf> = args.map(PathBuf::from).collect();
    let mut pairs = Vec::new();
    for video in &videos {
        pairs.extend(of_clip(video, &geometry)?);
    }
    let on = format!("{} clips of its own, {} latent places", videos.len(), pairs.len());
    let map = Projection::fit([name, on], geometry.mean.clone(), pairs.into_iter())?;
    println!("{}", serde_json::to_string_pretty(&[map])?);
    Ok(())
}

/// Channels and mean colours of every latent place of a clip.
fn of_clip(path: &Path, geometry: &Geometry) -> Result<Vec<(Vec<f32>, [f32; 3])>> {
    let saved = latents::read(&path.with_extension("latents.safetensors"))?.latents;
    let (_, channels, frames, rows, columns) = saved.dims5()?;
    let values = saved.flatten_all()?.to_vec1::<f32>()?;
    let pictures: Vec<_> = video::Decoder::open(path)?.collect::<video::Result<_>>()?;
    if pictures.len() != geometry.pixel_frames(frames) {
        return fail("the video and its latents are not of one length");
    }
    let side = geometry.spatial;
    let mut pairs = Vec::with_capacity(frames * rows * columns);
    for frame in 0..frames {
        let first = if frame == 0 { 0 } else { geometry.pixel_frames(frame) };
        let shown = &pictures[first..geometry.pixel_frames(frame + 1)];
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            let mut sum = [0.0f32; 3];
            for picture in shown {
                for y in row * side..(row + 1) * side {
                    let start = (y * picture.width as usize + column * side) * 3;
                    for pixel in picture.rgb[start..start + side * 3].chunks_exact(3) {
                        for (sum, level) in sum.iter_mut().zip(pixel) {
                            *sum += f32::from(*level) / 255.0;
                        }
                    }
                }
            }
            let count = (shown.len() * side * side) as f32;
            let place = |channel| ((channel * frames + frame) * rows + row) * columns + column;
            let z = (0..channels).map(|channel| values[place(channel)]).collect();
            pairs.push((z, sum.map(|sum| sum / count)));
        }
    }
    Ok(pairs)
}

/// Errors of a chore: any, with words.
mod errors {
    pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

    pub(crate) fn fail<T>(words: &str) -> Result<T> {
        Err(words.into())
    }
}
