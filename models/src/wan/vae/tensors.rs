//! The names and shapes of the autoencoder's tensors.
//!
//! The encoder's blocks are one flat list (residual blocks and downsamplings count alike); the decoder's are nested by
//! stage. `resample.1` is the convolution: index 0 is the parameter-free step before it.

use super::layout::{Resample, decoder_middle, decoder_stages, encoder_middle, encoder_stages};
use crate::wan::config::VaeConfig;
use crate::weights::Expected;

/// Every tensor of the component.
pub fn vae_tensors(config: &VaeConfig) -> Vec<Expected> {
    let mut list = encoder_tensors(config);
    list.extend(decoder_tensors(config));
    list
}

/// The tensors that the encoder reads, with quant_conv.
pub fn encoder_tensors(config: &VaeConfig) -> Vec<Expected> {
    let mut list = List::default();
    list.conv("encoder.conv_in", &[config.base_dim, config.in_channels, 3, 3, 3]);
    let mut index = 0;
    for stage in encoder_stages(config) {
        for channels in stage.channels() {
            list.residual(&format!("encoder.down_blocks.{index}"), channels);
            index += 1;
        }
        if let Some(kind) = stage.resample {
            let (at, c) = (format!("encoder.down_blocks.{index}"), stage.outputs);
            list.conv(&format!("{at}.resample.1"), &[c, c, 3, 3]);
            if kind == Resample::SpaceAndTime {
                list.conv(&format!("{at}.time_conv"), &[c, c, 3, 1, 1]);
            }
            index += 1;
        }
    }
    let (middle, moments) = (encoder_middle(config), 2 * config.z_dim);
    list.middle("encoder.mid_block", middle);
    list.add("encoder.norm_out.gamma".into(), &[middle, 1, 1, 1]);
    list.conv("encoder.conv_out", &[moments, middle, 3, 3, 3]);
    list.conv("quant_conv", &[moments, moments, 1, 1, 1]);
    list.0
}

/// The tensors that the decoder reads, with post_quant_conv.
pub fn decoder_tensors(config: &VaeConfig) -> Vec<Expected> {
    let mut list = List::default();
    let (middle, z) = (decoder_middle(config), config.z_dim);
    list.conv("post_quant_conv", &[z, z, 1, 1, 1]);
    list.conv("decoder.conv_in", &[middle, z, 3, 3, 3]);
    list.middle("decoder.mid_block", middle);
    let mut last = middle;
    for (i, stage) in decoder_stages(config).into_iter().enumerate() {
        for (j, channels) in stage.channels().enumerate() {
            list.residual(&format!("decoder.up_blocks.{i}.resnets.{j}"), channels);
        }
        last = stage.outputs;
        if let Some(kind) = stage.resample {
            let at = format!("decoder.up_blocks.{i}.upsamplers.0");
            list.conv(&format!("{at}.resample.1"), &[last / 2, last, 3, 3]);
            if kind == Resample::SpaceAndTime {
                list.conv(&format!("{at}.time_conv"), &[2 * last, last, 3, 1, 1]);
            }
        }
    }
    list.add("decoder.norm_out.gamma".into(), &[last, 1, 1, 1]);
    list.conv("decoder.conv_out", &[config.out_channels, last, 3, 3, 3]);
    list.0
}

#[derive(Default)]
struct List(Vec<Expected>);

impl List {
    fn add(&mut self, name: String, shape: &[usize]) {
        self.0.push(Expected { name, shape: shape.to_vec() });
    }

    fn conv(&mut self, name: &str, shape: &[usize]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    fn residual(&mut self, at: &str, [inputs, outputs]: [usize; 2]) {
        self.add(format!("{at}.norm1.gamma"), &[inputs, 1, 1, 1]);
        self.conv(&format!("{at}.conv1"), &[outputs, inputs, 3, 3, 3]);
        self.add(format!("{at}.norm2.gamma"), &[outputs, 1, 1, 1]);
        self.conv(&format!("{at}.conv2"), &[outputs, outputs, 3, 3, 3]);
        if inputs != outputs {
            self.conv(&format!("{at}.conv_shortcut"), &[outputs, inputs, 1, 1, 1]);
        }
    }

    fn middle(&mut self, at: &str, c: usize) {
        self.residual(&format!("{at}.resnets.0"), [c, c]);
        self.add(format!("{at}.attentions.0.norm.gamma"), &[c, 1, 1]);
        self.conv(&format!("{at}.attentions.0.to_qkv"), &[3 * c, c, 1, 1]);
        self.conv(&format!("{at}.attentions.0.proj"), &[c, c, 1, 1]);
        self.residual(&format!("{at}.resnets.1"), [c, c]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_public_autoencoder() {
        let config = VaeConfig::default();
        let all = vae_tensors(&config);
        let parameters: usize =
            all.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        assert_eq!((all.len(), parameters), (194, 126_892_531));
        assert_eq!(decoder_tensors(&config).len(), 108);
        let shape = |name: &str| {
            all.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.clone())
        };
        assert_eq!(
            shape("decoder.up_blocks.1.resnets.0.conv_shortcut.weight"),
            Some(vec![384, 192, 1, 1, 1])
        );
        assert_eq!(shape("encoder.down_blocks.8.time_conv.weight"), Some(vec![384, 384, 3, 1, 1]));
        assert_eq!(shape("encoder.conv_out.weight"), Some(vec![32, 384, 3, 3, 3]));
    }
}
