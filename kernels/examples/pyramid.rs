//! How the time of pyramid attention follows the density of its map: time ÷ that of dense attention, measured in turn
//! in one run, medians of several rounds. 64 is the width of the bundled model's heads.
//!
//! `cargo run --release -p tessera-kernels --example pyramid -- [tokens [rounds [heads]]]`, 8192, 9 and 4 unless given.
#![expect(clippy::unwrap_used, reason = "an example stops where a shape is wrong")]

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use tessera_kernels::{
    attention,
    blocks::Blocks,
    levels::LevelMap,
    pyramid::{self, Options},
};

/// A row's share of key blocks at each level.
struct Mix {
    name: &'static str,
    shares: Vec<(u8, f64)>,
    floor: u8,
}

impl Mix {
    /// Random blocks of each row, the same share in every one.
    fn map(&self, heads: usize, blocks: Blocks) -> LevelMap {
        let columns = blocks.columns();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut levels = Vec::with_capacity(heads * blocks.rows() * columns);
        for _ in 0..heads * blocks.rows() {
            let mut row = vec![self.floor; columns];
            let mut order: Vec<usize> = (0..columns).collect();
            for i in (1..columns).rev() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                order.swap(i, (state % (i as u64 + 1)) as usize);
            }
            let mut order = order.into_iter();
            for &(level, share) in &self.shares {
                let count = (share * columns as f64).round() as usize;
                order.by_ref().take(count).for_each(|column| row[column] = level);
            }
            levels.extend(row);
        }
        LevelMap::from_vec(levels, (1, heads), blocks).unwrap()
    }
}

/// Seconds that this process's threads have run, where Linux tells: what others do on the machine does not count.
fn processor_seconds() -> Option<f64> {
    let nanoseconds = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    Some(threads.map(nanoseconds).sum::<Option<u64>>()? as f64 * 1e-9)
}

/// Processor seconds that `work` takes on all threads, or plain seconds where nobody counts those.
fn seconds(work: impl FnOnce()) -> f64 {
    let (start, before) = (Instant::now(), processor_seconds());
    work();
    match (before, processor_seconds()) {
        (Some(before), Some(after)) => after - before,
        _ => start.elapsed().as_secs_f64(),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>().unwrap());
    let tokens = arguments.next().unwrap_or(8192);
    let rounds = arguments.next().unwrap_or(9);
    let heads = arguments.next().unwrap_or(4);
    let blocks = Blocks::of(tokens);
    let binary = [1.0, 0.5, 0.25, 0.12, 0.1, 0.05].map(|share| ("1", vec![(1, share)], 0));
    // About a quarter and a tenth of the work.
    let quarter = vec![(1, 0.13), (2, 0.13), (3, 0.13), (4, 0.17)];
    let tenth = vec![(1, 0.045), (2, 0.045), (3, 0.06), (4, 0.12)];
    let mixes: Vec<Mix> = binary
        .into_iter()
        .chain([
            ("1 floor 7", vec![(1, 0.24)], 7),
            ("1 floor 7", vec![(1, 0.09)], 7),
            ("1,2,3,4", quarter.clone(), 0),
            ("1,2,3,4", tenth.clone(), 0),
            ("1,2,3,4 floor 7", quarter, 7),
            ("1,2,3,4 floor 7", tenth, 7),
        ])
        .map(|(name, shares, floor)| Mix { name, shares, floor })
        .collect();
    println!("{tokens} tokens, {heads} heads, {} threads", rayon::current_num_threads());
    println!("| levels | exact density | F32 × 64 | F32 × 128 | BF16 × 64 | BF16 × 128 |");
    println!("|---|---|---|---|---|---|");
    let maps: Vec<LevelMap> = mixes.iter().map(|mix| mix.map(heads, blocks)).collect();
    let mut table = vec![Vec::new(); mixes.len()];
    let mut dense_times = Vec::new();
    for (dtype, width) in
        [(DType::F32, 64), (DType::F32, 128), (DType::BF16, 64), (DType::BF16, 128)]
    {
        let [q, k, v] = [(); 3].map(|()| {
            let x = Tensor::randn(0_f32, 1.0, (1, heads, tokens, width), &Device::Cpu).unwrap();
            x.to_dtype(dtype).unwrap()
        });
        let options = Options::new(1.0 / (width as f32).sqrt());
        let mut dense = Vec::new();
        let mut sparse = vec![Vec::new(); maps.len()];
        for _ in 0..rounds {
            dense.push(seconds(|| {
                attention::attention(&q, &k, &v, options.scale, None).unwrap();
            }));
            for (map, times) in maps.iter().zip(&mut sparse) {
                times.push(seconds(|| {
                    pyramid::attention(&q, &k, &v, map, &options).unwrap();
                }));
            }
        }
        let dense = median(dense);
        dense_times.push(format!("{:.0} ms", dense * 1e3));
        for (row, times) in table.iter_mut().zip(sparse) {
            row.push(format!("{:.3}", median(times) / dense));
        }
    }
    println!("| dense | 1 | {} |", dense_times.join(" | "));
    for ((mix, map), row) in mixes.iter().zip(&maps).zip(table) {
        let density = map.density().unwrap().exact;
        println!("| {} | {density:.3} | {} |", mix.name, row.join(" | "));
    }
}
