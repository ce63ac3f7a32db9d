//! Which token order an attention works in.

use std::fmt;
use std::str::FromStr;

use tessera_kernels::order::{self, AxisOrder, Order, Volume};
use tessera_models::geometry::Grid;

/// A name for an order; the order itself depends on the clip's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// One of the six axis orders; `fhw` is the model's own, raster.
    Axis(AxisOrder),
    /// A generalised Hilbert curve (PSA).
    Gilbert,
    /// The Morton curve (Sol-Attn).
    Morton,
    /// Boxes of frames × rows × columns one after the other (STA, GNA, VSA).
    Tiles([usize; 3]),
    /// Chosen for each layer and head by a calibration plan.
    Calibrated,
}

impl Arrangement {
    /// The model's own order.
    pub const RASTER: Self = Self::Axis(AxisOrder::Fhw);

    /// The order over a clip's video tokens; `None` where it is not one order for all heads.
    pub fn order(self, grid: Grid) -> Option<Order> {
        let volume = volume(grid);
        match self {
            Self::Axis(axes) => Some(order::axes(volume, axes)),
            Self::Gilbert => Some(order::gilbert(volume)),
            Self::Morton => Some(order::morton(volume)),
            Self::Tiles(tile) => Some(order::tiles(volume, tile)),
            Self::Calibrated => None,
        }
    }
}

/// A grid as the kernels call it.
pub fn volume(grid: Grid) -> Volume {
    Volume { frames: grid.frames, rows: grid.rows, columns: grid.cols }
}

impl fmt::Display for Arrangement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Axis(axes) => write!(f, "{axes}"),
            Self::Gilbert => f.write_str("gilbert"),
            Self::Morton => f.write_str("morton"),
            Self::Tiles([frames, rows, columns]) => write!(f, "tiles:{frames}x{rows}x{columns}"),
            Self::Calibrated => f.write_str("calibrated"),
        }
    }
}

impl FromStr for Arrangement {
    type Err = String;

    /// `raster`, `fhw` … `wfh`, `gilbert`, `morton`, `tiles:4x4x4`, `calibrated`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "an order (raster, fhw, fwh, hwf, hfw, whf, wfh, gilbert, morton, tiles:FxHxW or calibrated), not \"{text}\""
            )
        };
        Ok(match text {
            "raster" => Self::RASTER,
            "gilbert" => Self::Gilbert,
            "morton" => Self::Morton,
            "calibrated" => Self::Calibrated,
            _ => match text.strip_prefix("tiles:") {
                Some(sides) => {
                    let sides: Vec<usize> =
                        sides.split('x').filter_map(|side| side.parse().ok()).collect();
                    match sides[..] {
                        [frames, rows, columns] if frames * rows * columns > 0 => {
                            Self::Tiles([frames, rows, columns])
                        }
                        _ => return Err(wrong()),
                    }
                }
                None => Self::Axis(text.parse().ok().ok_or_else(wrong)?),
            },
        })
    }
}
