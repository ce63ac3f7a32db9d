//! The Morton or Z order (Sol-Attn): tokens by the interleaved bits of their places.
//!
//! code = spread(frame) | spread(row) << 1 | spread(column) << 2, where spread moves bit i to bit 3i. Codes are unique,
//! so any box will do; a box that is no power of two leaves gaps between codes. Source: methods.md §6.9.

use super::{Order, Volume};

/// The box's tokens in Morton order.
pub fn morton(volume: Volume) -> Order {
    let code = |token: u32| {
        let [frame, row, column] = volume.place(token as usize);
        spread(frame) | spread(row) << 1 | spread(column) << 2
    };
    let mut tokens: Vec<u32> = (0..volume.tokens() as u32).collect();
    tokens.sort_by_cached_key(|&token| code(token));
    Order { tokens: tokens.into() }
}

/// Bit i to bit 3i, of 21 bits.
fn spread(x: usize) -> u64 {
    (0..21).fold(0, |code, bit| code | (x as u64 >> bit & 1) << (3 * bit))
}
