//! `tessera history`, and two programs that write one history at the same time.

use serde_json::Value;

use crate::studio::Studio;

fn listed(studio: &Studio, query: &[&str]) -> Vec<Value> {
    let mut list = studio.tessera().arg("history").arg("list").arg("--json");
    for word in query {
        list = list.arg(word);
    }
    let ran = list.run().exits_with(0);
    serde_json::from_str(&ran.stdout()).expect("a list")
}

#[test]
fn runs_are_listed_searched_shown_and_removed() {
    let studio = Studio::new();
    assert!(listed(&studio, &[]).is_empty());
    assert!(!studio.path("data").exists(), "looking makes nothing");
    studio.generate("a red ball").arg("--out=ball.mp4").run().exits_with(0);
    studio.generate("a blue cube").arg("--fps=8").arg("--out=cube.mp4").run().exits_with(0);
    let all = listed(&studio, &[]);
    assert_eq!(all.len(), 2);
    assert_eq!(
        (&all[0]["prompt"], &all[0]["request"]["fps"]),
        (&"a blue cube".into(), &8.0.into())
    );
    assert_eq!(listed(&studio, &["re", "ba"])[0]["prompt"], "a red ball");
    assert_eq!(listed(&studio, &["fps<=8"]).len(), 1);
    assert_eq!(listed(&studio, &["fps<=8", "ball"]).len(), 0);
    let lines = studio.tessera().arg("history").arg("list").arg("--limit=1").run().exits_with(0);
    assert!(lines.stdout().contains("a blue cube") && lines.stdout().lines().count() == 1);
    assert!(lines.stderr().contains("1 of 2 runs"), "{}", lines.stderr());
    studio
        .tessera()
        .arg("history")
        .arg("list")
        .arg("steps=soon")
        .run()
        .exits_with(2)
        .says(&["steps"]);

    let id = all[1]["id"].to_string();
    let shown = studio.tessera().arg("history").arg("show").arg(&id).run().exits_with(0);
    assert!(shown.stdout().contains("ball.mp4") && shown.stdout().contains("a red ball"));
    let json =
        studio.tessera().arg("history").arg("show").arg(&id).arg("--json").run().exits_with(0);
    let json: Value = serde_json::from_str(&json.stdout()).expect("an object");
    assert_eq!(json["receipt"]["request"]["prompt"], "a red ball");

    // One that is not there: none is forgotten.
    let remove = |ids: &[&str]| {
        let start = studio.tessera().arg("history").arg("remove");
        ids.iter().fold(start, super::studio::Tessera::arg).run()
    };
    remove(&[&id, "99"]).exits_with(2).says(&["99"]);
    assert_eq!(listed(&studio, &[]).len(), 2);
    remove(&[&id]).exits_with(0);
    assert!(studio.path("ball.mp4").exists());
    let other = all[0]["id"].to_string();
    remove(&[&other, "--with-video"]).exits_with(0);
    assert!(!studio.path("cube.mp4").exists() && listed(&studio, &[]).is_empty());
}

#[test]
fn two_programs_write_one_history() {
    let studio = Studio::new();
    std::thread::scope(|scope| {
        for prompt in ["a red ball", "a blue cube"] {
            let clips = studio
                .generate(prompt)
                .arg("--count=4")
                .arg(format!("--out={}/", prompt.replace(' ', "-")));
            scope.spawn(move || clips.run().exits_with(0));
        }
        // A third one that looks meanwhile is neither refused nor does it hold them up.
        for _ in 0..600 {
            if listed(&studio, &[]).len() == 8 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    for prompt in ["a red ball", "a blue cube"] {
        let mut seeds: Vec<u64> = listed(&studio, &prompt.split(' ').collect::<Vec<_>>())
            .iter()
            .filter_map(|row| row["request"]["seed"].as_u64())
            .collect();
        seeds.sort_unstable();
        assert_eq!(seeds, [0, 1, 2, 3], "{prompt}");
    }
}
