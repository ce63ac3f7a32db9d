//! Which variant of each kernel ran on a GPU: what receipts tell, so that no slower path is taken silently.
//!
//! Counted a thread: a run makes all its calls from one. The CPU's kernels are not counted, their level says what ran.

use std::{cell::RefCell, collections::BTreeMap};

use candle_core::Device;

/// Whose code answered a call on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// A kernel of this crate.
    Own,
    /// NVIDIA's cuBLAS: matrix products.
    Cublas,
    /// candle's plain operations, several passes over memory: the reference.
    Candle,
    /// The CPU, from a copy of the operands.
    Host,
}

impl Via {
    /// The word in receipts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "tessera",
            Self::Cublas => "cublas",
            Self::Candle => "candle",
            Self::Host => "host",
        }
    }

    /// Whether a kernel of ours is missing there.
    pub fn is_fallback(self) -> bool {
        matches!(self, Self::Candle | Self::Host)
    }
}

/// One kernel's calls since the last [`take`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The function of this crate, or the kernel in its fatbinary: `rms_norm`, `dense_bf16_d128`.
    pub kernel: String,
    /// Whose code.
    pub via: Via,
    /// How often.
    pub calls: u64,
}

thread_local! {
    static RAN: RefCell<BTreeMap<(Via, String), u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// What ran on GPUs by calls of this thread since this was last asked; fallbacks last.
pub fn take() -> Vec<Ran> {
    let all = RAN.take().into_iter();
    all.map(|((via, kernel), calls)| Ran { kernel, via, calls }).collect()
}

/// Counts a call that did not run by a kernel of ours; nothing where the operands are on the CPU.
pub(crate) fn note(device: &Device, kernel: &str, via: Via) {
    if device.is_cuda() {
        count(kernel, via);
    }
}

/// Counts a call.
pub(crate) fn count(kernel: &str, via: Via) {
    RAN.with_borrow_mut(|ran| *ran.entry((via, kernel.to_owned())).or_default() += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_until_they_are_taken() {
        take();
        count("rms_norm", Via::Candle);
        count("rms_norm", Via::Candle);
        count("dense_bf16_d64", Via::Own);
        note(&Device::Cpu, "linear", Via::Cublas);
        let ran = |kernel: &str, via, calls| Ran { kernel: kernel.into(), via, calls };
        let expected = [ran("dense_bf16_d64", Via::Own, 1), ran("rms_norm", Via::Candle, 2)];
        assert_eq!(take(), expected);
        assert!(take().is_empty());
    }
}
