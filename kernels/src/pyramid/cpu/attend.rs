//! One block of queries against the groups that its row of the map names.
#![expect(unsafe_code, reason = "works on packed memory and scratch through pointers")]

use std::ops::Range;

use super::groups::Groups;
use crate::cpu::{
    host::Element,
    keys::{self, Ahead, Keys},
    online::{KEYS, Online, Shape},
    simd::{Simd, Work},
};

/// The rows of one level of one head: a group's k̄ and v̄ stand `width` elements after those of the group before.
pub(super) struct Source<'a, T> {
    pub(super) groups: &'a Groups,
    pub(super) k: *const T,
    pub(super) v: *const T,
}

/// The operands of a task.
pub(super) struct Attend<'a, T> {
    pub(super) shape: &'a Shape,
    /// The block's rows.
    pub(super) q: &'a [T],
    /// scale·log₂e.
    pub(super) scale: f32,
    pub(super) sources: &'a [Source<'a, T>],
    /// The level of each key block.
    pub(super) row: &'a [u8],
    /// [`scratch_units`] units.
    pub(super) scratch: *mut u32,
    pub(super) to: *mut T,
    pub(super) lse: *mut f32,
}

/// Units of a task's scratch: the online softmax's, and a packed tile.
pub(super) fn scratch_units<T: Element>(shape: &Shape) -> usize {
    shape.scratch_units() + shape.k_units() + shape.v_units::<T>()
}

impl<T: Element> Work for Attend<'_, T> {
    type Output = ();

    /// Groups of all levels fill one tile after the other, so that the products never see how small a block's part is.
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let shape = self.shape;
        let mut seen = Seen::new(self.sources, self.row);
        // SAFETY: the scratch is as large as `scratch_units` says; every source has a row for each of its groups.
        unsafe {
            let k_to = self.scratch.add(shape.scratch_units());
            let v_to = k_to.add(shape.k_units());
            let mut tile = Rows::new();
            let mut next = Rows::new();
            tile.fill(&mut seen, shape.width);
            let mut online = Online::start::<S>(shape, self.scale, self.q, self.scratch);
            while tile.count > 0 {
                keys::pack::<S, T>(shape, tile.k(), tile.v(), k_to, v_to);
                next.fill(&mut seen, shape.width);
                let keys = Keys { k: k_to, v: v_to, bias: &tile.bias[..tile.count] };
                online.absorb::<S>(keys, Ahead { k: next.k(), v: next.v() });
                std::mem::swap(&mut tile, &mut next);
            }
            online.finish::<S>(self.to, self.lse);
        }
    }
}

/// Where the rows of a tile's groups lie.
struct Rows<T> {
    k: [*const T; KEYS],
    v: [*const T; KEYS],
    /// β·log₂e.
    bias: [f32; KEYS],
    count: usize,
}

impl<T: Element> Rows<T> {
    fn new() -> Self {
        Self {
            k: [std::ptr::null(); KEYS],
            v: [std::ptr::null(); KEYS],
            bias: [0.0; KEYS],
            count: 0,
        }
    }

    /// Takes as many of the groups that are left as a tile holds.
    #[inline(always)]
    fn fill(&mut self, seen: &mut Seen<'_, T>, width: usize) {
        self.count = 0;
        while let Some((source, groups)) = seen.next(KEYS - self.count) {
            let rows = self.count..self.count + groups.len();
            let first = groups.start * width;
            let (mut k, mut v) = (source.k.wrapping_add(first), source.v.wrapping_add(first));
            for (to_k, to_v) in self.k[rows.clone()].iter_mut().zip(&mut self.v[rows.clone()]) {
                (*to_k, *to_v) = (k, v);
                (k, v) = (k.wrapping_add(width), v.wrapping_add(width));
            }
            self.bias[rows].copy_from_slice(source.groups.bias(groups.clone()));
            self.count += groups.len();
        }
    }

    fn k(&self) -> &[*const T] {
        &self.k[..self.count]
    }

    fn v(&self) -> &[*const T] {
        &self.v[..self.count]
    }
}

/// The groups that a row of the map names and nobody has taken yet, level after level.
struct Seen<'a, T> {
    /// The level at hand is the first one's.
    sources: &'a [Source<'a, T>],
    row: &'a [u8],
    /// The first key block that was not looked at for the level at hand.
    column: usize,
    /// What is left of the key block before it.
    groups: Range<usize>,
}

impl<'a, T> Seen<'a, T> {
    fn new(sources: &'a [Source<'a, T>], row: &'a [u8]) -> Self {
        Self { sources, row, column: 0, groups: 0..0 }
    }

    /// Takes consecutive groups of one level, at most `most`; `None` when that is 0 or no groups are left.
    #[inline(always)]
    fn next(&mut self, most: usize) -> Option<(&'a Source<'a, T>, Range<usize>)> {
        if most == 0 {
            return None;
        }
        loop {
            let (source, rest) = self.sources.split_first()?;
            while self.groups.is_empty() && self.column < self.row.len() {
                if self.row[self.column] == source.groups.level {
                    self.groups = source.groups.of(self.column);
                }
                self.column += 1;
            }
            if self.groups.is_empty() {
                (self.sources, self.column) = (rest, 0);
                continue;
            }
            let end = self.groups.end.min(self.groups.start + most);
            let taken = self.groups.start..end;
            self.groups.start = end;
            return Some((source, taken));
        }
    }
}
