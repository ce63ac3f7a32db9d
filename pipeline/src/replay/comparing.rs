//! Dense attention that asks several methods what they would have answered.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use tessera_kernels::attention::attention_with_lse;
use tessera_kernels::levels::{Densities, Density, FULL, LevelMap};
use tessera_kernels::order::Order;
use tessera_kernels::{blocks::Blocks, pyramid};
use tessera_models::attention::{SelfAttention, Sequence, Site};

use super::report::Call;
use super::truth::Truth;
use crate::Result;
use crate::sparsity::attention::{is_of_the_method, outward, scale};
use crate::sparsity::layout::Layout;
use crate::sparsity::maps::{Call as Asked, Maps, Used};
use crate::sparsity::observer::{Mode, Step};
use crate::sparsity::tally::{Tally, branch_name};

/// A method that is asked.
pub(super) struct Candidate {
    /// What chooses its maps; `None` for the dense method, whose map is all full.
    pub(super) maps: Option<Maps>,
    /// Its level of what was not selected.
    pub(super) floor: u8,
    /// What did not run as asked.
    pub(super) tally: Tally,
    /// What it did so far.
    pub(super) calls: Vec<Call>,
}

/// The attention of a compared forward.
pub(super) struct Comparing {
    pub(super) candidates: Vec<Candidate>,
    step: Step,
}

/// One call in the order that some of the methods share.
struct Arranged {
    orders: Vec<Order>,
    v: Tensor,
    truth: Truth,
}

impl Comparing {
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        Self { candidates, step: Step { index: 0, of: 1, sigma: 1.0 } }
    }

    fn compare(&mut self, site: Site, [q, k, v]: [&Tensor; 3]) -> Result<Tensor> {
        let scale = scale(q)?;
        let began = Instant::now();
        let (out, lse) = attention_with_lse(q, k, v, scale, None)?;
        let dense = began.elapsed();
        let own = Truth::new([q, k, &out].map(Clone::clone), lse, scale);
        let mut arranged =
            vec![Arranged { orders: vec![Order::identity(q.dim(2)?)], v: v.clone(), truth: own }];
        for candidate in &mut self.candidates {
            let place = match &candidate.maps {
                Some(maps) => find(&mut arranged, &*maps.layout(site.layer)?)?,
                None => 0,
            };
            let call = candidate.asked((site, self.step), &mut arranged[place], dense)?;
            candidate.calls.push(call);
        }
        Ok(out)
    }
}

/// The place of a layout's order among those that are there; the first one is the model's own.
fn find(all: &mut Vec<Arranged>, layout: &Layout) -> Result<usize> {
    if let Some(place) = all.iter().position(|one| one.orders == layout.there) {
        return Ok(place);
    }
    let Arranged { v, truth, .. } = &all[0];
    let lse = truth.lse.unsqueeze(3)?;
    let [q, k, v, out] = layout.arranged([&truth.q, &truth.k, v, &truth.out], false)?;
    let [lse] = layout.arranged([&lse], false)?;
    let truth = Truth::new([q, k, out], lse.squeeze(3)?, truth.scale);
    all.push(Arranged { orders: layout.there.clone(), v, truth });
    Ok(all.len() - 1)
}

impl Candidate {
    /// Answers one call, and compares.
    fn asked(
        &mut self,
        (site, step): (Site, Step),
        arranged: &mut Arranged,
        dense: Duration,
    ) -> Result<Call> {
        let Arranged { v, truth, .. } = arranged;
        let scale = truth.scale;
        let began = Instant::now();
        let used = match &mut self.maps {
            Some(maps) => {
                let call = Asked { operands: [&truth.q, &truth.k, v], scale, site, step };
                match maps.used(&call, &mut self.tally) {
                    Ok(used) => used,
                    Err(error) if is_of_the_method(&error) => {
                        let what = maps.refused(&error);
                        maps.fall_back(&call, what, &mut self.tally)?;
                        full(&truth.q, step)?
                    }
                    Err(error) => return Err(error),
                }
            }
            None => full(&truth.q, step)?,
        };
        let estimate = began.elapsed();
        let began = Instant::now();
        let bias = self.maps.as_ref().map(Maps::bias).unwrap_or_default();
        let options = pyramid::Options { scale, bias, valid: None };
        let [keys, values] = used.sorted([&truth.k, v])?;
        let out = pyramid::attention(&truth.q, &keys, &values, &used.map, &options)?.out;
        let attention = began.elapsed();
        let key_order = used.key_order.as_deref();
        let densities = used.densities.read()?;
        let heads = truth.heads(&out, (&used.map, self.floor), key_order, &densities)?;
        Ok(Call {
            step: step.index,
            branch: branch_name(site.branch),
            layer: site.layer,
            mode: used.mode,
            estimate_ms: milliseconds(estimate),
            attention_ms: milliseconds(attention),
            dense_ms: milliseconds(dense),
            heads,
        })
    }
}

/// The map of a call in which everything is seen.
pub(super) fn full(q: &Tensor, step: Step) -> Result<Used> {
    let (batch, heads, tokens, _) = q.dims4()?;
    Ok(Used {
        map: LevelMap::filled(FULL, (batch, heads), Blocks::of(tokens))?,
        mode: Mode::Dense,
        scores: None,
        key_order: None,
        densities: Densities::known(vec![Density { nominal: 1.0, exact: 1.0 }; batch * heads]),
        retained: None,
        estimated_at: step.index,
    })
}

/// To a microsecond.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl SelfAttention for Comparing {
    fn begin_clip(&mut self, sequence: &Sequence) -> tessera_models::Result<()> {
        for candidate in &mut self.candidates {
            if let Some(maps) = &mut candidate.maps {
                maps.begin(sequence).map_err(outward)?;
            }
        }
        Ok(())
    }

    fn begin_step(&mut self, index: usize, of: usize, sigma: f64) -> tessera_models::Result<()> {
        self.step = Step { index, of, sigma };
        Ok(())
    }

    fn attend(
        &mut self,
        site: Site,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> tessera_models::Result<Tensor> {
        self.compare(site, [q, k, v]).map_err(outward)
    }
}
