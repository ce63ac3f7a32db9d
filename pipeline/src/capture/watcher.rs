//! Watches attention calls: small numbers of each, the map of each refresh, and what pinned heads were asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tessera_kernels::gpu::Fetch;
use tessera_kernels::levels::Densities;
use tessera_kernels::order::Order;
use tessera_models::attention::Site;

use super::scribe::{Message, Values};
use super::{Link, probe};
use crate::Result;
use crate::recording::{Call, Kind, Meta, Place};
use crate::sparsity::observer::{CallReport, Mode, Observer, SparseReport};

/// The observer of a recorded run.
#[derive(Debug)]
pub struct Capture {
    link: Arc<Link>,
    meta: Arc<Meta>,
    /// The map that each site used last: the step of its estimate, and its number.
    maps: HashMap<Site, (usize, u32)>,
    next_map: u32,
    orders: Orders,
}

/// Token orders that the recording has already. Methods hand out the same few again and again.
#[derive(Debug, Default)]
struct Orders {
    numbers: HashMap<Order, u32>,
    /// Where the tokens of those lie, so that most need no comparing.
    places: HashMap<usize, u32>,
}

impl Orders {
    fn place(order: &Order) -> usize {
        order.tokens().as_ptr().addr()
    }

    /// The number of an order, and whether it is new.
    fn number(&mut self, order: &Order) -> (u32, bool) {
        if let Some(number) = self.places.get(&Self::place(order)) {
            return (*number, false);
        }
        if let Some(number) = self.numbers.get(order) {
            return (*number, false);
        }
        let number = self.numbers.len() as u32;
        // The copy shares the tokens and keeps them where they are: no other order can come to lie there.
        self.places.insert(Self::place(order), number);
        self.numbers.insert(order.clone(), number);
        (number, true)
    }
}

impl Capture {
    pub(super) fn new(link: Arc<Link>, meta: Arc<Meta>) -> Self {
        Self { link, meta, maps: HashMap::new(), next_map: 0, orders: Orders::default() }
    }

    fn look(&mut self, report: &CallReport<'_>) -> Result<()> {
        let place = Place { step: report.step.index, site: report.site };
        let map = match &report.sparse {
            Some(sparse) => Some(self.map(report, sparse)?),
            None => None,
        };
        let orders = report.orders.iter().map(|order| self.order(order)).collect();
        let sparse = report.sparse.as_ref();
        let densities = match sparse {
            Some(sparse) => sparse.densities.clone().fetched()?,
            None => Densities::known(Vec::new()),
        };
        let call = Call {
            place,
            mode: report.mode,
            estimate_ms: report.estimate.as_secs_f64() * 1e3,
            attention_ms: report.attention.as_secs_f64() * 1e3,
            densities: Vec::new(),
            retained: sparse.and_then(|sparse| sparse.retained).map(<[f64]>::to_vec),
            estimated_at: sparse.map(|sparse| sparse.estimated_at),
            map,
            orders,
            fallback: report.fallback.map(ToOwned::to_owned),
        };
        self.link.send(Message::Call(Box::new(call), densities));
        self.pinned(report, place)
    }

    /// The number of a call's map. It is written when it is new to its site.
    fn map(&mut self, report: &CallReport<'_>, sparse: &SparseReport<'_>) -> Result<u32> {
        let site = report.site;
        match self.maps.get(&site) {
            Some((estimated_at, id))
                if report.mode == Mode::Cached && *estimated_at == sparse.estimated_at =>
            {
                return Ok(*id);
            }
            _ => {}
        }
        let id = self.next_map;
        self.next_map += 1;
        self.maps.insert(site, (sparse.estimated_at, id));
        let levels = Fetch::begin(sparse.map.levels())?;
        let pinned: Vec<usize> = self.meta.capture.pinned(site.layer).collect();
        let keys = match sparse.key_order {
            Some(sorted) => Some(keys(report, sorted, &pinned)?),
            None => None,
        };
        self.link.send(Message::Map { id, levels, pinned, keys });
        Ok(id)
    }

    fn order(&mut self, order: &Order) -> u32 {
        let (id, is_new) = self.orders.number(order);
        if is_new {
            self.link.send(Message::Order { id, order: order.clone() });
        }
        id
    }

    /// What was asked for of pinned heads.
    fn pinned(&self, report: &CallReport<'_>, place: Place) -> Result<()> {
        let options = &self.meta.capture;
        if !options.attention && !options.scores && options.rows.is_empty() {
            return Ok(());
        }
        let (samples, heads, _, _) = report.q.dims4()?;
        let pinned = options.pinned(report.site.layer);
        for head in pinned.flat_map(|head| (0..samples).map(move |sample| sample * heads + head)) {
            let send = |kind, token, values| {
                self.link.send(Message::Capture { kind, place, head, token, values });
            };
            if options.attention {
                let mass = probe::attention(report, head, self.meta.blocks())?;
                send(Kind::Attention, None, Values::Coming(Fetch::begin(&mass)?));
            }
            if options.scores
                && let Some(scores) = probe::scores(report, head)?
            {
                send(Kind::Scores, None, Values::Coming(Fetch::begin(&scores)?));
            }
            for [frame, row, column] in &options.rows {
                let grid = self.meta.grid;
                let token = self.meta.text_tokens + (frame * grid.rows + row) * grid.cols + column;
                if let Some(shares) = probe::row(report, head, token)? {
                    send(Kind::Row, Some(token), Values::Here(shares));
                }
            }
        }
        Ok(())
    }
}

/// For pinned heads of every sample, the token of the model's sequence at each key in the order that a method `sorted` them.
fn keys(
    report: &CallReport<'_>,
    sorted: &[Order],
    pinned: &[usize],
) -> Result<Vec<(usize, Order)>> {
    let (samples, heads, _, _) = report.q.dims4()?;
    let of_head = |orders: &[Order], head: usize| orders.get(head).or(orders.first()).cloned();
    let mut all = Vec::with_capacity(samples * pinned.len());
    for (sample, head) in (0..samples).flat_map(|sample| pinned.iter().map(move |h| (sample, *h))) {
        let (Some(order), Some(sorted)) = (of_head(report.orders, head), of_head(sorted, head))
        else {
            continue;
        };
        let token = |place: &u32| order.tokens().get(*place as usize).copied().unwrap_or(u32::MAX);
        let tokens = sorted.tokens().iter().map(token).collect();
        all.push((sample * heads + head, Order::new(tokens)?)); // refuses orders of another length
    }
    Ok(all)
}

impl Observer for Capture {
    fn attended(&mut self, report: &CallReport<'_>) {
        let begun = Instant::now();
        if let Err(error) = self.look(report) {
            self.link.fail(&error);
        }
        self.link.spend(begun.elapsed());
    }
}
