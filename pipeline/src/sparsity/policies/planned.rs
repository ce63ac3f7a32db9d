//! What policies that read a plan have in common: its heads, and maps written head by head.

use candle_core::{Device, Tensor};
use tessera_kernels::levels::LevelMap;

use crate::settings::Problem;
use crate::sparsity::View;
use crate::sparsity::calibration::HeadPlan;
use crate::{Error, Result};

/// The plan of each head of a call; an error where there is none, or where it is about other blocks.
pub(super) fn heads<'a>(view: &View<'a>) -> Result<&'a [HeadPlan]> {
    let count = view.q.dim(1)?;
    let (blocks, layer) = (view.blocks, view.site.layer);
    let heads = view.plan.map(|layer| layer.heads.as_slice()).unwrap_or_default();
    if heads.len() != count {
        let expected = format!("a plan file with {count} heads in layer {layer}");
        return Err(wrong(&expected, heads.len()));
    }
    let size = blocks.rows() * blocks.columns();
    let fits = |head: &HeadPlan| {
        head.spans.len() == blocks.columns()
            && head.stripes.len() == blocks.columns()
            && head.mass.iter().all(|mass| mass.len() == size)
    };
    if heads.iter().all(fits) {
        return Ok(heads);
    }
    let expected = format!("a plan for maps of {} × {} blocks", blocks.rows(), blocks.columns());
    Err(wrong(&expected, "one for another size"))
}

/// A problem of the setting `plan`.
pub(super) fn wrong(expected: &str, got: impl std::fmt::Display) -> Error {
    Error::Settings(vec![Problem::new("plan", expected, got)])
}

/// A map from the level of each (head, row, column), the same for all samples.
pub(super) fn map(view: &View<'_>, level: impl Fn(usize, usize, usize) -> u8) -> Result<LevelMap> {
    let (batch, heads, _, _) = view.q.dims4()?;
    let (rows, columns) = (view.blocks.rows(), view.blocks.columns());
    let mut levels = Vec::with_capacity(batch * heads * rows * columns);
    for head in (0..batch).flat_map(|_| 0..heads) {
        for row in 0..rows {
            levels.extend((0..columns).map(|column| level(head, row, column)));
        }
    }
    let levels = Tensor::from_vec(levels, (batch, heads, rows, columns), &Device::Cpu)?;
    Ok(LevelMap::new(levels, view.blocks)?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sparsity::Arrangement;
    use crate::sparsity::calibration::{LayerPlan, MassMap, OrderFacts, PatternFacts};
    use crate::sparsity::policies::promises::Call;

    /// A plan of every head of a call, in its one order: masses and pattern errors that look like some.
    pub(in crate::sparsity) fn plan(call: &Call, groups: usize) -> LayerPlan {
        let (rows, columns) = (call.blocks.rows(), call.blocks.columns());
        let head = |head: usize| {
            let mass = |group: usize| {
                let block = |place: usize| {
                    let (row, column) = (place / columns, place % columns);
                    let far = (2 * row).abs_diff(column) + 3 * head + group;
                    0.5_f32.powi((far % 11) as i32)
                };
                MassMap::new(&(0..rows * columns).map(block).collect::<Vec<_>>())
            };
            let facts = |(index, pattern): (usize, &str)| PatternFacts {
                pattern: pattern.into(),
                keep: 0.25,
                density: [1.0, 0.0, 0.25, 0.25, 0.25, 0.25][index],
                error: [0.0, 1.0, 0.3, 0.2, 0.25, 0.5][(index + head) % 6],
            };
            let patterns = ["full", "skip", "diagonal", "multi-diagonal", "window", "stripes"];
            HeadPlan {
                order: Arrangement::RASTER,
                orders: vec![OrderFacts {
                    order: Arrangement::RASTER,
                    loss: 0.1,
                    density95: 0.5,
                    sparsity: None,
                    uniformity: None,
                }],
                mass: (0..groups).map(mass).collect(),
                stripes: (0..columns).map(|column| 1.0 + (column % 5) as f32).collect(),
                budget: 1.0,
                patterns: patterns.into_iter().enumerate().map(facts).collect(),
                spans: (0..columns).map(|d| 1.0 - 0.7_f32.powi(d as i32 + 1)).collect(),
                span_frames: 1.0,
            }
        };
        LayerPlan { heads: (0..call.q.dims()[1]).map(head).collect() }
    }

    #[test]
    fn a_plan_of_another_size_is_refused() {
        let grid = tessera_models::geometry::Grid { frames: 4, rows: 8, cols: 8 };
        let mut call = Call::new(grid, 2, Arrangement::RASTER);
        assert!(heads(&call.view()).unwrap_err().to_string().contains("2 heads in layer 0"));
        call.plan = Some(plan(&call, 1));
        assert_eq!(heads(&call.view()).unwrap().len(), 2);
        if let Some(plan) = &mut call.plan {
            plan.heads[1].spans.pop();
        }
        assert!(heads(&call.view()).unwrap_err().to_string().contains("2 × 4 blocks"));
    }
}
