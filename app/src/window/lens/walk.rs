//! An order to look at: the same map as it would lie without it, and the way of the order through the clip.
//!
//! With L what the map keeps of each pair of blocks and A, B the shares in which the tokens of a raster block lie in the blocks of
//! the call's order, the raster map is A·L·Bᵀ: exact for every pair of tokens, in time linear in its blocks.

use std::collections::BTreeMap;

use tessera_pipeline::palette;

use super::pixels::Pixels;

/// An order beside the raster.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Whether it is the raster itself.
    pub(crate) is_raster: bool,
    /// Share of pairs of blocks of which something is seen finer than the coarsest: in the raster, and in the order.
    pub(crate) busy: [f64; 2],
    /// The map as it would lie in the raster: how much of each pair of blocks is kept.
    pub(crate) raster: Option<Pixels>,
    /// Kept shares `[rows, columns]` in the raster.
    pub(crate) kept: Vec<f32>,
    /// Frames side by side, each token in the colour of its place in the order.
    pub(crate) frames: Option<Pixels>,
    /// Mean distance in the clip between tokens that follow each other, in tokens.
    pub(crate) stride: f64,
}

/// For each block of `block` raster tokens: the blocks of the order that its tokens lie in, and the share in each.
fn shares(order: &[i64], block: usize) -> Vec<Vec<(usize, f32)>> {
    let video = order.iter().filter(|token| **token >= 0).count();
    let mut of_blocks = vec![BTreeMap::<usize, usize>::new(); order.len().div_ceil(block)];
    let mut next_text = video;
    for (place, token) in order.iter().enumerate() {
        let raster = if *token >= 0 {
            *token as usize
        } else {
            next_text += 1;
            next_text - 1
        };
        *of_blocks[raster / block].entry(place / block).or_default() += 1;
    }
    let share = |counts: BTreeMap<usize, usize>| {
        let total: usize = counts.values().sum();
        counts.into_iter().map(|(at, count)| (at, count as f32 / total as f32)).collect()
    };
    of_blocks.into_iter().map(share).collect()
}

/// A·L·Bᵀ of `[rows, columns]` values.
fn spread(values: &[f32], rows: &[Vec<(usize, f32)>], columns: &[Vec<(usize, f32)>]) -> Vec<f32> {
    let mut all = Vec::with_capacity(rows.len() * columns.len());
    let mut line = vec![0.0f32; columns.len()];
    for row in rows {
        line.fill(0.0);
        for (at, share) in row {
            for (sum, value) in line.iter_mut().zip(&values[at * columns.len()..]) {
                *sum += share * value;
            }
        }
        let mix = |column: &Vec<(usize, f32)>| {
            column.iter().map(|(at, share)| share * line[*at]).sum::<f32>()
        };
        all.extend(columns.iter().map(mix));
    }
    all
}

impl Walk {
    /// `queries` and `keys` are the raster token at each place (−1: text), `levels` `[rows, columns]` the map over them in
    /// blocks of `[query, key]` tokens, `volume` frames, rows and columns of the clip.
    pub(super) fn new(
        queries: &[i64],
        keys: &[i64],
        levels: &[u8],
        [query_block, key_block]: [usize; 2],
        volume: [usize; 3],
    ) -> Self {
        let (rows, columns) = (shares(queries, query_block), shares(keys, key_block));
        let size = [columns.len(), rows.len()];
        let is_mapped = levels.len() == size[0] * size[1];
        let coarseness = |level: u8| if level == 0 { u8::MAX } else { level };
        let coarsest = levels.iter().copied().map(coarseness).max().unwrap_or(u8::MAX);
        let is_uniform = levels.iter().all(|level| coarseness(*level) == coarsest);
        let is_busy = |level: u8| is_uniform && level > 0 || coarseness(level) < coarsest;
        let (mut kept, mut busy) = (Vec::new(), [0.0; 2]);
        if is_mapped {
            let of =
                |value: fn(u8) -> f32| -> Vec<f32> { levels.iter().map(|l| value(*l)).collect() };
            kept = spread(&of(share_of), &rows, &columns);
            let marked: Vec<f32> =
                levels.iter().map(|l| f32::from(u8::from(is_busy(*l)))).collect();
            let count = (size[0] * size[1]) as f64;
            let of_raster = spread(&marked, &rows, &columns);
            busy = [of_raster, marked]
                .map(|marks| marks.iter().filter(|mark| **mark > 1e-6).count() as f64 / count);
        }
        let raster =
            is_mapped.then(|| Pixels::of(size, kept.iter().map(|kept| palette::kept(*kept))));
        let video: Vec<usize> =
            queries.iter().filter(|token| **token >= 0).map(|token| *token as usize).collect();
        let [frames, height, width] = volume;
        let place =
            |token: usize| [token / (height * width), token / width % height, token % width];
        let jump = |pair: &[usize]| {
            let (a, b) = (place(pair[0]), place(pair[1]));
            a.iter().zip(b).map(|(a, b)| (*a as f64 - b as f64).powi(2)).sum::<f64>().sqrt()
        };
        let stride =
            video.windows(2).map(jump).sum::<f64>() / video.len().saturating_sub(1).max(1) as f64;
        let across = frames * (width + 1);
        let mut cells = vec![palette::level(0); across * height];
        for (at, token) in video.iter().enumerate() {
            let [frame, row, column] = place(*token);
            if let Some(cell) = cells.get_mut(row * across + frame * (width + 1) + column) {
                *cell = palette::heat(at as f32 / video.len().max(1) as f32);
            }
        }
        Self {
            is_raster: video.iter().enumerate().all(|(at, token)| at == *token),
            busy,
            raster,
            kept,
            frames: Some(Pixels::flat([across, height], cells)),
            stride,
        }
    }
}

/// What a level keeps of a block's work.
fn share_of(level: u8) -> f32 {
    if level == 0 { 0.0 } else { 1.0 / f32::from(1u16 << (level - 1).min(15)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raster_map_is_that_of_every_pair_of_tokens() {
        // 8 tokens in blocks of 2 and 4; an order that sorts even tokens before odd ones.
        let order: Vec<i64> = vec![0, 2, 4, 6, 1, 3, 5, 7];
        let levels = [1u8, 0, 0, 0, 0, 1, 2, 0];
        let walk = Walk::new(&order, &order, &levels, [2, 4], [2, 2, 2]);
        let position = |token: usize| order.iter().position(|at| *at as usize == token).unwrap();
        for row in 0..4 {
            for column in 0..2 {
                let mut sum = 0.0;
                for query in row * 2..row * 2 + 2 {
                    for key in column * 4..column * 4 + 4 {
                        sum += share_of(levels[position(query) / 2 * 2 + position(key) / 4]);
                    }
                }
                let kept = walk.kept[row * 2 + column];
                assert!((kept - sum / 8.0).abs() < 1e-6, "{row} {column}: {kept} {sum}");
            }
        }
        assert_eq!(walk.busy, [1.0, 3.0 / 8.0], "scattered, three blocks are everywhere");
        assert!(!walk.is_raster);
    }

    #[test]
    fn the_raster_beside_itself_is_the_same() {
        let order: Vec<i64> = (0..8).collect();
        let levels = [1u8, 0, 7, 0, 0, 1, 2, 0];
        let walk = Walk::new(&order, &order, &levels, [2, 4], [1, 2, 4]);
        assert!(walk.is_raster);
        assert_eq!(walk.kept, levels.map(share_of));
        assert_eq!(walk.busy[0], walk.busy[1]);
        let dense = Walk::new(&order, &order, &[1; 8], [2, 4], [1, 2, 4]);
        assert_eq!(dense.busy, [1.0, 1.0]);
    }
}
