//! A plan as people read it: what it is for, how it was made, and of each layer its orders and how dense its heads are.

use std::fmt;

use super::plan::{HeadPlan, PlanFile, tokens};
use crate::sparsity::Arrangement;

impl fmt::Display for PlanFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recipe = &self.recipe;
        let heads: Vec<&HeadPlan> = self.layers.iter().flat_map(|layer| &layer.heads).collect();
        writeln!(f, "plan       of {} ({})", self.model, self.fingerprint)?;
        writeln!(
            f,
            "for        {} tokens, blocks of {} x {}, {} layers of {} heads",
            tokens(self.grid),
            self.query_block,
            self.key_block,
            self.layers.len(),
            heads.len() / self.layers.len().max(1)
        )?;
        writeln!(
            f,
            "made by    {}: {} prompts, steps {:?} of {}, {} groups, {} queries a call, {}, guidance {}, seed {}, {}",
            self.program,
            recipe.prompts.len(),
            recipe.observed,
            recipe.steps,
            self.groups,
            recipe.query_tokens,
            recipe.sampler,
            recipe.guidance,
            recipe.seed,
            recipe.dtype
        )?;
        writeln!(f, "orders     by {}: {}", recipe.order_by, counts(&heads, |head| head.order))?;
        writeln!(
            f,
            "95 % mass  in {:.1} % of the blocks in the model's order, {:.1} % in each head's own",
            100.0 * mean(&heads, |head| density95(head, Arrangement::RASTER)),
            100.0 * mean(&heads, |head| density95(head, head.order))
        )?;
        for (index, layer) in self.layers.iter().enumerate() {
            let heads: Vec<&HeadPlan> = layer.heads.iter().collect();
            writeln!(
                f,
                "  layer {index:<4} {:.1} % -> {:.1} %, spans {} frames, {}",
                100.0 * mean(&heads, |head| density95(head, Arrangement::RASTER)),
                100.0 * mean(&heads, |head| density95(head, head.order)),
                spans(&heads),
                counts(&heads, |head| head.order)
            )?;
        }
        recipe.prompts.iter().try_for_each(|prompt| writeln!(f, "prompt     {prompt}"))
    }
}

/// What a head needs for 95 % of its mass in an order; everything where it was not looked at in it.
fn density95(head: &HeadPlan, order: Arrangement) -> f32 {
    head.orders.iter().find(|facts| facts.order == order).map_or(1.0, |facts| facts.density95)
}

fn mean(heads: &[&HeadPlan], of: impl Fn(&HeadPlan) -> f32) -> f32 {
    heads.iter().map(|head| of(head)).sum::<f32>() / heads.len().max(1) as f32
}

/// The narrowest and the widest span.
fn spans(heads: &[&HeadPlan]) -> String {
    let spans = heads.iter().map(|head| head.span_frames);
    let (least, most) = spans.fold((f32::INFINITY, 0.0), |(least, most): (f32, f32), span| {
        (least.min(span), most.max(span))
    });
    format!("{least:.1} to {most:.1}")
}

/// How many heads have each order, the most common first: `hwf 3, gilbert 1`.
fn counts(heads: &[&HeadPlan], of: impl Fn(&HeadPlan) -> Arrangement) -> String {
    let mut counts: Vec<(Arrangement, usize)> = Vec::new();
    for order in heads.iter().map(|head| of(head)) {
        match counts.iter_mut().find(|(known, _)| *known == order) {
            Some((_, count)) => *count += 1,
            None => counts.push((order, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> =
        counts.iter().map(|(order, count)| format!("{order} {count}")).collect();
    words.join(", ")
}
