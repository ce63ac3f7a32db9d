//! How much of a head's softmax its map kept, computed afterwards from what was recorded of it.

use super::{Held, Place, Recording};
use crate::Result;
use crate::sparsity::{Mode, probe};

impl Recording {
    /// The share of a head's softmax in blocks that its map sees finer than the floor, the mean over queries: as the run told
    /// it, where it did; otherwise from the exact attention and the map, where both are here. 1 of a dense call.
    pub fn retained(&self, place: Place, head: usize) -> Result<Held<f64>> {
        let Some(call) = self.call(place)? else { return Ok(Held::NotCaptured) };
        if call.mode == Mode::Dense {
            return Ok(Held::Here(1.0));
        }
        if let Some(known) = call.retained.as_ref().and_then(|all| all.get(head)) {
            return Ok(Held::Here(*known));
        }
        let map = match self.map(place, head)? {
            Held::Here(map) => map,
            Held::Dropped => return Ok(Held::Dropped),
            Held::NotCaptured => return Ok(Held::NotCaptured),
        };
        let blocks = self.meta().blocks();
        let floor = self.meta().request.floor.unwrap_or_default() as u8;
        self.attention(place, head)?.and_then(|mass| {
            let mass = mass.reshape((1, 1, blocks.rows(), blocks.columns()))?;
            Ok(probe::exact(&mass, &map, floor)?.first().copied().unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundled;

    #[test]
    fn retained_mass_is_that_of_the_blocks_that_the_map_selected() {
        for path in bundled::recordings() {
            let recording = Recording::open(&path).unwrap();
            let meta = recording.meta();
            let calls = recording.calls(meta.steps() - 1).unwrap();
            let call = calls.iter().find(|call| call.mode != Mode::Dense).unwrap();
            let floor = meta.request.floor.unwrap() as u8;
            let (blocks, head) = (meta.blocks(), 1);
            let map = recording.map(call.place, head).unwrap().here().unwrap().to_vec().unwrap();
            let mass = recording.attention(call.place, head).unwrap().here().unwrap();
            let mass: Vec<f32> = mass.flatten_all().unwrap().to_vec1().unwrap();
            let (mut kept, mut queries) = (0.0, 0.0);
            for (row, (levels, mass)) in
                map.chunks(blocks.columns()).zip(mass.chunks(blocks.columns())).enumerate()
            {
                let is_selected = |level: u8| level > 0 && (floor == 0 || level < floor);
                let pairs = levels.iter().zip(mass).filter(|(level, _)| is_selected(**level));
                let seen: f64 = pairs.map(|(_, mass)| f64::from(*mass)).sum();
                let all: f64 = mass.iter().map(|mass| f64::from(*mass)).sum();
                let count = blocks.query_range(row).len() as f64;
                (kept, queries) = (kept + count * seen / all, queries + count);
            }
            let got = recording.retained(call.place, head).unwrap().here().unwrap();
            assert!((got - kept / queries).abs() < 1e-6 && (0.05..1.0).contains(&got), "{got}");
        }
    }
}
