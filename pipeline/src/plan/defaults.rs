//! What a model is run at when a request says nothing: the size and settings it was made for.
//!
//! diffusers' folders do not say. What they do say (width, latent channels) tells the published models apart, and theirs are
//! the defaults of the official programs.

use tessera_models::folder::ModelFolder;

/// Defaults of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames.
    pub frames: u32,
    /// Frames a second.
    pub fps: f64,
    /// Steps.
    pub steps: u32,
    /// Scale of guidance.
    pub guidance: f64,
}

/// Transformers narrower than this are toys trained on small short clips; the smallest published Wan has 1536.
const PUBLISHED_WIDTH: usize = 1024;
/// Latent channels of Wan 2.2 TI2V-5B, whose autoencoder makes 24 frames a second at 720p.
const CHANNELS_OF_5B: usize = 48;

/// The defaults of a checkpoint.
pub fn of(folder: &ModelFolder) -> Defaults {
    let transformer = folder.transformer_config();
    of_sizes(
        transformer.num_attention_heads * transformer.attention_head_dim,
        transformer.in_channels,
    )
}

fn of_sizes(width: usize, channels: usize) -> Defaults {
    let published =
        Defaults { width: 832, height: 480, frames: 81, fps: 16.0, steps: 50, guidance: 5.0 };
    if width < PUBLISHED_WIDTH {
        Defaults { width: 256, height: 256, frames: 33, fps: 16.0, steps: 20, guidance: 4.0 }
    } else if channels == CHANNELS_OF_5B {
        Defaults { width: 1280, height: 704, frames: 121, fps: 24.0, ..published }
    } else {
        published
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_models_and_the_toy_are_told_apart() {
        let size = |width, channels| {
            let d = of_sizes(width, channels);
            (d.width, d.height, d.frames, d.steps, d.fps)
        };
        assert_eq!(size(320, 16), (256, 256, 33, 20, 16.0));
        assert_eq!(size(1536, 16), (832, 480, 81, 50, 16.0));
        assert_eq!(size(5120, 16), (832, 480, 81, 50, 16.0));
        assert_eq!(size(3072, 48), (1280, 704, 121, 50, 24.0));
    }
}
