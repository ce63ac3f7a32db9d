//! What a replay found of every head.

use std::sync::Arc;

use serde_json::json;
use tessera_models::attention::Branch;

use super::super::array::{Array, Values};
use super::super::pictures::Cells;
use super::sheets::Sheet;
use crate::palette;
use crate::recording::{Held, branch_name};
use crate::replay::{ArmReport, Head, Replay};

/// A replay: its table has everything, its picture and arrays the first method in one branch.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// What was replayed.
    pub replay: Arc<Replay>,
    /// Of the picture and the arrays.
    pub branch: Branch,
}

impl Replayed {
    /// Errors from nothing, dark, to the worst head, light.
    pub(super) fn sheet(&self) -> Held<Sheet> {
        let Some(arm) = self.replay.arms.first() else { return Held::NotCaptured };
        let calls = || arm.calls.iter();
        let layers = calls().map(|call| call.layer + 1).max().unwrap_or(0);
        let heads = calls().flat_map(|call| &call.heads).map(|head| head.head + 1).max();
        let Some(heads) = heads else { return Held::NotCaptured };
        let values = |of: fn(&Head) -> f64| self.values(arm, [layers, heads], of);
        let errors = values(|head| head.error);
        let worst = errors.iter().copied().fold(f32::MIN_POSITIVE, f32::max); // an unknown one is NaN, which max passes over
        let colour = |error: &f32| {
            if error.is_nan() { palette::level(0) } else { palette::heat(error / worst) }
        };
        let rgb = errors.iter().map(colour);
        let cells = Cells { width: heads, height: layers, rgb: rgb.collect() };
        let array =
            |name: &str, values| Array::new(name.into(), &[layers, heads], Values::F32(values));
        let arrays = vec![
            array("recall", values(|head| head.recall)),
            array("density", values(|head| head.density)),
            array("error", errors),
        ];
        let columns = [
            "method",
            "step",
            "branch",
            "layer",
            "head",
            "mode",
            "error",
            "recall",
            "density_exact",
            "density_nominal",
            "estimate_ms",
            "attention_ms",
            "dense_ms",
        ];
        let mut sheet = Sheet::new(cells, arrays, &columns);
        for arm in &self.replay.arms {
            for call in &arm.calls {
                sheet.rows.extend(call.heads.iter().map(|head| {
                    vec![
                        json!(arm.name),
                        json!(call.step),
                        json!(call.branch),
                        json!(call.layer),
                        json!(head.head),
                        json!(call.mode.name()),
                        json!(head.error),
                        json!(head.recall),
                        json!(head.density),
                        json!(head.nominal),
                        json!(call.estimate_ms),
                        json!(call.attention_ms),
                        json!(call.dense_ms),
                    ]
                }));
            }
        }
        Held::Here(sheet)
    }

    /// `[layers, heads]` of a method in the branch; not a number where a head was not replayed.
    fn values(
        &self,
        arm: &ArmReport,
        [layers, heads]: [usize; 2],
        of: fn(&Head) -> f64,
    ) -> Vec<f32> {
        let branch = branch_name(self.branch);
        let mut values = vec![f32::NAN; layers * heads];
        for call in arm.calls.iter().filter(|call| call.branch == branch) {
            for head in &call.heads {
                values[call.layer * heads + head.head] = of(head) as f32;
            }
        }
        values
    }
}
