//! Where the tokens of each layer stand in one clip: its orders, there and back, and the rules that depend on them.

use std::sync::Arc;

use candle_core::Tensor;
use tessera_kernels::blocks::Blocks;
use tessera_kernels::order::{Order, permute};
use tessera_models::attention::Sequence;

use super::Arrangement;
use super::calibration::PlanFile;
use super::finish::Rules;
use super::levels::Levels;
use super::options::{Keep, Options};
use crate::settings::Problem;
use crate::{Error, Result};

/// One layer's places.
#[derive(Debug)]
pub struct Layout {
    /// The order's name.
    pub arrangement: Arrangement,
    /// The raster token at each position of the video: one order for all heads, or one a head.
    pub video: Vec<Order>,
    /// The token of the model's sequence at each position, text last.
    pub there: Vec<Order>,
    /// The position of each token of the model's sequence.
    pub back: Vec<Order>,
    /// What is done to every map.
    pub rules: Rules,
}

/// All layers' places.
#[derive(Debug)]
pub struct Layouts {
    layers: Vec<Arc<Layout>>,
    /// The order of all heads of all layers, where there is one and it moves anything.
    pub shared: Option<Order>,
}

impl Layouts {
    /// The places of a clip. `plan` must be there where an order is calibrated.
    pub fn new(options: &Options, plan: Option<&PlanFile>, sequence: &Sequence) -> Result<Self> {
        let mut paths = Paths { sequence: *sequence, known: Vec::new() };
        let mut layers: Vec<Arc<Layout>> = Vec::with_capacity(sequence.layers);
        for layer in 0..sequence.layers {
            let arrangement = options.arrangement(layer);
            let known = layers.iter().find(|known| known.arrangement == arrangement);
            let layout = match known {
                Some(known) if arrangement != Arrangement::Calibrated => Arc::clone(known),
                _ => {
                    let names = match arrangement {
                        Arrangement::Calibrated => calibrated(plan, layer, sequence)?,
                        one => vec![one],
                    };
                    let what = (options.levels, options.floor, options.keep);
                    Arc::new(paths.layout(arrangement, &names, what)?)
                }
            };
            layers.push(layout);
        }
        let shared = match layers.as_slice() {
            [first, rest @ ..] if rest.iter().all(|layer| Arc::ptr_eq(first, layer)) => {
                match first.there.as_slice() {
                    [one] if !one.is_identity() => Some(one.clone()),
                    _ => None,
                }
            }
            _ => None,
        };
        Ok(Self { layers, shared })
    }

    /// A layer's places for each arrangement that there is.
    pub fn distinct(&self) -> impl Iterator<Item = &Layout> {
        let is_first = |layer: usize| {
            let arrangement = self.layers[layer].arrangement;
            self.layers[..layer].iter().all(|before| before.arrangement != arrangement)
        };
        (0..self.layers.len())
            .filter(move |layer| is_first(*layer))
            .map(|layer| &*self.layers[layer])
    }

    /// A layer's places.
    pub fn of(&self, layer: usize) -> Option<&Arc<Layout>> {
        self.layers.get(layer)
    }
}

impl Layout {
    /// Tensors `[B, H, S, D]` of the model's order in the layer's; as they are where the model carries them in it already.
    pub fn arranged<const N: usize>(
        &self,
        tensors: [&Tensor; N],
        is_carried: bool,
    ) -> Result<[Tensor; N]> {
        let mut all = tensors.map(Clone::clone);
        if !is_carried {
            for tensor in &mut all {
                *tensor = permute(tensor, &self.there)?;
            }
        }
        Ok(all)
    }

    /// A tensor `[B, H, S, D]` of the layer's order in the model's; as it is where the model carries it.
    pub fn restored(&self, tensor: &Tensor, is_carried: bool) -> Result<Tensor> {
        if is_carried { Ok(tensor.clone()) } else { Ok(permute(tensor, &self.back)?) }
    }
}

/// The orders of a clip by name: hundreds of heads share a handful, and each is as long as the clip.
struct Paths {
    sequence: Sequence,
    known: Vec<(Arrangement, Path)>,
}

/// An order over the video, over the whole sequence, and back.
#[derive(Clone)]
struct Path {
    video: Order,
    there: Order,
    back: Order,
}

impl Paths {
    fn of(&mut self, arrangement: Arrangement) -> Result<Path> {
        if let Some((_, path)) = self.known.iter().find(|(known, _)| *known == arrangement) {
            return Ok(path.clone());
        }
        let Some(video) = arrangement.order(self.sequence.grid) else {
            return Err(wrong("the name of one order for each head".into(), arrangement));
        };
        let there = video.then_text(self.sequence.text_tokens);
        let path = Path { back: there.inverse(), there, video };
        self.known.push((arrangement, path.clone()));
        Ok(path)
    }

    /// The layout of a layer whose heads have these orders, or share the one.
    fn layout(
        &mut self,
        arrangement: Arrangement,
        names: &[Arrangement],
        what: (Levels, u8, Keep),
    ) -> Result<Layout> {
        let paths = names.iter().map(|name| self.of(*name)).collect::<Result<Vec<_>>>()?;
        let of = |of: fn(&Path) -> &Order| paths.iter().map(|path| of(path).clone()).collect();
        let (video, back) = (of(|path| &path.video), of(|path| &path.back));
        let there: Vec<_> = of(|path| &path.there);
        let blocks = Blocks::of(self.sequence.tokens());
        let rules = Rules::new(what, &self.sequence, &there, blocks);
        Ok(Layout { arrangement, video, there, back, rules })
    }
}

/// The orders of a layer's heads as calibration chose them.
fn calibrated(
    plan: Option<&PlanFile>,
    layer: usize,
    sequence: &Sequence,
) -> Result<Vec<Arrangement>> {
    let heads = plan.and_then(|plan| plan.layers.get(layer)).map(|layer| layer.heads.as_slice());
    let heads = heads.unwrap_or_default();
    if heads.len() != sequence.heads {
        let expected = format!("a plan file with {} heads in layer {layer}", sequence.heads);
        return Err(wrong(expected, heads.len()));
    }
    Ok(heads.iter().map(|head| head.order).collect())
}

fn wrong(expected: String, got: impl std::fmt::Display) -> Error {
    Error::Settings(vec![Problem::new("plan", expected, got)])
}
