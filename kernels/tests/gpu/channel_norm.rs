//! The channel norm.

use tessera_kernels::channel_norm::channel_norm;

use crate::support::{gpu_agrees, random};

#[test]
#[ignore = "needs a GPU"]
fn pixels_on_the_gpu_equal_the_reference() {
    for channels in [1, 5, 8, 16, 24, 96, 100, 160, 192, 256, 384, 512, 640, 1024, 1048] {
        gpu_agrees(3e-6, |device, dtype| {
            let x = random(&[1, 2, 7, 9, channels], 1).to_dtype(dtype).unwrap();
            let x = x.to_device(device).unwrap();
            let gamma = random(&[channels], 2).to_device(device).unwrap();
            [true, false].map(|silu| channel_norm(&x, &gamma, silu).unwrap()).to_vec()
        });
    }
}
