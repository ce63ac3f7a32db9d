//! The stages of the autoencoder that a config asks for: what channels, how many blocks, what is doubled or halved.

use crate::wan::config::VaeConfig;

/// What happens between a stage and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resample {
    /// Rows and columns.
    Space,
    /// Rows, columns and frames.
    SpaceAndTime,
}

impl Resample {
    fn new(time: bool) -> Self {
        if time { Self::SpaceAndTime } else { Self::Space }
    }
}

/// Residual blocks of one resolution, and what leads to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Channels into the first block.
    pub(crate) inputs: usize,
    /// Channels out of every block.
    pub(crate) outputs: usize,
    /// Number of residual blocks.
    pub(crate) blocks: usize,
    /// None after the last stage.
    pub(crate) resample: Option<Resample>,
}

impl Stage {
    /// Channels into and out of each residual block.
    pub(crate) fn channels(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let Self { inputs, outputs, blocks, .. } = *self;
        (0..blocks).map(move |i| if i == 0 { [inputs, outputs] } else { [outputs, outputs] })
    }
}

/// Channels of the decoder's middle, which is also its first stage's.
pub(crate) fn decoder_middle(config: &VaeConfig) -> usize {
    config.decoder_base() * config.dim_mult.last().copied().unwrap_or(1)
}

/// Channels of the encoder's middle, which is also its last stage's.
pub(crate) fn encoder_middle(config: &VaeConfig) -> usize {
    config.base_dim * config.dim_mult.last().copied().unwrap_or(1)
}

/// The decoder's stages, coarsest first. Each upsampling halves the channels.
pub(crate) fn decoder_stages(config: &VaeConfig) -> Vec<Stage> {
    let mut inputs = decoder_middle(config);
    let ups = config.temperal_downsample.iter().rev().map(|&time| Some(Resample::new(time)));
    config
        .dim_mult
        .iter()
        .rev()
        .zip(ups.chain([None]))
        .map(|(mult, resample)| {
            let outputs = config.decoder_base() * mult;
            let blocks = config.num_res_blocks + 1;
            let stage = Stage { inputs, outputs, blocks, resample };
            inputs = outputs / 2;
            stage
        })
        .collect()
}

/// The encoder's stages, finest first. Downsampling keeps the channels.
pub(crate) fn encoder_stages(config: &VaeConfig) -> Vec<Stage> {
    let mut inputs = config.base_dim;
    let downs = config.temperal_downsample.iter().map(|&time| Some(Resample::new(time)));
    config
        .dim_mult
        .iter()
        .zip(downs.chain([None]))
        .map(|(mult, resample)| {
            let outputs = config.base_dim * mult;
            let stage = Stage { inputs, outputs, blocks: config.num_res_blocks, resample };
            inputs = outputs;
            stage
        })
        .collect()
}
