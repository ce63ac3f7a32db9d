use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use tessera_kernels::attention::attention_with_lse;
use tessera_kernels::levels::{FULL, LevelMap};
use tessera_kernels::order::{Order, permute};
use tessera_kernels::scores::mean_pool;
use tessera_models::attention::{Branch, Site};

use super::*;
use crate::events::Phase;
use crate::recording::{Held, Place, Recording};
use crate::sparsity::observer::{CallReport, Mode, Observer as _, SparseReport, Step};

/// The clip of the recording's own tests: 2 layers of 2 heads, 192 tokens.
fn meta() -> Meta {
    crate::recording::tests::meta(1 << 20)
}

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let values = crate::noise::torch_randn(seed, shape);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
    recorder: Recorder,
    capture: Capture,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(&folder.path().join("a.tessera"), meta()).unwrap();
        let capture = recorder.capture();
        Self { folder, recorder, capture }
    }

    fn finish(self) -> (tempfile::TempDir, Recording) {
        let Self { folder, recorder, capture } = self;
        drop(capture);
        let file = recorder.finish(&EventKind::Cancelled { kept: Vec::new() }).unwrap();
        assert_eq!(file.path, folder.path().join("a.tessera"));
        (folder, Recording::open(&file.path).unwrap())
    }
}

/// Queries and keys of one call, in raster order.
struct Call {
    q: Tensor,
    k: Tensor,
    dtype: DType,
    /// Where a method that sorts keys puts them, behind the call's order.
    sorted: Option<Vec<Order>>,
}

impl Call {
    fn new(seed: u64, dtype: DType) -> Self {
        let shape = [1, 2, 192, 16];
        Self { q: random(seed, &shape), k: random(seed + 1, &shape), dtype, sorted: None }
    }

    /// Shows it to a capture as a call would be that worked in `orders`.
    fn report(
        &self,
        capture: &mut Capture,
        (step, layer): (usize, usize),
        mode: Mode,
        orders: &[Order],
    ) {
        let [q, k] = [&self.q, &self.k].map(|x| permute(x, orders).unwrap());
        let scale = 0.25;
        let (out, lse) = attention_with_lse(&q, &k, &k, scale, None).unwrap();
        let blocks = meta().blocks();
        let levels: Vec<u8> = (0..12).map(|i| (i % 3) as u8).collect();
        let map = LevelMap::from_vec(levels, (1, 2), blocks).unwrap();
        let scores = mean_pool(&q, &k, blocks, scale).unwrap();
        let densities = map.counted().unwrap();
        let sparse = SparseReport {
            map: &map,
            scores: (mode == Mode::Fresh).then_some(&scores),
            key_order: self.sorted.as_deref(),
            densities: &densities,
            retained: None,
            estimated_at: 0,
        };
        let [q, k, out] = [q, k, out].map(|x| x.to_dtype(self.dtype).unwrap());
        capture.attended(&CallReport {
            site: Site { layer, branch: Branch::Cond, expert: 0 },
            step: Step { index: step, of: 3, sigma: 0.5 },
            mode,
            q: &q,
            k: &k,
            v: &k,
            out: &out,
            lse: &lse,
            scale,
            orders,
            sparse: (mode != Mode::Dense).then_some(sparse),
            fallback: None,
            estimate: Duration::from_micros(250),
            attention: Duration::from_micros(1500),
        });
    }

    /// softmax(q·kᵀ/4) of a head, `[192, 192]`, in raster order.
    fn truth(&self, head: usize) -> Vec<Vec<f32>> {
        let [q, k] = [&self.q, &self.k].map(|x| x.narrow(1, head, 1).unwrap().squeeze(1).unwrap());
        let logits = (q.matmul(&k.transpose(1, 2).unwrap()).unwrap() * 0.25).unwrap();
        let shares = tessera_kernels::scores::row_softmax(&logits).unwrap();
        shares.squeeze(0).unwrap().to_vec2().unwrap()
    }
}

fn orders() -> [Order; 2] {
    let grid = meta().grid;
    let volume =
        tessera_kernels::order::Volume { frames: grid.frames, rows: grid.rows, columns: grid.cols };
    [tessera_kernels::order::gilbert(volume), tessera_kernels::order::morton(volume)]
}

#[test]
fn rows_and_attention_are_the_exact_softmax_in_every_order() {
    let mut bench = Bench::new();
    let call = Call::new(3, DType::F32);
    call.report(&mut bench.capture, (0, 0), Mode::Dense, &[Order::identity(192)]);
    call.report(&mut bench.capture, (1, 0), Mode::Fresh, &orders());
    let turned = |by: u32| Order::new((0..192).map(|place| (place * by) % 192).collect()).unwrap();
    let sorting = Call { sorted: Some(vec![turned(5), turned(7)]), ..Call::new(3, DType::F32) };
    sorting.report(&mut bench.capture, (2, 0), Mode::Fresh, &orders());
    let (_folder, recording) = bench.finish();
    let blocks = recording.meta().blocks();
    for (step, head) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let truth = call.truth(head);
        let place = Place::new(step, Branch::Cond, 0);
        let row = recording.row_of(place, head, 14).unwrap().here().unwrap();
        for (got, want) in row.iter().zip(&truth[14]) {
            assert!((got - want).abs() <= want * 1e-3 + 1e-8, "step {step}: {got} for {want}");
        }
        let order = recording.order(place, head).unwrap().unwrap();
        let expected = if step == 0 { "fhw" } else { ["gilbert", "morton"][head] };
        assert_eq!(order.name.as_deref(), Some(expected));
        let tokens = order.order.tokens();
        let of_keys = recording.key_order(place, head).unwrap().here().unwrap();
        assert_eq!(of_keys == order.order, step < 2, "keys are sorted in step 2 alone");
        let mass = recording.attention(place, head).unwrap().here().unwrap();
        let mass = mass.to_vec2::<f32>().unwrap();
        for (i, row) in mass.iter().enumerate() {
            for (j, got) in row.iter().enumerate() {
                let queries = &tokens[blocks.query_range(i)];
                let keys = &of_keys.tokens()[blocks.key_range(j)];
                let share =
                    |q: &u32| keys.iter().map(|k| truth[*q as usize][*k as usize]).sum::<f32>();
                let want = queries.iter().map(share).sum::<f32>() / queries.len() as f32;
                assert!((got - want).abs() <= want * 1e-3, "({i}, {j}): {got} for {want}");
            }
        }
    }
    let other = recording.order(Place::new(0, Branch::Uncond, 0), 0).unwrap();
    assert_eq!(other, None, "nothing was recorded there");
}

#[test]
fn a_cached_map_is_written_once_and_an_unpinned_head_only_in_the_summary() {
    let mut bench = Bench::new();
    let call = Call::new(5, DType::BF16);
    for (step, mode) in [(0, Mode::Fresh), (1, Mode::Cached), (2, Mode::Cached)] {
        call.report(&mut bench.capture, (step, 0), mode, &orders());
    }
    call.report(&mut bench.capture, (0, 1), Mode::Fresh, &orders());
    let (_folder, recording) = bench.finish();
    let at = |step| recording.call(Place::new(step, Branch::Cond, 0)).unwrap().unwrap();
    let calls = [0, 1, 2].map(at);
    assert_eq!([0, 1, 2].map(|i: usize| calls[i].map), [Some(0); 3]);
    assert_eq!(
        calls.iter().map(|call| call.mode).collect::<Vec<_>>(),
        [Mode::Fresh, Mode::Cached, Mode::Cached]
    );
    assert_eq!((calls[2].estimate_ms, calls[2].attention_ms), (0.25, 1.5));
    let place = Place::new(2, Branch::Cond, 0);
    assert_eq!(
        recording.map(place, 1).unwrap().here().unwrap().to_vec().unwrap(),
        [0, 1, 2, 0, 1, 2]
    );
    assert!(matches!(recording.scores(place, 0).unwrap(), Held::Here(_)), "of the refresh");
    // Of layer 1 only head 0 is pinned.
    let other = Place::new(0, Branch::Cond, 1);
    assert!(matches!(recording.map(other, 0).unwrap(), Held::Here(_)));
    assert!(matches!(recording.map(other, 1).unwrap(), Held::NotCaptured));
    assert_eq!(recording.summary(other).unwrap().here().unwrap().counts[1][..3], [2, 2, 2]);
    assert_eq!(recording.summary(place).unwrap().here().unwrap().counts[1][..3], [2, 2, 2]);
}

#[test]
fn events_and_latents_are_kept_and_progress_is_not() {
    let bench = Bench::new();
    let started = EventKind::PhaseStarted { phase: Phase::Denoise, of: 4 };
    bench.recorder.event(&started);
    bench.recorder.event(&EventKind::Progress {
        phase: Phase::Denoise,
        done: 1,
        of: 4,
        elapsed_ms: 2,
        eta_ms: None,
        job_eta_ms: None,
    });
    let clip = random(9, &[1, 2, 2, 3, 4]);
    bench.recorder.latents(0, &clip);
    bench.recorder.event(&EventKind::Step {
        index: 0,
        of: 3,
        sigma: 1.0,
        next_sigma: 0.7,
        elapsed_ms: 2000,
    });
    let (_folder, recording) = bench.finish();
    let events: Vec<EventKind> =
        recording.events().unwrap().into_iter().map(|happened| happened.event).collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0], started);
    assert_eq!(events[2], EventKind::Cancelled { kept: Vec::new() });
    assert_eq!(recording.steps().unwrap()[0].elapsed_ms, Some(2000));
    let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&recording.latents(0).unwrap().here().unwrap()), values(&clip));
    let cost = recording.cost().unwrap().unwrap();
    assert_eq!(cost.steps_seconds, 2.0);
    assert!(cost.capture_seconds > 0.0 && cost.share() < 0.5, "{cost:?}");
}

#[test]
fn a_run_that_ends_without_a_word_leaves_what_it_had() {
    let mut bench = Bench::new();
    Call::new(7, DType::F32).report(
        &mut bench.capture,
        (0, 0),
        Mode::Dense,
        &[Order::identity(192)],
    );
    let partial = bench.recorder.partial().to_path_buf();
    let Bench { folder, recorder, capture } = bench;
    drop(recorder);
    drop(capture);
    let recording = Recording::open(&partial).unwrap();
    assert_eq!(recording.outcome().unwrap(), Outcome::Unfinished);
    let place = Place::new(0, Branch::Cond, 0);
    let map = recording.map(place, 1).unwrap().here().unwrap();
    assert_eq!(map.to_vec().unwrap(), [FULL; 6]);
    assert!(!folder.path().join("a.tessera").exists());
}

#[test]
fn a_failing_capture_is_told_once_and_recording_goes_on() {
    let mut bench = Bench::new();
    let call = Call {
        q: random(1, &[1, 2, 64, 16]),
        k: random(2, &[1, 2, 192, 16]),
        dtype: DType::F32,
        sorted: None,
    };
    // Fewer queries than the clip has tokens: its blocks cannot be averaged.
    let report = CallReport {
        site: Site { layer: 0, branch: Branch::Cond, expert: 0 },
        step: Step { index: 0, of: 3, sigma: 0.5 },
        mode: Mode::Dense,
        q: &call.q,
        k: &call.k,
        v: &call.k,
        out: &call.q,
        lse: &call.q,
        scale: 0.25,
        orders: &[Order::identity(192)],
        sparse: None,
        fallback: Some("for this test"),
        estimate: Duration::ZERO,
        attention: Duration::ZERO,
    };
    bench.capture.attended(&report);
    bench.capture.attended(&report);
    let failure = bench.recorder.take_failure().unwrap();
    assert!(failure.contains("block_mass"), "{failure}");
    assert_eq!(bench.recorder.take_failure(), None);
    let (_folder, recording) = bench.finish();
    assert_eq!(recording.calls(0).unwrap()[0].fallback.as_deref(), Some("for this test"));
}
