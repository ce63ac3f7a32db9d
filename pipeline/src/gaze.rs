//! What query tokens look at: their softmax mass laid back onto the clip, and how much of it the level map keeps.
//!
//! A recording counts attention by blocks of a call's token order. A query token takes the row of its own block; the mass of a
//! key block is spread evenly over its tokens, which go back to where they are in the clip. Where a recording holds the exact
//! rows of all the query tokens (`capture_rows`), those are taken, and every token has its own share. With several query tokens
//! all numbers are means over them.
//!
//! A key counts as kept where its block is seen finer than the floor, as in [`crate::recording::Call::retained`]: what is skipped
//! or seen only as the floor's pooled mean is missed. Kept and missed are the truth together.

use tessera_kernels::blocks::Blocks;
use tessera_models::geometry::Grid;

use crate::recording::{Held, Place, Recording};
use crate::{Error, Result};

/// How finely the mass is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Tokens of a block share its mass.
    Blocks,
    /// Every token has its own.
    Tokens,
}

/// Where query tokens look.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaze {
    /// The video tokens.
    pub grid: Grid,
    /// Share of the softmax at each video token `[T, rows, columns]`, of dense attention. Text tokens hold the rest of 1.
    pub truth: Vec<f32>,
    /// The part of it that the map keeps, `[T, rows, columns]`; `None` where the map was not recorded.
    pub kept: Option<Vec<f32>>,
    /// How finely it is known.
    pub grain: Grain,
}

/// Which of its numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reading {
    /// Dense attention.
    #[default]
    Truth,
    /// What the map keeps of it.
    Kept,
    /// What it does not.
    Missed,
}

impl Reading {
    /// All.
    pub const ALL: [Self; 3] = [Self::Truth, Self::Kept, Self::Missed];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truth => "truth",
            Self::Kept => "kept",
            Self::Missed => "missed",
        }
    }
}

impl Gaze {
    /// One reading `[T, rows, columns]`; `None` for one that needs the map, where that was not recorded.
    pub fn reading(&self, reading: Reading) -> Option<Vec<f32>> {
        match reading {
            Reading::Truth => Some(self.truth.clone()),
            Reading::Kept => self.kept.clone(),
            Reading::Missed => {
                let pairs = self.truth.iter().zip(self.kept.as_ref()?);
                Some(pairs.map(|(truth, kept)| (truth - kept).max(0.0)).collect())
            }
        }
    }

    /// The kept part of what is looked at in the video, from 0 to 1.
    pub fn kept_share(&self) -> Option<f64> {
        let sum = |shares: &[f32]| shares.iter().map(|share| f64::from(*share)).sum::<f64>();
        Some(sum(self.kept.as_ref()?) / sum(&self.truth).max(f64::MIN_POSITIVE))
    }

    /// Where `tokens` (latent frame, row, column) look in a head at a place. Missing is what is missing of: the call, its map,
    /// its attention.
    ///
    /// # Errors
    /// [`Error::Recording`] for no tokens or one that is not in the clip, or a recording that contradicts itself.
    pub fn read(
        recording: &Recording,
        place: Place,
        head: usize,
        tokens: &[[usize; 3]],
    ) -> Result<Held<Self>> {
        let seen = match Seen::read(recording, place, head, tokens)? {
            Held::Here(seen) => seen,
            Held::Dropped => return Ok(Held::Dropped),
            Held::NotCaptured => return Ok(Held::NotCaptured),
        };
        let mut rows = Vec::with_capacity(seen.queries.len());
        for query in &seen.queries {
            match recording.row_of(place, head, *query as usize)? {
                Held::Here(row) => rows.push(row),
                Held::Dropped | Held::NotCaptured => break,
            }
        }
        if rows.len() == seen.queries.len() {
            return Ok(Held::Here(seen.of_rows(&rows)));
        }
        let mass = match recording.attention(place, head)? {
            Held::Here(mass) => mass.flatten_all()?.to_vec1()?,
            Held::Dropped => return Ok(Held::Dropped),
            Held::NotCaptured => return Ok(Held::NotCaptured),
        };
        Ok(Held::Here(seen.of_blocks(&mass)))
    }

    /// The same from measured rows: of each query token the softmax over the model's own sequence (text, then video in raster
    /// order), in the order of `tokens`. Of a head whose map was not recorded it is the truth alone.
    ///
    /// # Errors
    /// As [`Gaze::read`].
    pub fn measured(
        recording: &Recording,
        place: Place,
        head: usize,
        (tokens, rows): (&[[usize; 3]], &[Vec<f32>]),
    ) -> Result<Self> {
        if let Held::Here(seen) = Seen::read(recording, place, head, tokens)? {
            return Ok(seen.of_rows(rows));
        }
        let (grid, text) = (recording.meta().grid, recording.meta().text_tokens);
        let mut truth = vec![0f32; grid.tokens()];
        for row in rows {
            let video = row.iter().skip(text);
            truth.iter_mut().zip(video).for_each(|(sum, mass)| *sum += mass / rows.len() as f32);
        }
        Ok(Self { grid, truth, kept: None, grain: Grain::Tokens })
    }
}

/// What a head's map sees from some query tokens.
struct Seen {
    grid: Grid,
    text: usize,
    blocks: Blocks,
    /// Query tokens in the model's own sequence.
    queries: Vec<u32>,
    /// The query block of each.
    rows: Vec<usize>,
    /// The token of the model's own sequence at each place of the keys.
    keys: Vec<u32>,
    /// Whether each pair of blocks `[rows, columns]` is kept.
    is_kept: Vec<bool>,
}

impl Seen {
    fn read(
        recording: &Recording,
        place: Place,
        head: usize,
        tokens: &[[usize; 3]],
    ) -> Result<Held<Self>> {
        let meta = recording.meta();
        let (grid, text, blocks) = (meta.grid, meta.text_tokens, meta.blocks());
        let places = tokens.iter().map(|token| Ok(place_of(recording, *token)? as u32));
        let queries: Vec<u32> = places.collect::<Result<_>>()?;
        if queries.is_empty() {
            let reason = "no query token was named".into();
            return Err(Error::Recording { path: recording.path().into(), reason });
        }
        let levels = match recording.map(place, head)? {
            Held::Here(map) => map.to_vec()?,
            Held::Dropped => return Ok(Held::Dropped),
            Held::NotCaptured => return Ok(Held::NotCaptured),
        };
        let Some(order) = recording.order(place, head)? else { return Ok(Held::NotCaptured) };
        let keys = match recording.key_order(place, head)? {
            Held::Here(order) => order.tokens().to_vec(),
            Held::Dropped => return Ok(Held::Dropped),
            Held::NotCaptured => return Ok(Held::NotCaptured),
        };
        let mut places = vec![0usize; meta.tokens()];
        for (place, token) in order.order.tokens().iter().enumerate() {
            places[*token as usize] = place; // an order has every token once
        }
        let rows = queries.iter().map(|query| places[*query as usize] / blocks.query_block);
        let rows = rows.collect();
        let floor = meta.request.floor.unwrap_or(0);
        let is_kept = |level: u8| level > 0 && (floor <= 1 || u32::from(level) < floor);
        let is_kept = levels.into_iter().map(is_kept).collect();
        Ok(Held::Here(Self { grid, text, blocks, queries, rows, keys, is_kept }))
    }

    /// The mass of key blocks spread over their tokens. `mass` is `[rows, columns]`.
    fn of_blocks(&self, mass: &[f32]) -> Gaze {
        let columns = self.blocks.columns();
        let share = |row: usize, key: usize| {
            let column = key / self.blocks.key_block;
            mass[row * columns + column] / self.blocks.key_range(column).len() as f32
        };
        self.laid(Grain::Blocks, |query, key| share(self.rows[query], key))
    }

    /// Every token's own mass. A row is a query's over the model's sequence.
    fn of_rows(&self, rows: &[Vec<f32>]) -> Gaze {
        self.laid(Grain::Tokens, |query, key| rows[query][self.keys[key] as usize])
    }

    /// Lays the share that each (query, place of a key) has onto the clip.
    fn laid(&self, grain: Grain, share: impl Fn(usize, usize) -> f32) -> Gaze {
        let (mut truth, mut kept) =
            (vec![0f32; self.grid.tokens()], vec![0f32; self.grid.tokens()]);
        let weight = 1.0 / self.queries.len() as f32;
        let columns = self.blocks.columns();
        for (query, row) in self.rows.iter().enumerate() {
            for (key, token) in self.keys.iter().enumerate() {
                let Some(at) = (*token as usize).checked_sub(self.text) else { continue };
                let mass = share(query, key) * weight;
                truth[at] += mass;
                if self.is_kept[row * columns + key / self.blocks.key_block] {
                    kept[at] += mass;
                }
            }
        }
        Gaze { grid: self.grid, truth, kept: Some(kept), grain }
    }
}

/// Where a video token stands in the model's own sequence (text, then video in raster order).
pub(crate) fn place_of(recording: &Recording, token: [usize; 3]) -> Result<usize> {
    let meta = recording.meta();
    let index = index(meta.grid, token).ok_or_else(|| Error::Recording {
        path: recording.path().into(),
        reason: format!("its clip of {:?} tokens has no token {token:?}", meta.grid),
    })?;
    Ok(meta.text_tokens + index)
}

/// The raster index of a video token (latent frame, row, column); `None` for one that is not in the clip.
pub fn index(grid: Grid, [frame, row, column]: [usize; 3]) -> Option<usize> {
    let is_there = frame < grid.frames && row < grid.rows && column < grid.cols;
    is_there.then(|| (frame * grid.rows + row) * grid.cols + column)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tessera_models::attention::Branch;

    use super::*;
    use crate::recording::tests::meta;
    use crate::recording::{Call, Kind, Writer};
    use crate::sparsity::observer::Mode;

    /// Levels `[2, 3]` and attention of the one head; tokens are taken backwards.
    const LEVELS: [u8; 6] = [1, 0, 7, 2, 7, 1];
    const MASS: [f32; 6] = [0.5, 0.25, 0.25, 0.125, 0.75, 0.125];

    fn recorded(folder: &Path, floor: u32) -> Recording {
        let mut meta = meta(1 << 20);
        meta.request.floor = Some(floor);
        let path = folder.join("a.recording");
        let mut writer = Writer::create(&path, &meta).unwrap();
        let order: Vec<u32> = (0..192).rev().collect();
        writer.order(0, None, &order).unwrap();
        let levels = [LEVELS, LEVELS].concat();
        writer.map(4, &levels, &meta, &[0, 1], None).unwrap();
        let call = Call {
            place: Place::new(0, Branch::Cond, 0),
            mode: Mode::Fresh,
            estimate_ms: 0.1,
            attention_ms: 1.0,
            densities: vec![tessera_kernels::levels::Density { nominal: 0.5, exact: 0.5 }; 2],
            retained: None,
            estimated_at: Some(0),
            map: Some(4),
            orders: vec![0],
            fallback: None,
        };
        writer.call(&call).unwrap();
        writer.capture(Kind::Attention, call.place, 0, None, &MASS).unwrap();
        let row: Vec<f32> = (0..192).map(|i| if i == 14 { 0.5 } else { 0.5 / 191.0 }).collect();
        writer.capture(Kind::Row, call.place, 1, Some(14), &row).unwrap();
        writer.finish(&crate::recording::Outcome::Finished).unwrap();
        Recording::open(&path).unwrap()
    }

    fn gaze(recording: &Recording, head: usize, tokens: &[[usize; 3]]) -> Gaze {
        let place = Place::new(0, Branch::Cond, 0);
        Gaze::read(recording, place, head, tokens).unwrap().here().unwrap()
    }

    #[test]
    fn the_mass_of_a_block_lies_on_its_own_tokens_of_the_clip() {
        let folder = tempfile::tempdir().unwrap();
        let recording = recorded(folder.path(), 0);
        // Token 0 stands at place 191, in query block 1; key block 0 holds tokens 128 to 191.
        let gaze = gaze(&recording, 0, &[[0, 0, 0]]);
        assert_eq!(gaze.grain, Grain::Blocks);
        for (token, share) in gaze.truth.iter().enumerate() {
            let expected = [0.125, 0.75, 0.125][token / 64] / 64.0;
            assert!((share - expected).abs() < 1e-5, "token {token}: {share}");
        }
        assert_eq!(gaze.kept.as_ref(), Some(&gaze.truth), "with floor 0 all but skipped is kept");
        assert!((gaze.truth.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        // The last token stands at place 0, whose block skips the middle.
        let other = self::gaze(&recording, 0, &[[1, 7, 11]]);
        assert!((other.kept_share().unwrap() - 0.75).abs() < 1e-4);
        let missed = other.reading(Reading::Missed).unwrap();
        assert!(missed[64..128].iter().all(|share| (share - 0.25 / 64.0).abs() < 1e-5));
        assert!(missed[..64].iter().chain(&missed[128..]).all(|share| *share == 0.0));
    }

    #[test]
    fn several_tokens_are_averaged_and_the_floor_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let recording = recorded(folder.path(), 7);
        let both = gaze(&recording, 0, &[[0, 0, 0], [1, 7, 11]]);
        assert!((both.truth[0] * 64.0 - 0.1875).abs() < 1e-4);
        // Of the first block row levels 1 (0.5) are kept, of the second 2 (0.125) and 1 (0.125).
        assert!((both.kept_share().unwrap() - 0.375).abs() < 1e-4);
    }

    #[test]
    fn exact_rows_are_taken_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let recording = recorded(folder.path(), 0);
        let gaze = gaze(&recording, 1, &[[0, 1, 2]]);
        assert_eq!(gaze.grain, Grain::Tokens);
        assert!((gaze.truth[14] - 0.5).abs() < 1e-3 && gaze.truth[15] < 0.01);
        let place = Place::new(0, Branch::Cond, 0);
        let none = Gaze::read(&recording, place, 1, &[[0, 1, 3]]).unwrap();
        assert_eq!(none, Held::NotCaptured, "of this head only one row was kept");
        let rows = vec![vec![1.0 / 192.0; 192]];
        let measured = Gaze::measured(&recording, place, 1, (&[[0, 1, 3]], &rows)).unwrap();
        assert!((measured.truth[3] - 1.0 / 192.0).abs() < 1e-7 && measured.kept.is_some());
        // Nothing was recorded of the other layer.
        let place = Place::new(0, Branch::Cond, 1);
        let alone = Gaze::measured(&recording, place, 1, (&[[0, 1, 3]], &rows)).unwrap();
        assert_eq!((&alone.truth, alone.kept_share()), (&measured.truth, None));
        assert_eq!(alone.reading(Reading::Missed), None);
        let beyond = Gaze::read(&recording, place, 0, &[[2, 0, 0]]).unwrap_err().to_string();
        assert!(beyond.contains("no token [2, 0, 0]"), "{beyond}");
        assert!(Gaze::read(&recording, place, 0, &[]).is_err());
    }
}
