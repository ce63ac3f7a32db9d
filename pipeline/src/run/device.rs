//! A run's device: what failed on it in words that help, and which kernels ran on it.

use candle_core::Device;
use tessera_kernels::{gpu, ran};

use crate::engine::Studio;
use crate::events::Phase;
use crate::machine::open;
use crate::plan::{Plan, Settled};
use crate::receipt::KernelUse;
use crate::{Error, Result};

/// The driver's errors after which nothing works on the device any more, by the names that it gives them.
const LOST: [&str; 10] = [
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_DEVICE_UNAVAILABLE",
    "CUDA_ERROR_CONTEXT_IS_DESTROYED",
    "CUDA_ERROR_UNKNOWN",
];

/// Does a phase's work; what a GPU failed with becomes an error that says what to do, and the models leave the device.
pub(super) fn during<T>(
    studio: &mut Studio,
    (plan, settled): (&Plan, &Settled),
    phase: Phase,
    work: impl FnOnce(&mut Studio) -> Result<T>,
) -> Result<T> {
    let outcome = work(studio);
    if settled.device == "cpu" {
        return outcome;
    }
    outcome.map_err(|error| {
        let free = || open(&settled.device).ok().as_ref().and_then(gpu::free_bytes).unwrap_or(0);
        let planned = plan.phase(phase).map_or(0, |planned| planned.peak_bytes);
        let error = explained(error, &settled.device, phase, (planned, free));
        if matches!(error, Error::DeviceMemory { .. } | Error::DeviceLost { .. }) {
            studio.clear();
        }
        error
    })
}

fn explained(
    error: Error,
    device: &str,
    phase: Phase,
    (requested, free): (u64, impl FnOnce() -> u64),
) -> Error {
    let words = error.to_string();
    let device = device.to_owned();
    if error.is_out_of_memory() {
        return Error::DeviceMemory {
            device,
            phase,
            requested,
            free: free(),
            advice: advice(phase),
        };
    }
    match LOST.iter().find(|name| words.contains(**name)) {
        Some(name) => Error::DeviceLost { device, phase, reason: (*name).to_owned() },
        None => error,
    }
}

fn advice(phase: Phase) -> String {
    let ways = match phase {
        Phase::EncodeText => "a shorter prompt",
        Phase::Load => "a smaller model, or dtype bf16",
        Phase::Decode => {
            "vae-dtype bf16, a smaller size (the latents are saved: `tessera resume` decodes them)"
        }
        _ => "a smaller size or fewer frames, dtype bf16",
    };
    format!("What helps: {ways}, closing other programs on the GPU, or device cpu")
}

/// Opens the device of a setting, so that what is free of it is known.
pub(super) fn opened(name: &str) -> Result<Device> {
    open(name).map_err(|error| Error::Device {
        asked: name.into(),
        reason: format!("it could not be opened ({error})"),
        available: "cpu".into(),
    })
}

/// What ran on the GPU since this was last asked, as entries of the receipt.
pub(super) fn kernels(part: &str, layers: u64, device: &str) -> Vec<KernelUse> {
    let used = |ran: ran::Ran| KernelUse {
        part: part.into(),
        layers: [0, layers],
        kernel: ran.kernel,
        variant: format!("{device}/{}", ran.via.name()),
        calls: Some(ran.calls),
    };
    ran::take().into_iter().map(used).collect()
}

/// What of it was a fallback, in sentences.
pub(super) fn fallbacks(kernels: &[KernelUse], device: &str) -> Vec<String> {
    let of = |via: ran::Via, what: &str| {
        let variant = format!("{device}/{}", via.name());
        let mine = kernels.iter().filter(|used| used.variant == variant);
        let list: Vec<String> = mine
            .map(|used| {
                format!("{} ({}, {} calls)", used.kernel, used.part, used.calls.unwrap_or(0))
            })
            .collect();
        (!list.is_empty()).then(|| format!("{what}: {}.", list.join(", ")))
    };
    [
        of(
            ran::Via::Candle,
            &format!("On {device} candle's operations ran where there is no kernel of ours"),
        ),
        of(ran::Via::Host, &format!("The CPU computed from copies of what was on {device}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(words: &str) -> Error {
        candle_core::Error::Msg(words.into()).into()
    }

    #[test]
    fn what_a_gpu_fails_with_is_told_with_numbers_and_advice() {
        let told = |words: &str| {
            explained(candle(words), "cuda:1", Phase::Decode, (9_000_000_000, || 512_000_000))
        };
        let full = told("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        assert!(matches!(full, Error::DeviceMemory { .. }), "{full}");
        for words in ["cuda:1", "9.0 GB", "512 MB", "vae-dtype bf16", "resume"] {
            assert!(full.to_string().contains(words), "{words}: {full}");
        }
        assert_eq!(full.kind(), crate::error::FailureKind::Memory);
        let lost = told("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")");
        assert!(matches!(lost, Error::DeviceLost { .. }), "{lost}");
        assert!(lost.to_string().contains("start the program anew"), "{lost}");
        assert!(matches!(told("shape mismatch"), Error::Model(_)));
    }

    #[test]
    fn fallbacks_are_named_with_their_calls() {
        let used = |kernel: &str, variant: &str| KernelUse {
            part: "vae".into(),
            layers: [0, 1],
            kernel: kernel.into(),
            variant: variant.into(),
            calls: Some(7),
        };
        let all = [used("conv", "cuda:0/candle"), used("dense_bf16_d64", "cuda:0/tessera")];
        let told = fallbacks(&all, "cuda:0");
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("conv (vae, 7 calls)") && !told[0].contains("dense"), "{told:?}");
    }
}
