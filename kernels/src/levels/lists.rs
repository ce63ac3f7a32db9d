//! The key blocks of a row by level: how a kernel walks a level map. Source: methods.md §6.6.

use super::{FULL, SKIPPED};
use crate::blocks::Blocks;

/// The key blocks that one query block sees, for each level an ascending list; skipped blocks are in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lists {
    /// Level 1 first.
    levels: Vec<Vec<u32>>,
}

impl Lists {
    /// The lists of one row of levels, `[columns]`.
    pub(super) fn of(row: &[u8], blocks: Blocks) -> Self {
        let mut levels = vec![Vec::new(); usize::from(blocks.deepest_level())];
        for (column, &level) in row.iter().enumerate().filter(|(_, level)| **level > SKIPPED) {
            levels[usize::from(level - FULL)].push(column as u32);
        }
        Self { levels }
    }

    /// The key blocks at `level`; none at level 0 and beyond the deepest.
    pub fn at(&self, level: u8) -> &[u32] {
        let index = usize::from(level).checked_sub(usize::from(FULL));
        index.and_then(|index| self.levels.get(index)).map_or(&[], Vec::as_slice)
    }

    /// Every level from 1 to the deepest that the key block allows, with its key blocks.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u32])> {
        (FULL..).zip(self.levels.iter().map(Vec::as_slice))
    }

    /// Whether the query block sees nothing.
    pub fn is_empty(&self) -> bool {
        self.levels.iter().all(Vec::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::super::LevelMap;
    use super::*;

    #[test]
    fn lists_name_each_seen_block_once() {
        let blocks = Blocks::new(6, 20, 4, 4).unwrap();
        let levels = vec![1, 3, 0, 1, 2, 0, 0, 0, 0, 0];
        let map = LevelMap::from_vec(levels, (1, 1), blocks).unwrap();
        let lists = map.lists(0, 0).unwrap();
        let all: Vec<_> = lists.iter().collect();
        assert_eq!(all, [(1, &[0, 3][..]), (2, &[4][..]), (3, &[1][..])]);
        assert_eq!([0, 1, 4].map(|level| lists.at(level).len()), [0, 2, 0]);
        assert!(!lists.is_empty() && map.lists(0, 1).unwrap().is_empty());
        assert!(map.lists(1, 0).is_err() && map.lists(0, 2).is_err(), "out of range");
    }
}
