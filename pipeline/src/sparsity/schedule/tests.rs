use super::*;

fn terms(warmup: &str, dense_last: usize, layers: &str, refresh: &str) -> Terms {
    Terms {
        warmup: warmup.parse().unwrap(),
        dense_last,
        dense_layers: layers.parse().unwrap(),
        refresh: refresh.parse().unwrap(),
    }
}

/// Noise levels from 1 down in equal steps.
fn sigmas(steps: usize) -> Vec<f64> {
    (0..steps).map(|step| 1.0 - step as f64 / steps as f64).collect()
}

/// A run as a word: `d` dense, `F` due, `c` cached.
fn word(terms: &Terms, steps: usize) -> String {
    let schedule = Schedule::new(terms, &sigmas(steps), 2).unwrap();
    let letter = |step: usize| {
        if schedule.is_dense(step, 1) {
            'd'
        } else if schedule.due(step) == step {
            'F'
        } else {
            'c'
        }
    };
    (0..steps).map(letter).collect()
}

#[test]
fn every_step_is_dense_due_or_cached() {
    for (warmup, dense_last, refresh, expected) in [
        ("0", 0, "1", "FFFFFFFFFF"),
        ("3", 0, "1", "dddFFFFFFF"),
        ("25%", 1, "1", "dddFFFFFFd"),
        ("sigma>0.75", 0, "1", "dddFFFFFFF"),
        ("2", 2, "3", "ddFccFccdd"),
        ("2", 0, "100", "ddFccccccc"),
        ("1", 0, "never", "dFcccccccc"),
        ("2", 1, "at:5,7", "ddFccFcFcd"),
        ("6", 0, "at:2,8", "ddddddFcFc"),
        ("0", 0, "at:0,1", "FFcccccccc"),
        ("3", 0, "adaptive:0.9", "dddFcccccc"),
        ("20%", 0, "at:20%,60%", "ddFcccFccc"),
        ("0", 0, "at:2%,14%,96%", "FFcccccccF"),
    ] {
        assert_eq!(word(&terms(warmup, dense_last, "none", refresh), 10), expected, "{refresh}");
    }
}

/// AdaSpa: 10 of 50 steps dense, searches at steps 10 and 30.
#[test]
fn shares_of_the_run_keep_their_place_in_runs_of_any_length() {
    let adaspa = terms("20%", 0, "none", "at:20%,60%");
    let resolved = |steps| {
        let schedule = Schedule::new(&adaspa, &sigmas(steps), 2).unwrap();
        (schedule.sparse().start, schedule.refresh().to_string())
    };
    assert_eq!(resolved(50), (10, "at:10,30".into()));
    assert_eq!(resolved(25), (5, "at:5,15".into()));
    assert_eq!(resolved(4), (1, "at:1,2".into()));
    assert_eq!(word(&adaspa, 1), "F", "a share below all leaves a step");
    assert_eq!(word(&terms("30%", 0, "none", "at:1%,2%"), 2), "dF", "both are step 0");
}

#[test]
fn a_step_that_is_left_out_does_not_leave_an_old_map_in_use() {
    let schedule = Schedule::new(&terms("2", 0, "none", "3"), &sigmas(10), 2).unwrap();
    // Step 5 was due; whoever skipped it must estimate at 6, since a map of step 2 is older than 5.
    assert_eq!((schedule.due(4), schedule.due(6), schedule.due(7)), (2, 5, 5));
}

#[test]
fn listed_layers_are_dense_in_every_step() {
    let schedule = Schedule::new(&terms("0", 0, "0,2-3", "1"), &sigmas(4), 6).unwrap();
    let dense: Vec<_> = (0..6).filter(|layer| schedule.is_dense(2, *layer)).collect();
    assert_eq!((dense, schedule.sparse_layers()), (vec![0, 2, 3], 3));
    assert!(!schedule.is_dense_step(2));
    let none = Schedule::dense(4, 6);
    assert!((0..4).all(|step| none.is_dense_step(step)) && none.sparse_layers() == 0);
}

#[test]
fn what_leaves_nothing_sparse_is_refused_with_the_bound() {
    let told = |terms: Terms| {
        let problems = Schedule::new(&terms, &sigmas(20), 8).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        told(terms("20", 0, "none", "1")),
        "warmup: expected at most 19 of the run's 20 steps, got 20"
    );
    assert_eq!(
        told(terms("100%", 0, "none", "1")),
        "warmup: expected at most 19 of the run's 20 steps, got 100% (20 steps)"
    );
    assert_eq!(
        told(terms("sigma>0.5", 10, "none", "1")),
        "dense_last: expected at most 9 after 10 steps of warm-up, of 20, got 10"
    );
    assert_eq!(
        told(terms("0", 0, "3,9", "at:30")),
        "dense_layers: expected layers from 0 to 7, got 9; refresh: expected steps from 0 to 19, got 30"
    );
    assert!(told(terms("0", 0, "0-7", "1")).contains("fewer than all 8 layers"));
}

#[test]
fn estimates_are_counted_where_the_schedule_decides() {
    let of = |refresh: &str| {
        let schedule = Schedule::new(&terms("2", 0, "none", refresh), &sigmas(10), 2).unwrap();
        (schedule.estimates(), schedule.keeps_maps())
    };
    assert_eq!(of("1"), (Some(8), false));
    assert_eq!(of("3"), (Some(3), true));
    assert_eq!(of("never"), (Some(1), true));
    assert_eq!(of("adaptive:0.5"), (None, true));
}

#[test]
fn terms_are_written_as_they_are_read() {
    for text in ["12", "25%", "7%", "sigma>0.9"] {
        assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
    }
    for text in ["1", "10", "at:10,30", "at:20%,60%", "at:7%", "never", "adaptive:0.9"] {
        assert_eq!(text.parse::<Refresh>().unwrap().to_string(), text);
    }
    for wrong in ["", "-1", "101%", "sigma>2", "sigma>", "half"] {
        assert!(wrong.parse::<Span>().unwrap_err().contains("sigma>0.9"), "{wrong}");
    }
    for wrong in [
        "",
        "0",
        "at:",
        "at:3,2",
        "at:60%,20%",
        "at:100%",
        "at:10,60%",
        "adaptive:0",
        "adaptive:1.5",
        "often",
    ] {
        assert!(wrong.parse::<Refresh>().unwrap_err().contains("at:10,30"), "{wrong}");
    }
}
