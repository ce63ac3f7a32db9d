//! The means of some heads' keys and values at every level but the first, which is the operands themselves.
#![expect(unsafe_code, reason = "tasks write disjoint rows of one piece of memory")]

use super::{attend::Source, groups::Groups};
use crate::{
    cpu::{
        Level,
        host::{Element, Shared},
        simd::dispatch,
    },
    levels::FULL,
    pool::Means,
};

/// Memory for the means: for each head K's level after level, then V's.
pub(super) struct Pooled<'a, T> {
    groups: &'a [Groups],
    width: usize,
    means: Shared<T>,
}

impl<'a, T: Element> Pooled<'a, T> {
    /// `means` has room for [`Self::elements`] of every head.
    pub(super) fn new(groups: &'a [Groups], width: usize, means: Shared<T>) -> Self {
        Self { groups, width, means }
    }

    /// Elements that a head's means take.
    pub(super) fn elements(groups: &[Groups], width: usize) -> usize {
        2 * Self::rows(groups) * width
    }

    /// Means of one head's keys.
    fn rows(groups: &[Groups]) -> usize {
        groups.iter().filter(|groups| groups.level > FULL).map(Groups::len).sum()
    }

    /// Each level above the first with where its means of K and V start.
    fn parts(&self, head: usize) -> impl Iterator<Item = (&'a Groups, [*mut T; 2])> {
        let rows = Self::rows(self.groups);
        let (width, means) = (self.width, self.means);
        let mut row = 2 * head * rows;
        self.groups.iter().filter(|groups| groups.level > FULL).map(move |groups| {
            let parts = [means.at(row * width), means.at((row + rows) * width)];
            row += groups.len();
            (groups, parts)
        })
    }

    /// Pools a key block of `head` at every level.
    ///
    /// # Safety
    /// `level` is the machine's at most; `[k, v]` are the head's rows of valid keys; one caller for each block.
    pub(super) unsafe fn fill(
        &self,
        level: Level,
        head: usize,
        column: usize,
        operands: [*const T; 2],
    ) {
        for (groups, means) in self.parts(head) {
            let range = groups.of(column);
            for (x, to) in operands.into_iter().zip(means) {
                let to = to.wrapping_add(range.start * self.width);
                let ends = groups.ends(range.clone());
                // SAFETY: the caller's promise; the means have a row for every group.
                unsafe { dispatch(level, Means { x, width: self.width, ends, to }) };
            }
        }
    }

    /// The rows of every level of `head`, whose valid keys' rows are `[k, v]`.
    pub(super) fn sources(&self, head: usize, [k, v]: [*const T; 2]) -> Vec<Source<'a, T>> {
        let full = self.groups.iter().filter(|groups| groups.level == FULL);
        let pooled = self.parts(head).map(|(groups, [k, v])| Source {
            groups,
            k: k.cast_const(),
            v: v.cast_const(),
        });
        pooled.chain(full.map(|groups| Source { groups, k, v })).collect()
    }
}
