//! The residual block: x ↦ shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x)))))).
//!
//! Both convolutions are causal 3×3×3. The norms divide each position by the length of its channel vector:
//! x/max(‖x‖₂, 1e−12)·√C·gamma. The shortcut is a linear map of the channels where their number changes, else nothing;
//! it takes x as it came.

use candle_core::Tensor;
use tessera_kernels::channel_norm::channel_norm;
use tessera_kernels::linear::Linear;

use super::super::source::Source;
use super::causal::{CausalConv, Context, Streaming};
use crate::Result;

#[derive(Debug)]
pub(super) struct Residual {
    norm1: Tensor, // [C] F32
    conv1: CausalConv,
    norm2: Tensor,
    conv2: CausalConv,
    shortcut: Option<Linear>,
}

impl Residual {
    /// The block `at`, from `inputs` to `outputs` channels.
    pub(super) fn new(
        source: &mut Source<'_>,
        at: &str,
        [inputs, outputs]: [usize; 2],
    ) -> Result<Self> {
        Ok(Self {
            norm1: source.vector(&format!("{at}.norm1.gamma"))?,
            conv1: CausalConv::new(source, &format!("{at}.conv1"), [3, 3])?,
            norm2: source.vector(&format!("{at}.norm2.gamma"))?,
            conv2: CausalConv::new(source, &format!("{at}.conv2"), [3, 3])?,
            shortcut: if inputs == outputs {
                None
            } else {
                Some(source.linear(&format!("{at}.conv_shortcut"))?)
            },
        })
    }
}

impl Streaming for Residual {
    type State = [Context; 2];

    fn step(&self, x: Tensor, [first, second]: &mut [Context; 2]) -> Result<Tensor> {
        let mut y = self.conv1.step(channel_norm(&x, &self.norm1, true)?, first)?;
        y = channel_norm(&y, &self.norm2, true)?;
        match &self.shortcut {
            Some(shortcut) => self.conv2.step_add(y, &shortcut.forward(&x)?, second),
            None => self.conv2.step_add(y, &x, second),
        }
    }
}
