//! The self-attention of a run: dense where the schedule or the request wants it, otherwise by a policy's maps.
//!
//! Of a sparse call the policy sees q, k and v in its token order; what it selects becomes a map ([`super::finish`]), kept
//! and used again as the schedule says ([`super::maps`]); the pyramid kernel attends by it, and the result goes back into
//! the model's order. Where all layers share an order the model carries its tokens in it and nothing is moved here.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use tessera_kernels::attention::attention_with_lse;
use tessera_kernels::gpu::Moment;
use tessera_kernels::order::Order;
use tessera_kernels::pyramid;
use tessera_models::attention::{SelfAttention, Sequence, Site};

use super::calibration::PlanFile;
use super::layout::Layout;
use super::maps::{Call, Maps, Used};
use super::observer::{CallReport, Mode, Observer, SparseReport, Step};
use super::options::Options;
use super::schedule::Schedule;
use super::tally::Tally;
use crate::error::FailureKind;
use crate::{Error, Result};

/// The self-attention of one run.
pub struct SparseAttention {
    schedule: Schedule,
    /// The method; `None` where everything is dense.
    maps: Option<Maps>,
    watch: Watch,
    step: Step,
    /// Whether the running forward carries its tokens in the order that all layers share.
    is_carried: bool,
    /// The model's own order, as captures are told it.
    own_order: Order,
}

/// Whoever hears of every call.
struct Watch {
    tally: Tally,
    observer: Option<Box<dyn Observer>>,
    /// Calls of the tally whose times on a GPU are not read yet.
    untimed: Vec<(usize, Marks)>,
}

/// Moments of a call on a GPU's stream: before and after its attention; or before the tokens are moved, then before and after
/// its map is chosen, and after its attention. None on the CPU, where the clock says enough.
struct Marks {
    device: Device,
    moments: Vec<Moment>,
}

impl Marks {
    fn new(operand: &Tensor) -> Result<Self> {
        let mut marks = Self { device: operand.device().clone(), moments: Vec::new() };
        marks.add()?;
        Ok(marks)
    }

    fn add(&mut self) -> Result<()> {
        if self.device.is_cuda() {
            self.moments.push(Moment::on(&self.device)?);
        }
        Ok(())
    }

    /// Time of the estimate, where the moments hold one, and of the attention; waits for the last of them.
    fn times(&self) -> Option<(Option<Duration>, Duration)> {
        let time = |from: &Moment, to: &Moment| from.until(to).ok();
        match self.moments.as_slice() {
            [from, to] => Some((None, time(from, to)?)),
            [moving, estimating, attending, end] => {
                let attention = time(moving, estimating)? + time(attending, end)?;
                Some((Some(time(estimating, attending)?), attention))
            }
            _ => None,
        }
    }
}

impl Watch {
    fn tell(&mut self, report: &CallReport<'_>, marks: Marks) {
        if !marks.moments.is_empty() {
            self.untimed.push((self.tally.calls().len(), marks));
        }
        self.tally.call(report);
        if let Some(observer) = &mut self.observer {
            observer.attended(report);
        }
    }
}

impl SparseAttention {
    /// Dense attention in all steps and layers.
    pub fn dense(steps: usize, layers: usize) -> Self {
        Self::with(Schedule::dense(steps, layers), None)
    }

    /// The attention of a sparse request. `plan` is the calibration that its options name, `seed` the request's.
    pub fn new(options: Options, schedule: Schedule, plan: Option<PlanFile>, seed: u64) -> Self {
        let maps = Maps::new(options, schedule.clone(), plan, seed);
        Self::with(schedule, Some(maps))
    }

    fn with(schedule: Schedule, maps: Option<Maps>) -> Self {
        Self {
            step: Step { index: 0, of: schedule.steps(), sigma: 1.0 },
            schedule,
            maps,
            watch: Watch { tally: Tally::default(), observer: None, untimed: Vec::new() },
            is_carried: false,
            own_order: Order::identity(0),
        }
    }

    /// Shows every call to `observer` too.
    #[must_use]
    pub fn observed(mut self, observer: Box<dyn Observer>) -> Self {
        self.watch.observer = Some(observer);
        self
    }

    /// What was done so far; waits for what a GPU has yet to count, so that times and densities are its own.
    pub fn tally(&mut self) -> &mut Tally {
        for (call, marks) in self.watch.untimed.drain(..) {
            if let Some((estimate, attention)) = marks.times() {
                self.watch.tally.timed(call, estimate, attention);
            }
        }
        self.watch.tally.settle();
        &mut self.watch.tally
    }

    /// Bytes of maps and log-sum-exps that are kept now.
    pub fn kept_bytes(&self) -> u64 {
        self.maps.as_ref().map_or(0, Maps::kept_bytes)
    }

    fn answer(&mut self, site: Site, operands: [&Tensor; 3]) -> Result<Tensor> {
        let (step, scale) = (self.step, scale(operands[0])?);
        let is_dense = self.schedule.is_dense(step.index, site.layer);
        let Some(maps) = self.maps.as_mut().filter(|_| !is_dense) else {
            return self.densely(&Call { operands, scale, site, step }, None);
        };
        let began = Instant::now();
        let mut marks = Marks::new(operands[0])?;
        let layout = maps.layout(site.layer)?;
        let [q, k, v] = layout.arranged(operands, self.is_carried)?;
        let moving = began.elapsed();
        marks.add()?;
        let began = Instant::now();
        let call = Call { operands: [&q, &k, &v], scale, site, step };
        match maps.used(&call, &mut self.watch.tally) {
            Ok(used) => {
                marks.add()?;
                self.sparsely(&call, &layout, &used, (began.elapsed(), moving, marks))
            }
            Err(error) if is_of_the_method(&error) => {
                let what = maps.refused(&error);
                maps.fall_back(&call, what.clone(), &mut self.watch.tally)?;
                let refusal = Some((what.as_str(), began.elapsed()));
                self.densely(&Call { operands, scale, site, step }, refusal)
            }
            Err(error) => Err(error),
        }
    }

    /// Attends by a map; the call's operands are in the layer's order.
    fn sparsely(
        &mut self,
        call: &Call<'_>,
        layout: &Layout,
        used: &Used,
        (estimate, moving, mut marks): (Duration, Duration, Marks),
    ) -> Result<Tensor> {
        let began = Instant::now();
        let [q, k, v] = call.operands;
        let bias = self.maps.as_ref().map(Maps::bias).unwrap_or_default();
        let options = pyramid::Options { scale: call.scale, bias, valid: None };
        let [keys, values] = used.sorted([k, v])?;
        let attended = pyramid::attention(q, &keys, &values, &used.map, &options)?;
        let out = layout.restored(&attended.out, self.is_carried)?;
        marks.add()?;
        let report = CallReport {
            site: call.site,
            step: call.step,
            mode: used.mode,
            q,
            k,
            v,
            out: &attended.out,
            lse: &attended.lse,
            scale: call.scale,
            orders: &layout.there,
            sparse: Some(SparseReport {
                map: &used.map,
                scores: used.scores.as_ref(),
                key_order: used.key_order.as_deref(),
                densities: &used.densities,
                retained: used.retained.as_deref(),
                estimated_at: used.estimated_at,
            }),
            fallback: None,
            estimate,
            attention: moving + began.elapsed(),
        };
        self.watch.tell(&report, marks);
        Ok(out)
    }

    /// Attends to everything: because the schedule says so, or because the method could not choose (why, and how long it
    /// tried). The call's operands are as the model gave them.
    fn densely(&mut self, call: &Call<'_>, refusal: Option<(&str, Duration)>) -> Result<Tensor> {
        let began = Instant::now();
        let [q, k, v] = call.operands;
        let mut marks = Marks::new(q)?;
        let (out, lse) = attention_with_lse(q, k, v, call.scale, None)?;
        let attention = began.elapsed();
        marks.add()?;
        if let Some(maps) = self.maps.as_mut().filter(|maps| maps.wants_lse(call.site.layer)) {
            let layout = maps.layout(call.site.layer)?;
            let [ordered] = layout.arranged([&lse.unsqueeze(3)?], self.is_carried)?;
            maps.keep_lse(call, &ordered.squeeze(3)?, &mut self.watch.tally)?;
        }
        let shared = self.maps.as_ref().and_then(Maps::shared).filter(|_| self.is_carried);
        let order = shared.unwrap_or(&self.own_order);
        let report = CallReport {
            site: call.site,
            step: call.step,
            mode: Mode::Dense,
            q,
            k,
            v,
            out: &out,
            lse: &lse,
            scale: call.scale,
            orders: std::slice::from_ref(order),
            sparse: None,
            fallback: refusal.map(|(what, _)| what),
            estimate: refusal.map_or(Duration::ZERO, |(_, time)| time),
            attention,
        };
        self.watch.tell(&report, marks);
        Ok(out)
    }
}

impl SelfAttention for SparseAttention {
    fn begin_clip(&mut self, sequence: &Sequence) -> tessera_models::Result<()> {
        if let Some(maps) = &mut self.maps {
            maps.begin(sequence).map_err(outward)?;
        }
        self.own_order = Order::identity(sequence.tokens());
        self.is_carried = false;
        self.watch.tally = Tally::new(sequence);
        self.watch.untimed.clear();
        if let Some(observer) = &mut self.watch.observer {
            observer.begin_clip(sequence);
        }
        Ok(())
    }

    fn begin_step(&mut self, index: usize, of: usize, sigma: f64) -> tessera_models::Result<()> {
        let steps = self.schedule.steps();
        if of != steps || index >= steps {
            let expected = format!("one of the {steps} steps that were scheduled");
            let got = format!("{index} of {of}");
            return Err(tessera_models::Error::argument("step", expected, got));
        }
        self.step = Step { index, of, sigma };
        self.is_carried = false;
        Ok(())
    }

    fn token_order(&mut self) -> tessera_models::Result<Option<Order>> {
        let shared = self.maps.as_ref().and_then(Maps::shared);
        let order = shared.filter(|_| !self.schedule.is_dense_step(self.step.index)).cloned();
        self.is_carried = order.is_some();
        Ok(order)
    }

    fn attend(
        &mut self,
        site: Site,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> tessera_models::Result<Tensor> {
        self.answer(site, [q, k, v]).map_err(outward)
    }
}

/// 1/√D.
pub(crate) fn scale(q: &Tensor) -> Result<f32> {
    Ok((q.dim(3)? as f64).sqrt().recip() as f32)
}

/// Whether an error says that a method could not choose, rather than that the run shall or must end.
pub(crate) fn is_of_the_method(error: &Error) -> bool {
    let is_strict = matches!(error, Error::Fallback { .. });
    !(is_strict || error.is_cancelled() || error.kind() == FailureKind::Memory)
}

/// An error on its way through the model.
pub(crate) fn outward(error: Error) -> tessera_models::Error {
    match error {
        Error::Model(error) => error,
        error => tessera_models::Error::Attention(Box::new(error)),
    }
}

#[cfg(test)]
mod tests;
