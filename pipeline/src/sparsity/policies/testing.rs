//! Calls to ask policies about.

use candle_core::{Device, Tensor};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::order::Order;
use tessera_models::attention::{Branch, Site};
use tessera_models::geometry::Grid;

use crate::sparsity::View;

/// Heads of [`Case::new`].
const HEADS: usize = 3;
/// Head width of [`Case::new`].
const WIDTH: usize = 16;

/// One attention call.
pub(crate) struct Case {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    blocks: Blocks,
    grid: Grid,
    text: usize,
    orders: Vec<Order>,
}

impl Case {
    /// A clip of frames × rows × columns in raster order with `text` tokens behind it. Queries and keys agree where their
    /// places do, each head along other axes, and have noise of their own.
    pub(crate) fn new([frames, rows, cols]: [usize; 3], text: usize) -> Self {
        let grid = Grid { frames, rows, cols };
        let tokens = grid.tokens() + text;
        let mut noise = Noise(41);
        let mut make = |strength: f32| {
            let mut values = Vec::with_capacity(HEADS * tokens * WIDTH);
            for head in 0..HEADS {
                for token in 0..tokens {
                    let place = [token / (rows * cols), token / cols % rows, token % cols];
                    for channel in 0..WIDTH {
                        let along = place[(head + channel) % 3] as f32;
                        let wave = (along * 0.2 * (1 + channel / 3) as f32 + channel as f32).sin();
                        values.push(strength * wave + noise.next());
                    }
                }
            }
            Tensor::from_vec(values, (1, HEADS, tokens, WIDTH), &Device::Cpu).unwrap()
        };
        let (q, k, v) = (make(2.0), make(2.0), make(1.0));
        let orders = vec![Order::identity(tokens)];
        Self { q, k, v, blocks: Blocks::of(tokens), grid, text, orders }
    }

    /// Given queries and keys; the values are the keys.
    pub(crate) fn of(q: Tensor, k: Tensor, blocks: Blocks) -> Self {
        let grid = Grid { frames: 1, rows: 1, cols: blocks.keys };
        let orders = vec![Order::identity(blocks.keys)];
        Self { v: k.clone(), q, k, blocks, grid, text: 0, orders }
    }

    /// As a policy sees it: layer 1 of 8, step 5 of 20.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            q: &self.q,
            k: &self.k,
            v: &self.v,
            scale: (self.q.dim(3).unwrap() as f32).sqrt().recip(),
            blocks: self.blocks,
            grid: self.grid,
            text_tokens: self.text,
            orders: &self.orders,
            site: Site { layer: 1, branch: Branch::Cond, expert: 0 },
            layers: 8,
            step: 5,
            steps: 20,
            sigma: 0.9,
            lse: None,
            plan: None,
            seed: 3,
        }
    }
}

/// Tokens of one head with one channel.
pub(crate) fn column(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap().reshape((1, 1, values.len(), 1)).unwrap()
}

/// Uniform in ±1.7, the same for the same seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0) * 1.7
    }
}
