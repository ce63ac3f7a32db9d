//! What the blocks take from the timestep, computed for all steps before the first.
//!
//! The raw timestep t (0 to 1000) becomes freq_dim/2 cosines, then as many sines, of t·exp(−ln(10000)·i/(freq_dim/2));
//! linear → SiLU → linear gives temb; a linear of SiLU(temb) gives six vectors of width d: shift, scale and gate for
//! attention, then for the feed-forward. A block adds its own table [6, d] to the six; the head adds its table [2, d]
//! (shift, scale) to temb, not to the six. Source: diffusers 0.42, `WanTimeTextImageEmbedding`.

use candle_core::{DType, Device, Tensor};
use tessera_kernels::Activation;
use tessera_kernels::linear::Linear;

use super::super::source::Source;
use crate::Result;
use crate::wan::config::TransformerConfig;

/// Everything that one step's forwards take from its timestep.
#[derive(Debug, Clone)]
pub struct StepModulation {
    /// The timestep, as the sampler gives it.
    pub(super) timestep: f64,
    /// `[1, d]` F32.
    pub(super) temb: Tensor,
    /// The projection before any block's table, `[1, 6, d]` F32.
    pub(super) six: Tensor,
    /// The six vectors of each block, its table included, `[L, 6, d]` F32.
    pub(super) blocks: Tensor,
    /// Shift and scale of the head, `[2, d]` F32.
    pub(super) head: Tensor,
}

impl StepModulation {
    /// The timestep that these vectors are for.
    pub fn timestep(&self) -> f64 {
        self.timestep
    }
}

/// The layers from a timestep to its vectors.
#[derive(Debug)]
pub(super) struct TimeEmbedder {
    linear_1: Linear,
    linear_2: Linear,
    project: Linear,
    frequencies: usize,
    compute: DType,
}

impl TimeEmbedder {
    pub(super) fn new(source: &mut Source<'_>, config: &TransformerConfig) -> Result<Self> {
        let at = "condition_embedder";
        Ok(Self {
            linear_1: source.linear_in(&format!("{at}.time_embedder.linear_1"), DType::F32)?,
            linear_2: source.linear_in(&format!("{at}.time_embedder.linear_2"), DType::F32)?,
            project: source.linear(&format!("{at}.time_proj"))?,
            frequencies: config.freq_dim / 2,
            compute: source.compute,
        })
    }

    /// The vectors of each timestep. `tables` is every block's, `[L, 6, d]`; `head` is the head's, `[2, d]`; both F32.
    pub(super) fn prepare(
        &self,
        timesteps: &[f64],
        tables: &Tensor,
        head: &Tensor,
    ) -> Result<Vec<StepModulation>> {
        if timesteps.is_empty() {
            return Ok(Vec::new());
        }
        let waves = sinusoids(timesteps, self.frequencies, tables.device())?;
        let temb = self.linear_2.forward(&self.linear_1.forward_with(&waves, Activation::Silu)?)?;
        let six =
            self.project.forward(&temb.silu()?.to_dtype(self.compute)?)?.to_dtype(DType::F32)?;
        let width = temb.dim(1)?;
        timesteps
            .iter()
            .enumerate()
            .map(|(i, &timestep)| {
                let temb = temb.narrow(0, i, 1)?;
                let six = six.narrow(0, i, 1)?.reshape((1, 6, width))?;
                let blocks = tables.broadcast_add(&six)?;
                let head = head.broadcast_add(&temb)?;
                Ok(StepModulation { timestep, temb, six, blocks, head })
            })
            .collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.linear_1.bytes() + self.linear_2.bytes() + self.project.bytes()
    }
}

/// `[N, 2·frequencies]` F32, cosines first. F32 throughout, as diffusers computes it.
fn sinusoids(timesteps: &[f64], frequencies: usize, device: &Device) -> Result<Tensor> {
    let log = -(10_000f64.ln()) as f32;
    let rates: Vec<f32> =
        (0..frequencies).map(|i| (log * i as f32 / frequencies as f32).exp()).collect();
    let mut rows = Vec::with_capacity(timesteps.len() * 2 * frequencies);
    for &timestep in timesteps {
        let timestep = timestep as f32;
        rows.extend(rates.iter().map(|rate| (timestep * rate).cos()));
        rows.extend(rates.iter().map(|rate| (timestep * rate).sin()));
    }
    Ok(Tensor::from_vec(rows, (timesteps.len(), 2 * frequencies), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_come_before_sines() {
        let rows = sinusoids(&[0.0, 999.0], 128, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert!(
            rows[0][..128].iter().all(|&c| c == 1.0) && rows[0][128..].iter().all(|&s| s == 0.0)
        );
        assert_eq!(rows[1][0], 999f32.cos());
        assert_eq!(rows[1][128], 999f32.sin());
        // The slowest of the 128 turns 10000^(127/128) times slower than the fastest.
        let slowest = 999.0 * 10_000f64.powf(-127.0 / 128.0);
        assert!((f64::from(rows[1][255]) - slowest.sin()).abs() < 1e-6);
    }
}
