//! What the operator promises around a method: orders, dense calls, observers, fallbacks.

use std::sync::{Arc, Mutex};

use super::scenes::{READING, REFUSING, SORTING, options_for};
use super::*;

#[test]
fn an_order_around_the_blocks_is_the_same_order_inside() {
    for size in [[3, 7, 9], [4, 8, 16]] {
        let scene = Scene::new(size, 2);
        for order in ["gilbert", "morton", "hwf", "tiles:2x4x4", "raster"] {
            let request = asked("psa", |request| request.order = Some(order.into()));
            let carried = scene.run(&mut attention_of(&scene, &request), true).unwrap();
            let inside = scene.run(&mut attention_of(&scene, &request), false).unwrap();
            for (carried, inside) in carried.iter().zip(&inside) {
                assert!(distance(carried, inside) < 1e-5, "{order}");
            }
            let far = distance(&carried[0], &scene.dense()[0]);
            assert!(far > 1e-3, "{order}: something is left out ({far})");
        }
    }
}

#[test]
fn heads_with_orders_of_their_own_are_moved_inside() {
    let scene = Scene::new([4, 8, 16], 1);
    let request = |order: &str| {
        asked("psa", |request| {
            request.order = Some(order.into());
            request.plan = Some("a.plan".into());
        })
    };
    let mut calibrated = attention_of(&scene, &request("calibrated"));
    let answers = scene.run(&mut calibrated, true).unwrap();
    // Layer 0 of the plan has hwf in its first head and raster in its second.
    for (head, order) in ["hwf", "raster"].into_iter().enumerate() {
        let alone = scene.run(&mut attention_of(&scene, &request(order)), true).unwrap();
        let of = |answers: &[Tensor]| answers[0].narrow(1, head, 1).unwrap();
        let far = distance(&of(&answers), &of(&alone));
        assert!(far < 1e-5, "head {head} in {order}: {far}");
    }
}

#[test]
fn dense_attention_is_left_as_it_is() {
    let scene = Scene::new([3, 7, 9], 4);
    let dense = scene.dense();
    let mut attention = SparseAttention::dense(4, 3);
    let answers = scene.run(&mut attention, true).unwrap();
    assert!(answers.iter().zip(&dense).all(|(a, b)| values(a) == values(b)));
    assert_eq!(counted(attention.tally().calls()), [24, 0, 0]);
    assert!(attention.token_order().unwrap().is_none());
    // The dense steps of a sparse run have the same bytes; a dense layer among sparse ones sees carried tokens.
    let request = asked("psa", |request| {
        request.warmup = Some("2".into());
        request.dense_last = Some(1);
        request.dense_layers = Some("1".into());
    });
    let mut attention = attention_of(&scene, &request);
    let answers = scene.run(&mut attention, true).unwrap();
    assert_eq!(counted(attention.tally().calls()), [20, 4, 0]);
    for (index, (answer, dense)) in answers.iter().zip(&dense).enumerate() {
        let (step, layer) = (index / 6, index % 3);
        match (step, layer) {
            (2, 1) => assert!(distance(answer, dense) < 1e-5),
            (2, _) => assert!(values(answer) != values(dense), "layer {layer} is sparse"),
            _ => assert!(values(answer) == values(dense), "step {step} is dense"),
        }
    }
}

#[test]
fn sorted_keys_are_the_same_keys() {
    let scene = Scene::new([4, 8, 16], 2);
    let options = options_for(&SORTING, |request| {
        request.refresh = Some("never".into());
        request.strict = Some(true);
    });
    let mut attention = sparse(&scene, options);
    let answers = scene.run(&mut attention, true).unwrap();
    assert_eq!(counted(attention.tally().calls()), [0, 6, 6]);
    for (answer, dense) in answers.iter().zip(&scene.dense()) {
        assert!(distance(answer, dense) < 1e-5);
    }
}

#[test]
fn log_sum_exps_come_from_dense_steps_in_the_methods_order() {
    for is_carried in [false, true] {
        let mut scene = Scene::new([3, 7, 9], 3);
        scene.is_still = true;
        let options = options_for(&READING, |request| {
            request.warmup = Some("1".into());
            request.strict = Some(true);
            request.refresh = Some("2".into());
        });
        let mut attention = sparse(&scene, options);
        scene.run(&mut attention, is_carried).unwrap();
        // The first layer of each branch estimates for all.
        assert_eq!(counted(attention.tally().calls()), [6, 2, 10]);
        assert!(attention.kept_bytes() > 0);
    }
}

#[test]
fn a_method_that_cannot_choose_runs_dense_and_says_so() {
    let scene = Scene::new([3, 7, 9], 2);
    let mut attention = sparse(&scene, options_for(&REFUSING, |_| ()));
    let answers = scene.run(&mut attention, true).unwrap();
    for (answer, dense) in answers.iter().zip(&scene.dense()) {
        assert!(distance(answer, dense) < 1e-5);
    }
    let tally = attention.tally();
    assert_eq!(counted(tally.calls()), [12, 0, 0]);
    assert_eq!(tally.news().len(), 1);
    assert!(tally.news().is_empty(), "once");
    let lines = tally.fallbacks();
    assert_eq!(lines.len(), 1);
    for part in ["refusing could not", "189 tokens", "12 times", "step 1 of 2, layer 0, cond"] {
        assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
    }
    let strict = options_for(&REFUSING, |request| request.strict = Some(true));
    let error = scene.run(&mut sparse(&scene, strict), true).unwrap_err();
    let error = Error::from(error);
    assert_eq!(error.kind(), FailureKind::Input);
    let text = error.to_string();
    assert!(text.contains("strict") && text.contains("layer 0, cond"), "{text}");
}

/// Remembers what it saw.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Call>>>);

/// Step, mode, and whether there was a map.
type Call = (usize, Mode, bool);

impl Observer for Seen {
    fn attended(&mut self, report: &CallReport<'_>) {
        // Whoever looks may compute what it likes with what it is shown.
        let scores = report.q.matmul(&report.k.transpose(2, 3).unwrap().contiguous().unwrap());
        assert!(scores.is_ok() && report.lse.dims().len() == 3);
        let call = (report.step.index, report.mode, report.sparse.is_some());
        self.0.lock().unwrap().push(call);
    }
}

#[test]
fn a_clip_that_is_watched_has_the_same_bytes() {
    let scene = Scene::new([3, 7, 9], 4);
    let request = asked("psa", |request| {
        request.warmup = Some("1".into());
        request.refresh = Some("adaptive:0.9".into());
    });
    let plain = scene.run(&mut attention_of(&scene, &request), true).unwrap();
    let seen = Seen::default();
    let mut attention = attention_of(&scene, &request).observed(Box::new(seen.clone()));
    let watched = scene.run(&mut attention, true).unwrap();
    assert!(plain.iter().zip(&watched).all(|(a, b)| values(a) == values(b)));
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen.len(), 24);
    assert!(seen.iter().all(|(step, mode, is_sparse)| {
        (*step == 0) == (*mode == Mode::Dense) && *is_sparse == (*mode != Mode::Dense)
    }));
}
