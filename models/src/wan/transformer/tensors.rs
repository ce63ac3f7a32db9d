//! The names and shapes of a Wan transformer's tensors: 27 a block and 15 outside.
//!
//! norm1, norm3 and norm_out have no weights and the rotary tables are not stored. The original repository's names
//! differ (its norm3 is norm2 here); these are diffusers'.

use crate::wan::config::TransformerConfig;
use crate::weights::Expected;

/// Parts of names that may be there and are not read: diffusers ignores them too.
pub const IGNORED: &[&str] = &["norm_added_q"];

/// Every tensor of the component, in the order in which they are read.
pub fn transformer_tensors(config: &TransformerConfig) -> Vec<Expected> {
    let d = config.width();
    let [pt, ph, pw] = config.patch_size;
    let mut list = List::default();
    list.add("patch_embedding.weight".into(), &[d, config.in_channels, pt, ph, pw]);
    list.add("patch_embedding.bias".into(), &[d]);
    list.linear("condition_embedder.time_embedder.linear_1", d, config.freq_dim);
    list.linear("condition_embedder.time_embedder.linear_2", d, d);
    list.linear("condition_embedder.time_proj", 6 * d, d);
    list.linear("condition_embedder.text_embedder.linear_1", d, config.text_dim);
    list.linear("condition_embedder.text_embedder.linear_2", d, d);
    for i in 0..config.num_layers {
        list.add(format!("blocks.{i}.scale_shift_table"), &[1, 6, d]);
        for attention in ["attn1", "attn2"] {
            for layer in ["to_q", "to_k", "to_v", "to_out.0"] {
                list.linear(&format!("blocks.{i}.{attention}.{layer}"), d, d);
            }
            list.add(format!("blocks.{i}.{attention}.norm_q.weight"), &[d]);
            list.add(format!("blocks.{i}.{attention}.norm_k.weight"), &[d]);
        }
        list.add(format!("blocks.{i}.norm2.weight"), &[d]);
        list.add(format!("blocks.{i}.norm2.bias"), &[d]);
        list.linear(&format!("blocks.{i}.ffn.net.0.proj"), config.ffn_dim, d);
        list.linear(&format!("blocks.{i}.ffn.net.2"), d, config.ffn_dim);
    }
    list.add("scale_shift_table".into(), &[1, 2, d]);
    list.linear("proj_out", ph * pw * config.channels_out(), d);
    list.0
}

/// Whether the tensor `name` is held in F32 whatever the compute dtype: the embedding of time, the tables and the norms
/// as in diffusers; the first and the last layer, which are 0.05 % of the work, so that residual and velocity enter and
/// leave unrounded; and the biases, which the kernels add to F32 sums.
pub(crate) fn held_in_f32(name: &str) -> bool {
    ["time_embedder", "scale_shift_table", "norm", "patch_embedding", "proj_out", ".bias"]
        .iter()
        .any(|part| name.contains(part))
}

#[derive(Default)]
struct List(Vec<Expected>);

impl List {
    fn add(&mut self, name: String, shape: &[usize]) {
        self.0.push(Expected { name, shape: shape.to_vec() });
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.add(format!("{name}.weight"), &[outputs, inputs]);
        self.add(format!("{name}.bias"), &[outputs]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(heads: usize, ffn_dim: usize, num_layers: usize) -> TransformerConfig {
        let num_attention_heads = heads;
        TransformerConfig {
            num_attention_heads,
            ffn_dim,
            num_layers,
            ..TransformerConfig::default()
        }
    }

    fn parameters(list: &[Expected]) -> usize {
        list.iter().map(|tensor| tensor.shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn counts_of_the_public_models() {
        let small = transformer_tensors(&public(12, 8960, 30));
        assert_eq!((small.len(), parameters(&small)), (825, 1_418_996_800));
        let large = transformer_tensors(&public(40, 13_824, 40));
        assert_eq!((large.len(), parameters(&large)), (1095, 14_288_491_584));
        let mut names: Vec<_> = small.iter().map(|tensor| &tensor.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 825);
    }
}
