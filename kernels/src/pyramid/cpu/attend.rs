//! One block of queries against the groups that its row of the map names.
#![expect(unsafe_code, reason = "works on packed memory and scratch through pointers")]

use super::groups::Groups;
use crate::cpu::{
    host::Element,
    keys,
    online::{KEYS, Keys, Online, Shape},
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
        let (mut k, mut v) = ([std::ptr::null(); KEYS], [std::ptr::null(); KEYS]);
        let mut bias = [0.0; KEYS];
        // SAFETY: the scratch is as large as `scratch_units` says; every source has a row for each of its groups.
        unsafe {
            let k_to = self.scratch.add(shape.scratch_units());
            let v_to = k_to.add(shape.k_units());
            let mut online = Online::start::<S>(shape, self.scale, self.q, self.scratch);
            loop {
                let mut count = 0;
                for (source, group) in groups.by_ref().take(KEYS) {
                    k[count] = source.k.add(group * shape.width);
                    v[count] = source.v.add(group * shape.width);
                    bias[count] = source.groups.bias(group);
                    count += 1;
                }
                if count == 0 {
                    break;
                }
                keys::pack(shape, &k[..count], &v[..count], k_to, v_to);
                online.absorb::<S>(Keys { k: k_to, v: v_to, bias: &bias[..count] });
            }
            online.finish::<S>(self.to, self.lse);
        }
    }
}
