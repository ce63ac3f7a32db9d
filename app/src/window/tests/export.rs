//! Views of the Lens as files.

use egui_kittest::kittest::Queryable as _;
use tessera_pipeline::video::Decoder;

use super::Desk;
use super::brush::brushed;
use super::lens::open_example;
use crate::window::commands::Command;
use crate::window::lens::Face;
use crate::window::lens::export::Which;

/// Writes the view that would be exported, and says what it is called.
pub(super) fn exported(desk: &mut Desk, which: Which, to: &std::path::Path) -> String {
    let window = desk.harness.state_mut();
    let job = window.store.lens.export(which, window.store.trail.now()).unwrap();
    let (name, target) = (job.name.clone(), to.to_path_buf());
    window.workers.export(job, move |_| Some(target));
    let told = format!("Saved as {}.", to.display());
    desk.wait(&told, |window| window.store.log.lines().iter().any(|line| line.text == told));
    assert!(desk.window().store.lens.exporting.is_none());
    name
}

#[test]
fn every_view_goes_where_a_person_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = open_example(Desk::new());
    let at = |name: &str| folder.path().join(name);
    assert_eq!(exported(&mut desk, Which::Timeline, &at("a.png")), "tessera-timeline");
    assert_eq!(exported(&mut desk, Which::Heads, &at("b.csv")), "tessera-heads-step5");
    for (face, name) in [(Face::Map, "map"), (Face::Scores, "attention"), (Face::Order, "order")] {
        desk.harness.state_mut().store.lens.face = face;
        let to = at(&format!("{name}.npz"));
        let expected = format!("tessera-{name}-step5-layer3-head2");
        assert_eq!(exported(&mut desk, Which::Face, &to), expected);
    }
    desk.harness.state_mut().store.lens.face = Face::Brush;
    desk.harness.run_steps(2);
    let refusal = |desk: &Desk| Command::ExportView.refusal(&desk.window().store);
    assert!(refusal(&desk).is_some_and(|why| why.contains("No query token is chosen")));
    brushed(&mut desk, [3, 9, 8]);
    assert_eq!(refusal(&desk), None);
    exported(&mut desk, Which::Face, &at("brush.mp4"));
    let mut film = Decoder::open(&at("brush.mp4")).unwrap();
    assert_eq!((film.size(), film.count_frames().unwrap()), ((512, 512), 33));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
}

#[test]
fn an_export_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = open_example(Desk::new());
    assert!(Command::StopExport.refusal(&desk.window().store).is_some());
    let (go, gate) = crossbeam_channel::bounded::<()>(1);
    let window = desk.harness.state_mut();
    let job = window.store.lens.export(Which::Face, window.store.trail.now()).unwrap();
    let to = folder.path().join("map.mp4");
    window.workers.export(job, move |_| gate.recv().ok().map(|()| to));
    window.store.lens.exporting = Some(("map.mp4".into(), 1, 6)); // as after its first picture
    desk.harness.run_steps(2);
    desk.harness.get_by_label("Stop").click();
    desk.harness.run_steps(2);
    go.send(()).unwrap();
    desk.wait("its end", |window| window.store.lens.exporting.is_none());
    desk.wait("the word", |window| {
        window.store.log.lines().iter().any(|line| line.text.contains("export was stopped"))
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    exported(&mut desk, Which::Face, &folder.path().join("map.mp4")); // the next one is not meant
}

#[test]
fn what_cannot_be_exported_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = open_example(Desk::new());
    let window = desk.harness.state_mut();
    let job = window.store.lens.export(Which::Timeline, window.store.trail.now()).unwrap();
    let to = folder.path().join("timeline.mp4");
    window.workers.export(job, move |_| Some(to));
    desk.wait("the refusal", |window| {
        window.store.log.lines().iter().any(|line| line.text.contains("written as png, csv, npz"))
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    desk.sees("Export…");
    assert!(Command::ExportHeads.refusal(&Desk::new().window().store).is_some());
}
