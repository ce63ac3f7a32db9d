//! The generalised Hilbert curve of a box of any size (PSA's order).
//!
//! A box is a corner and three axis-aligned edges a, b, c; the curve enters at the corner and leaves at the far end of
//! a. Long boxes are cut across a, tall ones into three along a and b (or c), cubes into five; each part is a box of the
//! same kind. Odd edges may leave a step that is no unit move. Source: methods.md §6.9, after J. Červený.

use super::{Order, Volume};

/// (x, y, z): column, row, frame.
type Vector = [i32; 3];

/// The box's tokens along the generalised Hilbert curve.
pub fn gilbert(volume: Volume) -> Order {
    let [w, h, d] = [volume.columns, volume.rows, volume.frames].map(|edge| edge as i32);
    let mut curve = Curve { volume, tokens: Vec::with_capacity(volume.tokens()) };
    let (x, y, z) = ([w, 0, 0], [0, h, 0], [0, 0, d]);
    // The longest edge leads.
    let edges = if w >= h && w >= d {
        [x, y, z]
    } else if h >= w && h >= d {
        [y, x, z]
    } else {
        [z, x, y]
    };
    curve.walk([0; 3], edges);
    Order { tokens: curve.tokens.into() }
}

struct Curve {
    volume: Volume,
    tokens: Vec<u32>,
}

impl Curve {
    /// Walks the box at `p` with edges a, b and c.
    fn walk(&mut self, p: Vector, [a, b, c]: [Vector; 3]) {
        let [w, h, d] = [a, b, c].map(length);
        if w == 0 || h == 0 || d == 0 {
            return;
        }
        match (w, h, d) {
            (_, 1, 1) => return self.line(p, unit(a), w),
            (1, _, 1) => return self.line(p, unit(b), h),
            (1, 1, _) => return self.line(p, unit(c), d),
            _ => {}
        }
        let [da, db, dc] = [a, b, c].map(unit);
        let [a2, b2, c2] = [a, b, c].map(half);
        // The last token of a part along each edge, from the part's first.
        let [to_a, to_b2, to_c2] = [sub(a, da), sub(b2, db), sub(c2, dc)];
        if 2 * w > 3 * h && 2 * w > 3 * d {
            self.walk(p, [a2, b, c]);
            self.walk(add(p, a2), [sub(a, a2), b, c]);
        } else if 3 * h > 4 * d {
            self.walk(p, [b2, c, a2]);
            self.walk(add(p, b2), [a, sub(b, b2), c]);
            self.walk(add(p, add(to_a, to_b2)), [negative(b2), c, sub(a2, a)]);
        } else if 3 * d > 4 * h {
            self.walk(p, [c2, a2, b]);
            self.walk(add(p, c2), [a, b, sub(c, c2)]);
            self.walk(add(p, add(to_a, to_c2)), [negative(c2), sub(a2, a), b]);
        } else {
            let to_c = sub(c, dc);
            self.walk(p, [b2, c2, a2]);
            self.walk(add(p, b2), [c, a2, sub(b, b2)]);
            self.walk(add(p, add(to_b2, to_c)), [a, negative(b2), sub(c2, c)]);
            self.walk(add(p, add(to_a, add(b2, to_c))), [negative(c), sub(a2, a), sub(b, b2)]);
            self.walk(add(p, add(to_a, to_b2)), [negative(b2), c2, sub(a2, a)]);
        }
    }

    /// `count` tokens from `p` on.
    fn line(&mut self, mut p: Vector, step: Vector, count: i32) {
        let Volume { rows, columns, .. } = self.volume;
        for _ in 0..count {
            let [x, y, z] = p.map(|x| x as usize);
            self.tokens.push((x + columns * (y + rows * z)) as u32);
            p = add(p, step);
        }
    }
}

/// Half an edge, rounded down componentwise; made even where the edge is longer than 2, so that the parts' ends meet.
fn half(edge: Vector) -> Vector {
    let half = edge.map(|x| x >> 1);
    if length(half) % 2 == 1 && length(edge) > 2 { add(half, unit(edge)) } else { half }
}

fn length(edge: Vector) -> i32 {
    edge.iter().map(|x| x.abs()).sum()
}

fn unit(edge: Vector) -> Vector {
    edge.map(i32::signum)
}

fn negative(edge: Vector) -> Vector {
    edge.map(|x| -x)
}

fn add(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn sub(a: Vector, b: Vector) -> Vector {
    add(a, negative(b))
}
