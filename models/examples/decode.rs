//! Time and memory of decoding a clip on the first GPU: random latents of 480×832, 81 frames.
//!
//! `cargo run --release --features cuda --example decode -- FOLDER [rounds [f32|bf16]]`, FOLDER a checkpoint with a whole VAE
//! (`scripts/full-size-folder` writes one).
#![cfg_attr(
    feature = "cuda",
    expect(clippy::unwrap_used, reason = "an example stops where a folder is wrong")
)]

#[cfg(feature = "cuda")]
fn main() {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        time::{Duration, Instant},
    };

    use candle_core::{DType, cuda::cudarc::driver::result::mem_get_info};
    use tessera_models::{folder::ModelFolder, wan::WanDecoder, watch::Unwatched};

    let mut arguments = std::env::args().skip(1);
    let folder = ModelFolder::open(arguments.next().unwrap().as_ref()).unwrap();
    let rounds = arguments.next().map_or(3, |rounds| rounds.parse().unwrap());
    let dtype =
        if arguments.next().is_some_and(|word| word == "f32") { DType::F32 } else { DType::BF16 };
    let device = tessera_kernels::gpu::open(0).unwrap();
    let used = || mem_get_info().map_or(0, |(free, total)| total - free);
    let before = used();
    let decoder = WanDecoder::load(&folder, dtype, &device, &mut Unwatched).unwrap();
    let latents = candle_core::Tensor::randn(0f32, 1.0, (1, 16, 21, 60, 104), &device).unwrap();
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _bound = device.as_cuda_device().unwrap().cuda_stream().context().bind_to_thread();
            while !done.load(Relaxed) {
                most.fetch_max(used(), Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        for round in 0..rounds {
            device.synchronize().unwrap();
            let start = Instant::now();
            let mut frames = 0;
            for pixels in decoder.decode(&latents) {
                frames += pixels.unwrap().dim(2).unwrap();
            }
            device.synchronize().unwrap();
            println!("round {round}: {frames} frames in {:.3} s", start.elapsed().as_secs_f64());
        }
        done.store(true, Relaxed);
    });
    println!("at most {:.2} GB beyond the context", (most.load(Relaxed) - before) as f64 * 1e-9);
}

#[cfg(not(feature = "cuda"))]
fn main() {
    eprintln!("decode: needs the feature `cuda`");
}
