//! How the queries and keys of one attention are cut into blocks.
//!
//! Block i of the queries holds tokens `i·query_block .. (i + 1)·query_block`, the last one fewer; keys alike. Tokens are
//! counted in the order that the attention sees, after any permutation.

use std::ops::Range;

use candle_core::{Result, bail};

/// Tokens of a query block, unless somebody asks for another cut.
pub const QUERY_BLOCK: usize = 128;
/// Tokens of a key block, unless somebody asks for another cut.
pub const KEY_BLOCK: usize = 64;

/// The cut of one attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blocks {
    /// Query tokens.
    pub queries: usize,
    /// Key tokens.
    pub keys: usize,
    /// Tokens of a whole query block.
    pub query_block: usize,
    /// Tokens of a whole key block, a power of two.
    pub key_block: usize,
}

impl Blocks {
    /// A self-attention over `tokens` in blocks of 128 queries and 64 keys.
    pub fn of(tokens: usize) -> Self {
        Self { queries: tokens, keys: tokens, query_block: QUERY_BLOCK, key_block: KEY_BLOCK }
    }

    /// Any cut. The key block must be a power of two, because levels halve it; nothing may be empty.
    pub fn new(queries: usize, keys: usize, query_block: usize, key_block: usize) -> Result<Self> {
        if queries == 0 || keys == 0 || query_block == 0 || !key_block.is_power_of_two() {
            bail!(
                "blocks: needs tokens, a query block and a power of two as key block, got {queries} queries in blocks of {query_block} and {keys} keys in blocks of {key_block}"
            );
        }
        Ok(Self { queries, keys, query_block, key_block })
    }

    /// Query blocks.
    pub fn rows(&self) -> usize {
        self.queries.div_ceil(self.query_block)
    }

    /// Key blocks.
    pub fn columns(&self) -> usize {
        self.keys.div_ceil(self.key_block)
    }

    /// Tokens of query block `row`.
    pub fn query_range(&self, row: usize) -> Range<usize> {
        row * self.query_block..((row + 1) * self.query_block).min(self.queries)
    }

    /// Tokens of key block `column`.
    pub fn key_range(&self, column: usize) -> Range<usize> {
        column * self.key_block..((column + 1) * self.key_block).min(self.keys)
    }

    /// The level that pools a whole key block into one: 1 + log₂ key_block.
    pub fn deepest_level(&self) -> u8 {
        1 + self.key_block.trailing_zeros() as u8
    }

    /// Pooled keys of block `column` at `level`: none at level 0, otherwise its tokens over 2^(level − 1), rounded up.
    pub fn pooled_keys(&self, column: usize, level: u8) -> usize {
        if level == 0 { 0 } else { self.key_range(column).len().div_ceil(1 << (level - 1)) }
    }

    /// The key block that lies where query block `row` does: `(first, end)` of the key blocks that overlap it.
    pub fn own_columns(&self, row: usize) -> Range<usize> {
        let tokens = self.query_range(row);
        (tokens.start / self.key_block).min(self.columns())
            ..tokens.end.div_ceil(self.key_block).min(self.columns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_ends_are_blocks_too() {
        let blocks = Blocks::of(150);
        assert_eq!((blocks.rows(), blocks.columns(), blocks.deepest_level()), (2, 3, 7));
        assert_eq!((blocks.query_range(1), blocks.key_range(2)), (128..150, 128..150));
        assert_eq!([0, 1, 2, 5, 7].map(|level| blocks.pooled_keys(2, level)), [0, 22, 11, 2, 1]);
        assert_eq!((blocks.own_columns(0), blocks.own_columns(1)), (0..2, 2..3));
        assert!(Blocks::new(10, 10, 4, 6).is_err() && Blocks::new(0, 1, 1, 1).is_err());
    }
}
