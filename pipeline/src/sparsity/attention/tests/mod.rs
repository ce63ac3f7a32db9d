//! The operator, asked as a model asks: every site of every step, tokens carried in its order or not.

mod methods;
mod reuse;
mod scenes;
mod seam;

use candle_core::{DType, Tensor};
use tessera_models::attention::{Branch, Dense};

use super::*;
use crate::receipt::AttentionCall;
use crate::request::Request;
use crate::sparsity::options;
use scenes::Scene;

/// A request for `method` with nothing dense, changed by the caller.
fn asked(method: &str, change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request {
        attention: Some(method.into()),
        warmup: Some("0".into()),
        dense_last: Some(0),
        dense_layers: Some("none".into()),
        refresh: Some("1".into()),
        ..Request::default()
    };
    change(&mut request);
    request
}

/// The attention of a request over a scene.
fn attention_of(scene: &Scene, request: &Request) -> SparseAttention {
    let mut request = request.clone();
    options::fill(&mut request, scene.sequence.layers).unwrap();
    let options = Options::new(&request).unwrap().unwrap();
    sparse(scene, options)
}

/// The attention of options over a scene.
fn sparse(scene: &Scene, options: Options) -> SparseAttention {
    let sigmas = scene.sigmas();
    let schedule = Schedule::new(&options.terms, &sigmas, scene.sequence.layers).unwrap();
    let plan = options.plan.is_some().then(|| scene.plan());
    SparseAttention::new(options, schedule, plan, 5)
}

/// How often each mode ran.
fn counted(calls: &[AttentionCall]) -> [usize; 3] {
    [Mode::Dense, Mode::Fresh, Mode::Cached]
        .map(|mode| calls.iter().filter(|call| call.mode == mode).count())
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let norm = |x: &Tensor| {
        let squares = x.to_dtype(DType::F64).unwrap().sqr().unwrap();
        squares.sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
    };
    norm(&(a - b).unwrap()) / norm(b)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
