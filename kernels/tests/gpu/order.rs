//! Tokens in their orders.

use candle_core::DType;
use tessera_kernels::order::{Order, Volume, gilbert, morton, permute};

use crate::support::{gpu_agrees, random};

#[test]
#[ignore = "needs a GPU"]
fn tokens_on_the_gpu_go_where_they_go_on_the_cpu() {
    let volume = Volume { frames: 3, rows: 4, columns: 6 };
    let reversed = Order::new((0..72).rev().collect()).unwrap();
    let each = [gilbert(volume), morton(volume), reversed];
    for width in [1, 3, 6, 64, 128, 2056] {
        for orders in [&each[..1], &each[..]] {
            gpu_agrees(0.0, |device, dtype| {
                let x = random(&[2, 3, 72, width], 1).to_dtype(dtype).unwrap();
                let y = permute(&x.to_device(device).unwrap(), orders).unwrap();
                vec![y.to_dtype(DType::F32).unwrap()]
            });
        }
    }
}
