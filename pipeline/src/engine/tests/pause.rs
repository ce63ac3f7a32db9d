//! A job that rests: nothing is lost, nothing is counted, and it can still be stopped.

use std::time::Instant;

use super::*;

/// Long beside everything else that such a run does between its phases.
const REST: Duration = Duration::from_millis(1500);

#[test]
fn a_paused_clip_is_bit_for_bit_the_other_one_and_its_pause_counts_as_no_work() {
    let mut bench = Bench::new();
    let request = |bench: &Bench, name: &str| Request {
        frames: Some(33),
        steps: Some(4),
        ..bench.request(name)
    };
    bench.run(request(&bench, "straight.mp4"));
    let began = Instant::now();
    let job = bench.send(request(&bench, "paused.mp4"));
    let commands = bench.engine.commands.clone();
    let tell = |command| commands.send(command).unwrap();
    tell(Command::Pause { job });
    let events = bench.events(job, |kind| match kind {
        EventKind::Paused { .. } => {
            std::thread::sleep(REST);
            tell(Command::Continue { job });
        }
        EventKind::LatentsSaved { .. } => tell(Command::Pause { job }),
        _ => {}
    });
    let wall = began.elapsed().as_secs_f64();
    let mut rests = Vec::new();
    for kind in &events {
        if let EventKind::Continued { phase, paused_ms } = kind {
            assert!(u128::from(*paused_ms) >= REST.as_millis());
            rests.push((*phase, *paused_ms as f64 / 1000.0));
        }
    }
    assert_eq!(
        rests.iter().map(|(phase, _)| *phase).collect::<Vec<_>>(),
        [Phase::Denoise, Phase::Decode]
    );
    let paused: f64 = rests.iter().map(|(_, seconds)| seconds).sum();
    let worked = receipt(&events).seconds();
    assert!(worked + paused < wall, "{worked} s of work and {paused} s of pause in {wall} s");
    for kind in ["latents.safetensors", "mp4"] {
        let straight = read_file(&bench, &format!("straight.{kind}"));
        assert!(straight == read_file(&bench, &format!("paused.{kind}")), "another {kind}");
    }
}

#[test]
fn a_resting_job_is_stopped_at_once_and_keeps_what_it_has() {
    let mut bench = Bench::new();
    let request = Request { steps: Some(50), ..bench.request("clip.mp4") };
    let job = bench.send(request);
    let commands = bench.engine.commands.clone();
    let events = bench.events(job, |kind| match kind {
        EventKind::Step { index: 0, .. } => commands.send(Command::Pause { job }).unwrap(),
        EventKind::Paused { .. } => commands.send(Command::Cancel { job }).unwrap(),
        _ => {}
    });
    let went_on = events.iter().position(|kind| matches!(kind, EventKind::Continued { .. }));
    let after = &events[went_on.expect("it rested")..];
    assert!(!after.iter().any(|kind| matches!(kind, EventKind::Step { .. })), "{after:?}");
    let [file] = kept(&events) else { panic!("{after:?}") };
    assert_eq!(file.what, FileRole::PartialLatents);
    assert!(matches!(
        bench.run(bench.request("after.mp4")).last(),
        Some(EventKind::Finished { .. })
    ));
}
