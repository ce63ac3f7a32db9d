//! Entries by hand on tiny grids, samples against all pairs, and the maps that come of them.

use tessera_kernels::order::{self, AxisOrder};

use tessera_models::geometry::Grid;

use super::*;
use crate::sparsity::Arrangement;
use crate::sparsity::policies::knob::stretched;
use crate::sparsity::policies::promises::Call;

/// A clip of 2 frames of 2 × 4 tokens in blocks of 4 queries and 2 keys.
const GRID: Grid = Grid { frames: 2, rows: 2, cols: 4 };

fn blocks(tokens: usize) -> Blocks {
    Blocks::new(tokens, tokens, 4, 2).unwrap()
}

fn cells(tokens: usize) -> Cells {
    Cells::all(GRID, blocks(tokens))
}

fn near(query: &Token, key: &Token) -> f32 {
    query.raster.abs_diff(key.raster) as f32 / 16.0
}

#[test]
fn a_block_enters_with_the_share_of_its_pairs_that_is_asked_for() {
    let order = Order::identity(16);
    let first = entries(cells(16), &order, Coverage::Share(0.0), near);
    // Row 0 holds queries 0..4: nearest pairs to the key blocks at 4, 6, … are 1, 3, … tokens apart.
    assert_eq!(first[..8], [0, 0, 1, 3, 5, 7, 9, 11].map(|d| d as f32 / 16.0));
    // The eight distances to keys 4 and 5 are 1 2 2 3 3 4 4 5; four of them are half.
    let half = entries(cells(16), &order, Coverage::Share(0.5), near);
    assert_eq!(half[2], 3.0 / 16.0);
    let all = entries(cells(16), &order, Coverage::Share(1.0), near);
    assert_eq!(all[2], 5.0 / 16.0);
    assert_eq!(all[8 + 2..8 + 4], [0.0, 0.0], "its own blocks");
}

#[test]
fn places_follow_the_order() {
    // With the frame fastest, positions 0 and 1 are the two frames of one place.
    let order = order::axes(volume(GRID), AxisOrder::Hwf);
    let frames = |query: &Token, key: &Token| query.place[0].abs_diff(key.place[0]) as f32;
    let entries = entries(cells(16), &order, Coverage::Share(1.0), frames);
    assert!(entries[2..8].iter().all(|&entry| entry == 1.0), "every block holds both frames");
}

#[test]
fn text_is_in_from_the_start() {
    // 16 video tokens and 3 of text: columns 8 and 9 and the last row hold text.
    let entries = entries(cells(19), &Order::identity(16), Coverage::Share(0.5), |_, _| 1.0);
    let row = |row: usize| &entries[row * 10..][..10];
    assert_eq!(row(0), [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(row(4), [0.0; 10]);
}

#[test]
fn columns_need_to_be_well_seen() {
    // Three keys, three queries each; two are seen by more than a third (2 of 3) at .2 and .4, the third by one at .3.
    let mut pairs = [0.1, 0.2, 0.9, 0.1, 0.4, 0.9, 0.3, 0.9, 0.9];
    // At .2 one of two seen keys is well seen: not enough. At .4 two of three are.
    assert_eq!(Coverage::Columns.of(&mut pairs, 3), 0.4);
    let mut pairs = [0.1, 0.2, 0.9, 0.5, 0.5, 0.9];
    assert_eq!(Coverage::Columns.of(&mut pairs, 3), 0.2, "keys that nobody sees do not count");
}

#[test]
fn samples_are_even_and_of_the_block() {
    let tokens: Vec<Token> = (0..64).map(|raster| Token { place: [0; 3], raster }).collect();
    let sampled = sample(0..64, 16, &tokens).unwrap();
    assert_eq!(sampled.len(), 16);
    for (part, token) in sampled.iter().enumerate() {
        assert_eq!(token.raster / 4, part);
    }
    assert_eq!(sample(62..64, 16, &tokens).unwrap().len(), 2);
    assert!(sample(62..65, 16, &tokens).is_none());
}

#[test]
fn a_sample_says_about_what_all_pairs_say() {
    let grid = Grid { frames: 5, rows: 30, cols: 52 };
    let tokens = grid.tokens();
    let rule = |query: &Token, key: &Token| {
        let far = (0..3).map(|axis| query.place[axis].abs_diff(key.place[axis])).max();
        far.unwrap_or(0) as f32 / 52.0
    };
    let order = order::gilbert(volume(grid));
    let all = entries(Cells::all(grid, Blocks::of(tokens)), &order, Coverage::Share(0.5), rule);
    let places: Vec<Token> = order
        .tokens()
        .iter()
        .map(|&raster| Token {
            place: volume(grid).place(raster as usize),
            raster: raster as usize,
        })
        .collect();
    let blocks = Blocks::of(tokens);
    for (row, column) in [(0, 20), (17, 80), (60, 100), (30, 3)] {
        let queries = sample(blocks.query_range(row), 16, &places).unwrap();
        let keys = sample(blocks.key_range(column), 8, &places).unwrap();
        let mut pairs: Vec<f32> =
            keys.iter().flat_map(|key| queries.iter().map(|query| rule(query, key))).collect();
        let few = Coverage::Share(0.5).of(&mut pairs, queries.len());
        let exact = all[row * blocks.columns() + column];
        assert!((few - exact).abs() < 0.08, "{row} {column}: {few} {exact}");
    }
}

#[test]
fn ranks_are_densities() {
    assert_eq!(by_rank(&[0.0, 0.3, 0.7, 0.3])[..], [0.0, 0.75, 1.0, 0.75]);
}

#[test]
fn knob_and_share_are_each_others_inverse() {
    for preset in [0.1_f32, 0.25, 0.9] {
        assert_eq!(knob_at(preset, preset), 0.5);
        for keep in [0.0, 0.2, 0.5, 0.7, 1.0] {
            let share = stretched(f64::from(preset), Knob::Keep(keep));
            assert!((f64::from(knob_at(share as f32, preset)) - keep).abs() < 1e-6);
        }
    }
    assert_eq!([knob_at(0.0, 0.0), knob_at(1.0, 1.0), knob_at(2.0, 0.5)], [0.0, 0.5, 1.0]);
}

#[test]
fn a_sample_of_rows_is_those_rows() {
    let order = Order::identity(16);
    let of = |every| entries(Cells { every, ..cells(16) }, &order, Coverage::Share(0.5), near);
    let (all, some) = (of(1), of(3));
    assert_eq!(some[..], [&all[..8], &all[24..]].concat()[..]);
}

#[test]
fn entries_are_made_once_an_order() {
    let mut call = Call::new(GRID, 3, Arrangement::RASTER);
    call.blocks = blocks(16);
    call.orders = vec![Order::identity(16), order::gilbert(volume(GRID)), Order::identity(16)];
    let view = call.view();
    let known = Known::default();
    let made = std::cell::Cell::new(0);
    let make = |order: &Order| {
        made.set(made.get() + 1);
        entries(cells(16), order, Coverage::Share(0.5), near)
    };
    let outline = view.outline().unwrap();
    let maps = known.entries(&outline, make);
    assert_eq!(known.entries(&outline, make).len(), 3);
    assert_eq!(made.get(), 2);

    let prepared = prepared(&view, &maps).unwrap();
    let map = (prepared.select)(Knob::Keep(0.3)).unwrap();
    let levels = map.to_vec().unwrap();
    assert_eq!(map.heads(), (1, 3));
    assert_eq!(levels[..32], levels[64..], "heads 0 and 2 share an order");
    let expected: Vec<u8> = maps[1].iter().map(|entry| u8::from(*entry <= 0.3)).collect();
    assert_eq!(levels[32..64], expected);
    assert_eq!((prepared.select)(Knob::Keep(1.0)).unwrap().density().unwrap().exact, 1.0);
}
