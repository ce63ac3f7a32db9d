//! How a kernel is launched and how it walks rows: arithmetic, tested without a GPU.

use candle_core::{DType, Result, bail};

/// The most blocks along each axis of a grid.
const MOST_BLOCKS: [u64; 3] = [i32::MAX as u64, 65_535, 65_535];
/// The most threads of a block.
const MOST_THREADS: u32 = 1024;

/// Blocks, threads a block and bytes of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) grid: [u64; 3],
    pub(crate) threads: u32,
    pub(crate) shared_bytes: usize,
}

impl Shape {
    /// Blocks in a row, without dynamic shared memory.
    pub(crate) fn flat(blocks: u64, threads: u32) -> Self {
        Self { grid: [blocks, 1, 1], threads, shared_bytes: 0 }
    }

    /// Blocks along two axes.
    pub(crate) fn new(grid: (usize, usize), threads: usize, shared_bytes: usize) -> Self {
        let grid = [grid.0 as u64, grid.1 as u64, 1];
        Self { grid, threads: u32::try_from(threads).unwrap_or(u32::MAX), shared_bytes }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.grid.contains(&0)
    }

    /// The grid and the threads as the driver takes them; an error for more than a GPU takes in one launch.
    pub(crate) fn checked(&self, name: &str) -> Result<([u32; 3], u32)> {
        let fits = self.grid.iter().zip(MOST_BLOCKS).all(|(&blocks, most)| blocks <= most);
        if !fits || self.threads > MOST_THREADS {
            bail!(
                "{name}: {:?} blocks of {} threads are more than a GPU takes in one launch",
                self.grid,
                self.threads
            );
        }
        Ok((self.grid.map(|blocks| blocks as u32), self.threads))
    }
}

/// Bytes that are copied at once, of rows of `bytes` at these addresses: 16, 4 or 2.
pub(crate) fn unit(bytes: usize, addresses: &[u64]) -> usize {
    let fits = |unit: usize| {
        bytes.is_multiple_of(unit) && addresses.iter().all(|at| at.is_multiple_of(unit as u64))
    };
    [16, 4].into_iter().find(|&unit| fits(unit)).unwrap_or(2)
}

/// The short name of a dtype in kernels' names.
pub(crate) fn short(dtype: DType) -> &'static str {
    if dtype == DType::F32 { "f32" } else { "bf16" }
}

/// How a kernel walks rows of `width` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Elements that a thread takes at once: 8, where every address is of whole 16 bytes, or fewer.
    pub(crate) elements: usize,
    /// Such chunks that a thread keeps in registers: 1, 2 or 4; 0 where the row is read again for each sum.
    pub(crate) kept: usize,
    pub(crate) threads: u32,
}

impl Walk {
    /// For rows at these addresses, whose parts of `unit` elements must not share a chunk.
    pub(crate) fn new(width: usize, unit: usize, addresses: &[u64]) -> Self {
        let whole = unit.is_multiple_of(8) && addresses.iter().all(|at| at.is_multiple_of(16));
        let elements = match unit {
            _ if whole => 8,
            unit if unit.is_multiple_of(2) => 2,
            _ => 1,
        };
        let chunks = width.div_ceil(elements);
        // A row of 1536 is a chunk for each of 192 threads.
        let kept = [1, 2, 4].into_iter().find(|kept| whole && chunks.div_ceil(*kept) <= 256);
        let kept = kept.or_else(|| (whole && chunks <= 4 * 1024).then_some(4)).unwrap_or(0);
        let threads = chunks.div_ceil(kept.max(1)).next_multiple_of(32);
        Self { elements, kept, threads: threads.min(if kept > 0 { 1024 } else { 256 }) as u32 }
    }

    /// What tells the kernel's instances apart.
    pub(crate) fn name(self) -> String {
        format!("e{}_k{}", self.elements, self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_no_larger_than_a_gpu_takes() {
        let of = |grid, threads| Shape { grid, threads, shared_bytes: 0 }.checked("norm");
        assert_eq!(of([1 << 30, 65_535, 1], 1024).unwrap(), ([1 << 30, 65_535, 1], 1024));
        for (grid, threads) in [([1 << 31, 1, 1], 32), ([1, 65_536, 1], 32), ([1, 1, 1], 1025)] {
            let said = of(grid, threads).unwrap_err().to_string();
            assert!(said.starts_with("norm: ") && said.contains("in one launch"), "{said}");
        }
        // What 32 bits would cut short.
        assert!(Shape::new(((1 << 32) + 5, 1), 32, 0).checked("rows").is_err());
        assert!(Shape::flat(0, 32).is_empty() && !Shape::new((3, 2), 32, 0).is_empty());
    }

    #[test]
    fn units_of_copies() {
        assert_eq!(unit(256, &[0, 512]), 16);
        assert_eq!(unit(256, &[0, 8]), 4);
        assert_eq!(unit(20, &[0]), 4);
        assert_eq!(unit(6, &[0]), 2);
    }

    #[test]
    fn how_rows_are_walked() {
        let of = |width, unit, at| {
            let Walk { elements, kept, threads } = Walk::new(width, unit, &[at]);
            (elements, kept, threads)
        };
        assert_eq!(of(1536, 1536, 256), (8, 1, 192));
        assert_eq!(of(1536, 128, 16), (8, 1, 192));
        assert_eq!(of(5120, 128, 0), (8, 4, 160));
        assert_eq!(of(3072, 128, 0), (8, 2, 192));
        assert_eq!(of(8, 8, 0), (8, 1, 32));
        assert_eq!(of(32_768, 32_768, 0), (8, 4, 1024));
        assert_eq!(of(40_000, 40_000, 0), (8, 0, 256));
        assert_eq!(of(1536, 1536, 8), (2, 0, 256), "a view that starts amid 16 bytes");
        assert_eq!(of(60, 30, 0), (2, 0, 32));
        assert_eq!(of(7, 7, 0), (1, 0, 32));
    }
}
