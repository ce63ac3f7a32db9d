//! The transformer with random weights: what must hold whatever the weights are.

use std::ops::ControlFlow;

use super::super::testing::{build, tensor, weights, worst};
use super::*;
use crate::attention::{Dense, TextScores};
use crate::watch::Unwatched;

fn config() -> TransformerConfig {
    TransformerConfig {
        num_attention_heads: 2,
        attention_head_dim: 12,
        in_channels: 4,
        out_channels: Some(4),
        text_dim: 16,
        freq_dim: 32,
        ffn_dim: 40,
        num_layers: 3,
        ..TransformerConfig::default()
    }
}

fn model(compute: DType) -> WanTransformer {
    let config = config();
    let weights = weights(&transformer_tensors(&config));
    let (model, read) =
        build(&weights, compute, |source| WanTransformer::build(&config, source, &Device::Cpu));
    assert_eq!(read, 27 * 3 + 15);
    model
}

fn prompt(rows: usize) -> TextRows {
    TextRows { rows: tensor(77, &[rows, 16]), padded_to: 512 }
}

fn velocity(model: &WanTransformer, latents: &Tensor, text: &TextRows) -> Tensor {
    let steps = model.prepare_steps(&[999.0, 421.0]).unwrap();
    let text = model.prepare_text(text).unwrap();
    model.forward(latents, &steps[1], &text, Branch::Cond, &mut Dense, &mut Unwatched).unwrap()
}

/// ‖a − b‖/‖b‖.
fn relative(a: &Tensor, b: &Tensor) -> f32 {
    let energy = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    (energy(&(a - b).unwrap()) / energy(b)).sqrt()
}

#[test]
fn one_key_stands_for_all_padding() {
    let model = model(DType::F32);
    let latents = tensor(3, &[1, 4, 2, 6, 8]);
    let short = prompt(5);
    let padding = Tensor::zeros((507, 16), DType::F32, &Device::Cpu).unwrap();
    let rows = Tensor::cat(&[&short.rows, &padding], 0).unwrap();
    let explicit = TextRows { rows, padded_to: 512 };
    assert_eq!(model.prepare_text(&short).unwrap().keys(), 6);
    assert_eq!(model.prepare_text(&explicit).unwrap().keys(), 512);
    assert!(model.prepare_text(&explicit).unwrap().key_bias.is_none());
    let (folded, exact) =
        (velocity(&model, &latents, &short), velocity(&model, &latents, &explicit));
    // What is left is the rounding of sums of 512 terms in F32, through three blocks.
    let difference = relative(&folded, &exact);
    assert!(difference < 3e-6, "{difference}");
    let unpadded = TextRows { padded_to: 5, ..short.clone() };
    let effect = worst(&velocity(&model, &latents, &short), &velocity(&model, &latents, &unpadded));
    assert!(effect > 1e-4, "padding is attended to: {effect}");
}

#[test]
fn velocities_have_the_shape_of_latents_on_ragged_grids_and_in_batches() {
    let model = model(DType::F32);
    let text = prompt(3);
    for [frames, height, width] in [[1, 2, 2], [3, 2, 10], [2, 14, 4]] {
        let latents = tensor(5, &[2, 4, frames, height, width]);
        let both = velocity(&model, &latents, &text);
        assert_eq!(both.dims(), latents.dims());
        for sample in 0..2 {
            let one = velocity(&model, &latents.narrow(0, sample, 1).unwrap(), &text);
            let difference = worst(&one, &both.narrow(0, sample, 1).unwrap());
            assert!(difference < 1e-6, "{difference}");
        }
    }
    let odd = tensor(5, &[1, 4, 1, 3, 4]);
    let steps = model.prepare_steps(&[1.0]).unwrap();
    let text = model.prepare_text(&text).unwrap();
    let refused = model.forward(&odd, &steps[0], &text, Branch::Cond, &mut Dense, &mut Unwatched);
    assert!(matches!(refused, Err(Error::Argument { .. })));
}

#[test]
fn a_break_between_blocks_cancels() {
    let model = model(DType::F32);
    let steps = model.prepare_steps(&[500.0]).unwrap();
    let text = model.prepare_text(&prompt(2)).unwrap();
    let latents = tensor(9, &[1, 4, 1, 4, 4]);
    let mut ticks = Vec::new();
    let mut watch = |done: usize, of: usize| {
        ticks.push((done, of));
        if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = model.forward(&latents, &steps[0], &text, Branch::Uncond, &mut Dense, &mut watch);
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(ticks, [(0, 3), (1, 3), (2, 3)]);
}

/// Dense, and the text weights of every block.
#[derive(Default)]
struct Listening(Vec<(Site, Tensor)>);

impl SelfAttention for Listening {
    fn begin_clip(&mut self, _: &Sequence) -> Result<()> {
        Ok(())
    }

    fn begin_step(&mut self, _: usize, _: usize, _: f64) -> Result<()> {
        Ok(())
    }

    fn text_compared(&mut self, site: Site, text: &TextScores<'_>) -> Result<()> {
        self.0.push((site, text.weights(None)?));
        Ok(())
    }

    fn attend(&mut self, site: Site, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        Dense.attend(site, q, k, v)
    }
}

#[test]
fn every_block_shows_what_its_tokens_see_of_the_words() {
    let model = model(DType::F32);
    let steps = model.prepare_steps(&[500.0]).unwrap();
    let text = model.prepare_text(&prompt(4)).unwrap();
    let latents = tensor(9, &[1, 4, 2, 4, 4]);
    let mut listening = Listening::default();
    let branch = Branch::Uncond;
    let heard =
        model.forward(&latents, &steps[0], &text, branch, &mut listening, &mut Unwatched).unwrap();
    let plain =
        model.forward(&latents, &steps[0], &text, branch, &mut Dense, &mut Unwatched).unwrap();
    assert_eq!(worst(&heard, &plain), 0.0, "listening changes nothing");
    let sites: Vec<Site> = listening.0.iter().map(|(site, _)| *site).collect();
    assert_eq!(sites, [0, 1, 2].map(|layer| Site { layer, branch, expert: 0 }));
    for (_, weights) in &listening.0 {
        assert_eq!(weights.dims(), [8, 5], "four words, and one for all padding");
        let sums: Vec<f32> = weights.sum(1).unwrap().to_vec1().unwrap();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{sums:?}");
    }
}

#[test]
fn the_trace_passes_every_stage_in_order_and_changes_nothing() {
    let model = model(DType::F32);
    let steps = model.prepare_steps(&[500.0]).unwrap();
    let text = model.prepare_text(&prompt(2)).unwrap();
    let latents = tensor(9, &[1, 4, 2, 4, 4]);
    let mut seen = Vec::new();
    let traced = model
        .forward_traced(
            &latents,
            &steps[0],
            &text,
            Branch::Cond,
            &mut Dense,
            &mut Unwatched,
            &mut |name, tensor| seen.push((name.to_owned(), tensor.dims().to_vec())),
        )
        .unwrap();
    let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["temb", "six", "patch", "block.0", "block.1", "block.2", "velocity"]);
    assert_eq!(seen[1].1, [1, 6, 24]);
    assert_eq!(seen[3].1, [1, 8, 24]);
    let plain = model
        .forward(&latents, &steps[0], &text, Branch::Cond, &mut Dense, &mut Unwatched)
        .unwrap();
    assert_eq!(worst(&plain, &traced), 0.0);
}

#[test]
fn bf16_stays_near_f32() {
    let (latents, text) = (tensor(3, &[1, 4, 2, 6, 8]), prompt(5));
    let exact = velocity(&model(DType::F32), &latents, &text);
    let rounded = velocity(&model(DType::BF16), &latents, &text);
    let error = relative(&rounded, &exact);
    assert!(error < 0.02, "relative error {error}");
}

/// Dense attention over tokens that are carried in another order.
struct Shuffled(Order);

impl SelfAttention for Shuffled {
    fn begin_clip(&mut self, _: &Sequence) -> Result<()> {
        Ok(())
    }

    fn begin_step(&mut self, _: usize, _: usize, _: f64) -> Result<()> {
        Ok(())
    }

    fn token_order(&mut self) -> Result<Option<Order>> {
        Ok(Some(self.0.clone()))
    }

    fn attend(&mut self, site: Site, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        Dense.attend(site, q, k, v)
    }
}

#[test]
fn the_velocity_does_not_depend_on_the_order_that_tokens_are_carried_in() {
    let model = model(DType::F32);
    let steps = model.prepare_steps(&[500.0]).unwrap();
    let text = model.prepare_text(&prompt(4)).unwrap();
    let latents = tensor(9, &[2, 4, 3, 6, 10]);
    let run = |attention: &mut dyn SelfAttention| {
        model.forward(&latents, &steps[0], &text, Branch::Cond, attention, &mut Unwatched)
    };
    let plain = run(&mut Dense).unwrap();
    let tokens = 3 * 3 * 5;
    let shuffled = (0..tokens).map(|place| place * 7 % tokens).collect();
    let order = Order::new(shuffled).unwrap();
    let carried = run(&mut Shuffled(order)).unwrap();
    let difference = relative(&carried, &plain);
    assert!(difference < 2e-6, "{difference}");
    let short = Order::identity(tokens as usize - 1);
    let error = run(&mut Shuffled(short)).unwrap_err().to_string();
    assert!(error.contains("45 tokens"), "{error}");
}
