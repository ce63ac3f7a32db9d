//! The sweep that a table is, and its page.

use serde_json::json;

use super::*;
use crate::sweep::{Local, Manifest, Summary, run};

fn settings() -> Map<String, Value> {
    let size =
        json!({ "width": 64, "height": 64, "frames": 5, "steps": 2, "seed": 7, "warmup": "0" });
    size.as_object().cloned().unwrap_or_default()
}

#[test]
fn methods_stand_beside_each_other_at_each_density() {
    let sweep = sweep(&settings(), &["tessera", "psa/p"], &[0.5, 0.25], vec!["a".into()]);
    assert_eq!((sweep.seeds.as_slice(), sweep.settings.contains_key("seed")), (&[7][..], false));
    let manifest = Manifest::new(&sweep).unwrap();
    let names: Vec<_> = manifest.arms.iter().map(|arm| arm.name.as_str()).collect();
    let sparse = [
        "tessera, density 0.5",
        "psa, preset p, density 0.5",
        "tessera, density 0.25",
        "psa, preset p, density 0.25",
    ];
    assert_eq!(names[2..], sparse);
}

#[test]
fn a_small_table_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let sweep =
        sweep(&settings(), &["tessera", "psa/none-such"], &[0.5], vec!["a red ball".into()]);
    let results = run(&sweep, folder.path(), &Local { jobs: 1 }, &|_| true).unwrap();
    let summary = Summary::new(&results);
    let text = markdown(&results, &summary, "# Methods");
    assert!(
        text.starts_with("# Methods\n\n## Dense\n") && text.contains("## Density 0.5"),
        "{text}"
    );
    assert!(
        text.contains("| dense, again |  | 1.000 | 1.0000 |  | equal | 1.0000 … 1.0000 | 1.00 |"),
        "{text}"
    );
    assert!(
        text.contains("| tessera ★ |")
            && text.contains("## Not run")
            && text.contains("- psa, preset none-such"),
        "{text}"
    );
    let table = csv(&summary);
    let columns = |line: &str| line.matches(',').count() - line.matches(", ").count();
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.lines().all(|line| columns(line) == 17), "{table}");
}
