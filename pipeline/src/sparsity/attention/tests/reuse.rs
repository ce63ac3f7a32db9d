//! Which maps are used again, and what bounds them.

use super::scenes::{READING, options_for};
use super::*;

fn modes(scene: &Scene, change: impl FnOnce(&mut Request)) -> [usize; 3] {
    let mut attention = attention_of(scene, &asked("psa", change));
    scene.run(&mut attention, true).unwrap();
    counted(attention.tally().calls())
}

#[test]
fn maps_are_estimated_when_they_are_due() {
    // Two branches of three layers, six steps.
    let scene = Scene::new([3, 7, 9], 6);
    let refresh = |text: &str| modes(&scene, |request| request.refresh = Some(text.into()));
    assert_eq!(refresh("1"), [0, 36, 0]);
    assert_eq!(refresh("2"), [0, 18, 18]);
    assert_eq!(refresh("4"), [0, 12, 24]);
    assert_eq!(refresh("at:1,5"), [0, 18, 18]);
    assert_eq!(refresh("never"), [0, 6, 30]);
}

#[test]
fn branches_have_maps_of_their_own_unless_they_share() {
    let scene = Scene::new([3, 7, 9], 3);
    let shared = modes(&scene, |request| request.share_branches = Some(true));
    assert_eq!(
        shared,
        [0, 9, 9],
        "the branch without the prompt uses the other's, in the same step"
    );
    let mut attention = attention_of(&scene, &asked("psa", |r| r.share_branches = Some(true)));
    scene.run(&mut attention, true).unwrap();
    for call in attention.tally().calls() {
        assert_eq!(call.mode == Mode::Cached, call.branch == "uncond");
    }
}

#[test]
fn dense_heads_are_exact_and_the_others_are_as_they_would_be() {
    let scene = Scene::new([5, 12, 16], 3);
    let dense = scene.dense();
    // PBS sorts keys, tessera shares maps between branches, and all of them use maps again.
    for method in ["psa", "tessera", "pbs"] {
        let run = |change: &dyn Fn(&mut Request)| {
            let mut attention = attention_of(
                &scene,
                &asked(method, |r| {
                    r.refresh = Some("2".into());
                    change(r);
                }),
            );
            let answers = scene.run(&mut attention, false).unwrap();
            (answers, attention.tally().calls().to_vec())
        };
        let (plain, _) = run(&|_| ());
        let (opened, calls) = run(&|r| r.dense_heads = Some("0:1,2".into()));
        for (call, ((plain, opened), dense)) in
            calls.iter().zip(plain.iter().zip(&opened).zip(&dense))
        {
            for head in 0..2 {
                let of = |x: &Tensor| x.narrow(1, head, 1).unwrap();
                let is_dense = call.layer == 2 || (call.layer == 0 && head == 1);
                let expected = of(if is_dense { dense } else { plain });
                assert!(distance(&of(opened), &expected) < 1e-5, "{method} {call:?} head {head}");
                assert_eq!(call.density_exact[head] == 1.0, is_dense, "{method} {call:?}");
            }
        }
    }
}

#[test]
fn a_density_is_that_of_the_heads_that_do_not_stay_dense() {
    let scene = Scene::new([5, 12, 16], 1);
    let mut attention = attention_of(
        &scene,
        &asked("subblock", |r| {
            r.density = Some(0.3);
            r.dense_heads = Some("1:0".into());
        }),
    );
    scene.run(&mut attention, false).unwrap();
    for call in attention.tally().calls() {
        let densities = &call.density_exact;
        assert!((densities[1] - 0.3).abs() < 0.05, "{call:?}");
        assert_eq!(densities[0] == 1.0, call.layer == 1, "{call:?}");
    }
}

#[test]
fn a_probe_refreshes_what_has_become_outworn_and_nothing_else() {
    let adaptive = |request: &mut Request| {
        request.refresh = Some("adaptive:0.95".into());
        request.density = Some(0.2);
    };
    let mut still = Scene::new([5, 12, 16], 4);
    still.is_still = true;
    assert_eq!(
        modes(&still, adaptive),
        [0, 6, 18],
        "nothing changes, so nothing is estimated again"
    );
    let mut attention = attention_of(&still, &asked("psa", adaptive));
    still.run(&mut attention, true).unwrap();
    for call in attention.tally().calls() {
        assert!(call.retained_mass.iter().all(|mass| (0.1..1.0).contains(mass)), "{call:?}");
        assert_eq!(call.retained_mass.len(), 2);
    }
    // A model whose attention turns around: what was most looked at is looked at least.
    let turning = Turning(&still);
    let mut attention = attention_of(&still, &asked("psa", adaptive));
    turning.run(&mut attention);
    let fresh: Vec<u64> = attention
        .tally()
        .calls()
        .iter()
        .filter(|call| call.mode == Mode::Fresh)
        .map(|call| call.step)
        .collect();
    assert_eq!(fresh, [0, 2], "estimated at first, and after the turn");
}

/// One site over four steps; from the third on its queries look the other way.
struct Turning<'a>(&'a Scene);

impl Turning<'_> {
    fn run(&self, attention: &mut SparseAttention) {
        attention.begin_clip(&self.0.sequence).unwrap();
        let site = Site { layer: 0, branch: Branch::Cond, expert: 0 };
        for step in 0..4 {
            attention.begin_step(step, 4, 0.5).unwrap();
            let [q, k, v] = self.0.operands(site, 0);
            let q = if step < 2 { q } else { q.neg().unwrap() };
            attention.attend(site, &q, &k, &v).unwrap();
        }
    }
}

#[test]
fn what_finds_no_room_is_estimated_again_and_told() {
    let scene = Scene::new([3, 7, 9], 4);
    let never = |limit: &str| {
        let limit = limit.to_owned();
        asked("psa", |request| {
            request.refresh = Some("never".into());
            request.cache_limit = Some(limit);
        })
    };
    // 2 heads of 2 × 3 blocks are 6 bytes a map.
    let mut attention = attention_of(&scene, &never("15"));
    let bounded = scene.run(&mut attention, true).unwrap();
    assert_eq!(attention.kept_bytes(), 12);
    assert_eq!(
        counted(attention.tally().calls()),
        [0, 2 + 4 * 4, 2 * 3],
        "two sites of six have room"
    );
    let lines = attention.tally().fallbacks();
    assert!(lines.len() == 1 && lines[0].contains("16 times"), "{lines:?}");
    assert!(lines[0].contains("cache_limit"), "{lines:?}");
    let again = scene.run(&mut attention_of(&scene, &never("15")), true).unwrap();
    assert!(bounded.iter().zip(&again).all(|(a, b)| values(a) == values(b)));
    let strict = Request { strict: Some(true), ..never("0") };
    let error = scene.run(&mut attention_of(&scene, &strict), true).unwrap_err().to_string();
    assert!(error.contains("layer 0, cond") && error.contains("cache_limit"), "{error}");
}

#[test]
fn a_log_sum_exp_that_finds_no_room_is_told_too() {
    let scene = Scene::new([3, 7, 9], 3);
    let bounded = |strict: bool| {
        asked("adaspa", |request| {
            request.warmup = Some("1".into());
            request.refresh = Some("never".into());
            request.cache_limit = Some("100".into()); // six maps of 6 bytes, no log-sum-exp of 1512
            request.strict = Some(strict);
        })
    };
    let mut attention = attention_of(&scene, &bounded(false));
    scene.run(&mut attention, true).unwrap();
    assert_eq!(counted(attention.tally().calls()), [6, 6, 6]);
    let lines = attention.tally().fallbacks();
    // After the dense step and after the search, for six sites.
    assert!(lines.len() == 1 && lines[0].contains("12 times"), "{lines:?}");
    assert!(lines[0].contains("log-sum-exp") && lines[0].contains("cache_limit"), "{lines:?}");
    let error = scene.run(&mut attention_of(&scene, &bounded(true)), true).unwrap_err().to_string();
    assert!(error.contains("strict: A log-sum-exp was not kept"), "{error}");
}

#[test]
fn a_new_clip_starts_with_nothing() {
    let scene = Scene::new([3, 7, 9], 2);
    let mut attention = attention_of(&scene, &asked("psa", |r| r.refresh = Some("never".into())));
    let first = scene.run(&mut attention, true).unwrap();
    assert!(attention.kept_bytes() > 0);
    let again = scene.run(&mut attention, true).unwrap();
    assert_eq!(counted(attention.tally().calls()), [0, 6, 6]);
    assert!(first.iter().zip(&again).all(|(a, b)| values(a) == values(b)));
    attention.begin_clip(&scene.sequence).unwrap();
    assert_eq!(attention.kept_bytes(), 0);
}

#[test]
fn the_first_that_asks_estimates_for_an_owner_that_is_dense() {
    let mut scene = Scene::new([3, 7, 9], 3);
    scene.is_still = true;
    let options = options_for(&READING, |request| {
        request.warmup = Some("1".into());
        request.dense_layers = Some("0".into());
    });
    let mut attention = sparse(&scene, options);
    scene.run(&mut attention, true).unwrap();
    let modes: Vec<_> =
        attention.tally().calls().iter().filter(|c| c.step == 1).map(|c| c.mode).collect();
    let branch = [Mode::Dense, Mode::Fresh, Mode::Cached];
    assert_eq!(modes, [branch, branch].concat());
}
