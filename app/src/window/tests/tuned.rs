//! Presets that were tuned for what the form says: offered, told, taken.

use egui_kittest::kittest::Queryable as _;
use serde_json::{Value, json};
use tessera_pipeline::statistics::{Interval, TimeBasis};
use tessera_pipeline::tune::{Kept, Place, Preset, Tuned};

use super::Desk;
use crate::window::planning::Answer;

fn preset(name: &str, settings: &Value, time: f64) -> Preset {
    let at = |value: f64| Interval { median: value, low: value - 0.01, high: value + 0.01 };
    Preset {
        name: name.into(),
        settings: settings.as_object().cloned().unwrap_or_default(),
        floor: "ssim=.95".parse().expect("a floor"),
        closeness: at(0.97),
        time: at(time),
        held_out: Some(Kept { clips: 6, of: 6 }),
    }
}

/// Lets the window know of two presets that were tuned for what it plans.
pub(super) fn tune(desk: &mut Desk) {
    let store = &mut desk.harness.state_mut().store;
    let plan = store.planning.plan().expect("a plan").clone();
    let tuned = Tuned {
        program: "tessera".into(),
        model: plan.model.name.clone(),
        place: Place::of(&plan),
        steps: 4,
        by: TimeBasis::EndToEnd,
        prompts: 6,
        presets: vec![
            preset("exact", &json!({ "attention": "dense" }), 1.0),
            preset("fast", &json!({ "attention": "tessera", "density": 0.25 }), 0.74),
        ],
    };
    // A number that no later question reaches: the answer stays.
    let answer =
        Answer { number: 1000, plan: Ok(Box::new(plan)), snapped: None, tuned: Some(tuned) };
    store.planning.take(answer);
    desk.harness.run_steps(3);
}

#[test]
fn presets_are_offered_for_their_place_and_set_attention_alone() {
    let mut desk = Desk::new();
    assert!(desk.harness.query_by_label("Tuned").is_none(), "nothing was tuned");
    let draft = &mut desk.harness.state_mut().store.draft;
    draft.set("steps", Some(4.into()));
    draft.set("refresh", Some("2".into()));
    tune(&mut desk);
    desk.sees("Tuned");
    desk.harness.get_by_label("Fast, 0.74 of the time").click();
    desk.harness.run_steps(3);
    let draft = &desk.window().store.draft;
    assert_eq!(draft.text("attention"), "tessera");
    assert_eq!(draft.get("density"), Some(&json!(0.25)));
    assert_eq!(draft.get("refresh"), None, "what the preset leaves open, it leaves to the method");
    assert_eq!(draft.get("steps"), Some(&json!(4)), "nothing else is touched");
    desk.harness.get_by_label("Exact").click();
    desk.harness.run_steps(3);
    let draft = &desk.window().store.draft;
    assert_eq!((draft.text("attention"), draft.get("density")), ("dense", None));
}
