//! The six axis orders (PARO): the raster of the box with its axes exchanged.
//!
//! An order's name lists the axes from the slowest to the fastest. Source: methods.md §2.4, whose numbers are kept.

use std::{fmt, str::FromStr};

use candle_core::{Error, bail};

use super::{Order, Volume};

/// Which axis runs slowest, which next, which fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AxisOrder {
    /// Frame, row, column: the raster.
    Fhw,
    /// Frame, column, row.
    Fwh,
    /// Row, column, frame: all frames of a place together.
    Hwf,
    /// Row, frame, column.
    Hfw,
    /// Column, row, frame.
    Whf,
    /// Column, frame, row.
    Wfh,
}

impl AxisOrder {
    /// Every order, by its number.
    pub const ALL: [Self; 6] = [Self::Fhw, Self::Fwh, Self::Hwf, Self::Hfw, Self::Whf, Self::Wfh];

    /// Its number in PARO's tables.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The axes (0 frame, 1 row, 2 column) from the slowest to the fastest.
    pub fn axes(self) -> [usize; 3] {
        match self {
            Self::Fhw => [0, 1, 2],
            Self::Fwh => [0, 2, 1],
            Self::Hwf => [1, 2, 0],
            Self::Hfw => [1, 0, 2],
            Self::Whf => [2, 1, 0],
            Self::Wfh => [2, 0, 1],
        }
    }

    /// Its name, as in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fhw => "fhw",
            Self::Fwh => "fwh",
            Self::Hwf => "hwf",
            Self::Hfw => "hfw",
            Self::Whf => "whf",
            Self::Wfh => "wfh",
        }
    }
}

impl fmt::Display for AxisOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for AxisOrder {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match Self::ALL.into_iter().find(|order| order.name() == name) {
            Some(order) => Ok(order),
            None => bail!("axis order: expected one of fhw, fwh, hwf, hfw, whf, wfh, got `{name}`"),
        }
    }
}

/// The box's tokens with the axes nested as `order` says.
pub fn axes(volume: Volume, order: AxisOrder) -> Order {
    let edges = [volume.frames, volume.rows, volume.columns];
    let strides = [volume.rows * volume.columns, volume.columns, 1];
    let [slow, middle, fast] = order.axes();
    let mut tokens = Vec::with_capacity(volume.tokens());
    for i in 0..edges[slow] {
        for j in 0..edges[middle] {
            let first = i * strides[slow] + j * strides[middle];
            tokens.extend((0..edges[fast]).map(|k| (first + k * strides[fast]) as u32));
        }
    }
    Order { tokens: tokens.into() }
}
