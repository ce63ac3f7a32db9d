//! The search on figures made up by rule, the file, and a small search from end to end.

use std::io::Write as _;

use serde_json::{Map, Value};

use super::search::{Trial, choose, search};
use super::*;
use crate::files::write_atomically;
use crate::request::Request;
use crate::statistics::{Interval, TimeBasis};

fn floor(text: &str) -> Floor {
    text.parse().unwrap()
}

fn spec(folder: &std::path::Path) -> Spec {
    Spec {
        base: Request {
            width: Some(64),
            height: Some(64),
            frames: Some(5),
            steps: Some(2),
            ..Request::default()
        },
        method: "tessera".into(),
        floor: floor("ssim=.9"),
        by: TimeBasis::Attention,
        prompts: vec!["a red ball".into(), "a blue cube".into()],
        held_out: vec!["a green cone".into()],
        folder: folder.join("cells"),
        jobs: 1,
    }
}

/// A machine on which time is the density and loss grows as it falls.
fn made_up(settings: &Map<String, Value>) -> Trial {
    let density = settings["density"].as_f64().unwrap();
    let cold = if settings.contains_key("warmup") { 0.05 } else { 0.0 };
    let loss = 0.02 * (1.0 - density) / density + 2.0 * cold;
    let time = density - cold + 0.4;
    Trial {
        settings: settings.clone(),
        closeness: vec![1.0 - loss, 1.0 - loss * 1.1, 1.0 - loss * 0.9],
        time: Interval { median: time, low: time, high: time },
    }
}

#[test]
fn a_floor_is_a_metric_and_a_number_in_its_range() {
    assert_eq!(floor("ssim=.95"), Floor { metric: Metric::Ssim, least: 0.95 });
    assert_eq!(floor("psnr=30").to_string(), "psnr=30");
    let told = |text: &str| text.parse::<Floor>().unwrap_err();
    assert!(told("quality=.9").contains("one of ssim, ms-ssim, psnr, latent-cosine"));
    assert!(told("ssim=95").contains("above 0 and below 1, got \"95\""));
    assert!(told("ssim=1").contains("below 1") && told("psnr=101").contains("below 100"));
    assert!(told("ssim=NaN").contains("NaN") && told("ssim").contains("ssim=.95"));
    assert!((floor("ssim=.9").halved().least - 0.95).abs() < 1e-12);
    assert!((floor("psnr=30").halved().least - 36.02).abs() < 0.01);
}

#[test]
fn a_floor_is_held_with_a_margin_for_clips_unseen() {
    let floor = floor("ssim=.9");
    assert!(floor.is_held(&[0.97, 0.975, 0.965, 0.972]));
    assert!(!floor.is_held(&[0.97, 0.975, 0.899, 0.972]), "one clip is below");
    assert!(!floor.is_held(&[0.99, 0.91, 0.97, 0.95]), "the next may well be");
    assert!(!floor.is_held(&[0.99]), "one clip says nothing of the next");
    assert!(floor.is_held(&[1.0, 1.0]) && !floor.is_held(&[0.99, f64::NAN]));
}

#[test]
fn the_search_goes_from_safe_to_fast_and_stops_where_the_floor_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path());
    let trials = search(&spec, |settings| Ok(made_up(settings))).unwrap();
    let tried: Vec<f64> =
        trials.iter().map(|trial| trial.settings["density"].as_f64().unwrap()).collect();
    // The loss at .18 is .09, its bound above .1; then both warm-ups at .25, of which the first fails.
    assert_eq!(tried, [0.7, 0.5, 0.35, 0.25, 0.18, 0.25]);
    let presets = choose(spec.floor, &trials);
    let names: Vec<_> = presets.iter().map(|preset| preset.name.as_str()).collect();
    assert_eq!(names, ["exact", "balanced", "fast"]);
    assert_eq!(presets[0].settings["attention"], "dense");
    assert_eq!(presets[1].settings["density"], 0.5, "half the loss: at .35 its bound is .052");
    assert_eq!(presets[2].settings["density"], 0.25);
    assert!(presets[2].time.median < presets[1].time.median);

    let slow = |settings: &Map<String, Value>| {
        let one = Interval { median: 1.2, low: 1.1, high: 1.3 };
        Ok(Trial { time: one, ..made_up(settings) })
    };
    let presets = choose(spec.floor, &search(&spec, slow).unwrap());
    assert!(
        presets.iter().all(|preset| preset.settings["attention"] == "dense"),
        "nothing is faster"
    );
    let none = Spec { floor: floor("ssim=.999"), ..spec };
    let trials = search(&none, |settings| Ok(made_up(settings))).unwrap();
    assert_eq!(trials.len(), 1, "the safest does not hold");
    assert_eq!(choose(none.floor, &trials)[2].settings["attention"], "dense");
}

#[test]
fn presets_come_back_from_their_file_for_their_place_alone() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(folder.path()).unwrap(), []);
    let place = Place {
        fingerprint: "f".into(),
        width: 256,
        height: 256,
        frames: 33,
        device: "cpu".into(),
    };
    let tuned = Tuned {
        program: "tessera".into(),
        model: "toybox".into(),
        place: place.clone(),
        steps: 20,
        by: TimeBasis::EndToEnd,
        prompts: 3,
        presets: choose(floor("ssim=.9"), &[]),
    };
    save(folder.path(), &tuned).unwrap();
    let other = Tuned { place: Place { width: 128, ..place.clone() }, ..tuned.clone() };
    save(folder.path(), &other).unwrap();
    save(folder.path(), &Tuned { steps: 8, ..tuned }).unwrap();
    let all = load(folder.path()).unwrap();
    assert_eq!(all.len(), 2, "a new search replaces the old one of its place");
    assert_eq!(find(&all, &place).unwrap().steps, 8);
    assert!(find(&all, &Place { device: "cuda:0".into(), ..place }).is_none());
    write_atomically(&folder.path().join(FILE), |file| file.write_all(b"{")).unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("presets.json"));
}

#[test]
fn a_search_on_the_bundled_model_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path());
    let mut told = 0;
    let error = tune(&spec, |_| {
        told += 1;
        told < 4
    })
    .unwrap_err();
    assert!(error.is_cancelled());
    let first = tune(&spec, |_| true).unwrap();
    assert_eq!((first.place.width, first.place.frames, first.steps), (64, 5, 2));
    assert_eq!(first.presets.len(), 3);
    for preset in &first.presets {
        let held = preset.held_out.unwrap();
        assert!(held.of == 1 && held.clips <= 1);
        assert!(preset.closeness.median >= preset.floor.least, "{preset:?}");
    }
    assert_eq!(tune(&spec, |_| true).unwrap(), first, "nothing is made twice");

    let small = Spec { floor: floor("ms-ssim=.9"), ..spec.clone() };
    let error = tune(&small, |_| true).unwrap_err().to_string();
    assert!(error.contains("ms-ssim=0.9") && error.contains("too small"), "{error}");
    let alone = Spec { prompts: vec!["a red ball".into()], ..spec.clone() };
    assert!(tune(&alone, |_| true).unwrap_err().to_string().contains("expected 2"));
    let nowhere = Request { model: Some("/nowhere".into()), ..spec.base.clone() };
    let error = tune(&Spec { base: nowhere, ..spec }, |_| true).unwrap_err();
    assert!(error.to_string().contains("/nowhere"), "{error}");
}
