//! One block of queries against the groups that its row of the map names.
#![expect(unsafe_code, reason = "works on packed memory and scratch through pointers")]

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
        let mut groups = self.sources.iter().flat_map(|source| {
            let level = source.groups.level;
            let columns = self.row.iter().enumerate().filter(move |(_, l)| **l == level);
            columns
                .flat_map(|(column, _)| source.groups.of(column))
                .map(move |group| (source, group))
        });
        // SAFETY: the scratch is as large as `scratch_units` says; every source has a row for each of its groups.
        unsafe {
            let k_to = self.scratch.add(shape.scratch_units());
            let v_to = k_to.add(shape.k_units());
            let mut tile = Rows::new();
            let mut next = Rows::new();
            tile.fill(&mut groups, shape.width);
            let mut online = Online::start::<S>(shape, self.scale, self.q, self.scratch);
            while tile.count > 0 {
                keys::pack::<S, T>(shape, tile.k(), tile.v(), k_to, v_to);
                next.fill(&mut groups, shape.width);
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

    /// Takes as many of `groups` as a tile holds.
    #[inline(always)]
    fn fill<'a>(
        &mut self,
        groups: &mut impl Iterator<Item = (&'a Source<'a, T>, usize)>,
        width: usize,
    ) where
        T: 'a,
    {
        self.count = 0;
        for (source, group) in groups.take(KEYS) {
            self.k[self.count] = source.k.wrapping_add(group * width);
            self.v[self.count] = source.v.wrapping_add(group * width);
            self.bias[self.count] = source.groups.bias(group);
            self.count += 1;
        }
    }

    fn k(&self) -> &[*const T] {
        &self.k[..self.count]
    }

    fn v(&self) -> &[*const T] {
        &self.v[..self.count]
    }
}
