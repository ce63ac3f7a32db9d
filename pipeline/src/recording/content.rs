//! The large things in a recording: maps, orders, attention, rows, latents.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rusqlite::{ToSql, params};
use tessera_kernels::blocks::Blocks;
use tessera_kernels::levels::{FULL, LevelMap};
use tessera_kernels::order::Order;

use super::blob;
use super::meta::{Held, Kind, Place, branch_name};
use super::summary::{self, FULL_CELL, Summary};
use super::{Recording, schema};
use crate::Result;

/// A token order of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedOrder {
    /// `gilbert`, `morton`, `fhw`, …; `None` for one that has no name.
    pub name: Option<String>,
    /// The token of the model's own sequence (text, then video in raster order) at each position.
    pub order: Order,
}

/// Counts of levels, a list a head.
fn counted(bytes: &[u8], blocks: Blocks) -> Vec<Vec<u32>> {
    let heads = blob::from_words(bytes);
    heads.chunks(summary::levels(blocks)).map(<[u32]>::to_vec).collect()
}

impl Recording {
    /// The map that a head used at a place, `[1, 1, rows, columns]`: full where the call was dense, and where it was cached
    /// the map of the refresh that it came from.
    pub fn map(&self, place: Place, head: usize) -> Result<Held<LevelMap>> {
        let Some(call) = self.call(place)? else { return Ok(Held::NotCaptured) };
        let Some(map) = call.map else {
            let full = LevelMap::filled(FULL, (1, 1), self.meta().blocks())?;
            return Ok(Held::Here(full));
        };
        self.levels(map, head)
    }

    /// The levels of a head of the map with this number.
    pub fn levels(&self, map: u32, head: usize) -> Result<Held<LevelMap>> {
        let blocks = self.meta().blocks();
        let count = blocks.rows() * blocks.columns();
        let sql = "SELECT blob FROM levels WHERE map = ?1 AND head = ?2";
        self.blob(sql, params![map, head], count.div_ceil(2))?.and_then(|bytes| {
            LevelMap::from_vec(blob::from_nibbles(&bytes, count), (1, 1), blocks)
                .map_err(|error| schema::damaged(self.path(), &error.to_string()))
        })
    }

    /// The summary of all heads of the map that was used at a place.
    pub fn summary(&self, place: Place) -> Result<Held<Summary>> {
        let Some(call) = self.call(place)? else { return Ok(Held::NotCaptured) };
        let blocks = self.meta().blocks();
        let (rows, columns) = summary::cells(blocks);
        let Some(map) = call.map else {
            let heads = call.densities.len();
            let mut counts = vec![0; summary::levels(blocks)];
            counts[usize::from(FULL)] = (blocks.rows() * blocks.columns()) as u32;
            return Ok(Held::Here(Summary {
                rows,
                columns,
                thumbnails: vec![vec![FULL_CELL; rows * columns]; heads],
                counts: vec![counts; heads],
            }));
        };
        let sql = "SELECT counts FROM maps WHERE id = ?1";
        let Some(counts) = self.row(sql, params![map], |row| row.get::<_, Vec<u8>>(0))? else {
            return Ok(Held::NotCaptured);
        };
        let counts = counted(&counts, blocks);
        let cells = rows * columns;
        let count = cells * counts.len();
        let sql = "SELECT thumbnails FROM maps WHERE id = ?1";
        self.blob(sql, params![map], count.div_ceil(2))?.and_then(|bytes| {
            let thumbnails = blob::from_nibbles(&bytes, count);
            let thumbnails = thumbnails.chunks(cells).map(<[u8]>::to_vec).collect();
            Ok(Summary { rows, columns, thumbnails, counts })
        })
    }

    /// Of every map from number `first` on: blocks of each head at each level, from 0 to the deepest.
    pub fn counts_from(&self, first: u32) -> Result<BTreeMap<u32, Vec<Vec<u32>>>> {
        let blocks = self.meta().blocks();
        let sql = "SELECT id, counts FROM maps WHERE id >= ?1";
        let all = self.rows(sql, params![first], |row| {
            Ok((row.get(0)?, counted(&row.get::<_, Vec<u8>>(1)?, blocks)))
        })?;
        Ok(all.into_iter().collect())
    }

    /// The token order of a head at a place; `None` where nothing was recorded.
    pub fn order(&self, place: Place, head: usize) -> Result<Option<NamedOrder>> {
        let id = self.call(place)?.and_then(|call| call.order_of(head));
        id.map_or(Ok(None), |id| self.order_numbered(id))
    }

    /// The token order with this number.
    pub fn order_numbered(&self, id: u32) -> Result<Option<NamedOrder>> {
        let sql = "SELECT name FROM orders WHERE id = ?1";
        let Some(name) = self.row(sql, params![id], |row| row.get(0))? else { return Ok(None) };
        let sql = "SELECT blob FROM orders WHERE id = ?1";
        let order = self.order_in(sql, params![id])?;
        Ok(order.here().map(|order| NamedOrder { name, order }))
    }

    /// The order in the blob whose number `sql` tells.
    fn order_in(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Held<Order>> {
        self.blob(sql, values, 4 * self.meta().tokens())?.and_then(|bytes| {
            Order::new(blob::from_words(&bytes))
                .map_err(|error| schema::damaged(self.path(), &error.to_string()))
        })
    }

    /// The token of the model's own sequence (text, then video in raster order) at each place of the keys that a map's
    /// columns, and those of attention and scores, count: the call's order, unless its method sorted the head's keys. Rows
    /// count queries in the call's order always.
    pub fn key_order(&self, place: Place, head: usize) -> Result<Held<Order>> {
        let Some(call) = self.call(place)? else { return Ok(Held::NotCaptured) };
        match call.map {
            Some(map) if self.sorts_keys(map)? => {
                let sql = "SELECT blob FROM key_orders WHERE map = ?1 AND head = ?2";
                self.order_in(sql, params![map, head])
            }
            _ => {
                let order = self.order(place, head)?;
                Ok(order.map_or(Held::NotCaptured, |named| Held::Here(named.order)))
            }
        }
    }

    /// Whether the columns of the map with this number count keys in orders of their own.
    pub fn sorts_keys(&self, map: u32) -> Result<bool> {
        if self.version() < schema::SORTED_KEYS {
            return Ok(false);
        }
        let sql = "SELECT sorts_keys FROM maps WHERE id = ?1";
        Ok(self.row(sql, params![map], |row| row.get(0))?.unwrap_or(false))
    }

    /// The attention of a head, averaged over blocks, `[rows, columns]` F32 in the call's order: rows sum to 1.
    pub fn attention(&self, place: Place, head: usize) -> Result<Held<Tensor>> {
        self.capture(Kind::Attention, place, head)
    }

    /// What a head's levels were chosen by, `[rows, columns]` F32; of a cached call, in the refresh that its map is from.
    pub fn scores(&self, place: Place, head: usize) -> Result<Held<Tensor>> {
        let refresh = self.call(place)?.and_then(|call| call.estimated_at).unwrap_or(place.step);
        let place = Place { step: refresh, ..place };
        self.capture(Kind::Scores, place, head)
    }

    /// The softmax mass that query `token` gave to every token; both counted in the model's own sequence (text, then video
    /// in raster order). It is exact also where the call was sparse.
    pub fn row_of(&self, place: Place, head: usize, token: usize) -> Result<Held<Vec<f32>>> {
        let blob = self.captured(Kind::Row, place, head, Some(token), self.meta().tokens())?;
        blob.and_then(|bytes| Ok(blob::from_shares(&bytes)))
    }

    /// The clip before a step `[1, C, T, h, w]` F32; with the number of steps the clip after the last.
    pub fn latents(&self, step: usize) -> Result<Held<Tensor>> {
        let sql = "SELECT format FROM latents WHERE step = ?1";
        let format = self.row(sql, params![step], |row| row.get::<_, String>(0))?;
        let wide = format.as_deref() == Some("f32");
        let shape = self.meta().latent_shape;
        let count: usize = shape.iter().product();
        let sql = "SELECT blob FROM latents WHERE step = ?1";
        let blob = self.blob(sql, params![step], count * if wide { 4 } else { 2 })?;
        blob.and_then(|bytes| {
            let values = if wide { blob::from_floats(&bytes) } else { blob::from_halves(&bytes) };
            Ok(Tensor::from_vec(values, shape.to_vec(), &Device::Cpu)?)
        })
    }

    /// The clip that a step was heading for, `[1, C, T, h, w]` F32: x − σ·Δx/Δσ with the recorded clips before and after the
    /// step. It is the model's own prediction with Euler's method, and near it with the others.
    pub fn predicted(&self, step: usize) -> Result<Held<Tensor>> {
        let sigmas = &self.meta().sigmas;
        let (Some(now), Some(next)) = (sigmas.get(step), sigmas.get(step + 1)) else {
            return Ok(Held::NotCaptured);
        };
        let after = match self.latents(step + 1)? {
            Held::Here(after) => after,
            other => return Ok(other),
        };
        let slope = now / (next - now);
        self.latents(step)?.and_then(|before| Ok((&before - ((after - &before)? * slope)?)?))
    }

    fn capture(&self, kind: Kind, place: Place, head: usize) -> Result<Held<Tensor>> {
        let (rows, columns) = (self.meta().blocks().rows(), self.meta().blocks().columns());
        self.captured(kind, place, head, None, rows * columns)?.and_then(|bytes| {
            let values = match kind {
                Kind::Scores => blob::from_halves(&bytes),
                _ => blob::from_shares(&bytes),
            };
            Ok(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
        })
    }

    fn captured(
        &self,
        kind: Kind,
        place: Place,
        head: usize,
        token: Option<usize>,
        count: usize,
    ) -> Result<Held<Vec<u8>>> {
        let sql = "SELECT blob FROM captures WHERE kind = ?1 AND step = ?2 AND branch = ?3 AND expert = ?4 AND layer = ?5 AND head = ?6 AND token = ?7";
        let Place { step, site } = place;
        let token = token.map_or(-1, |token| token as i64);
        let branch = branch_name(site.branch);
        self.blob(
            sql,
            params![kind.name(), step, branch, site.expert, site.layer, head, token],
            count * 2,
        )
    }
}
