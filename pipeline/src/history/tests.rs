//! What is kept comes back, is found, and survives other programs, old tables and damage.

use super::*;
use crate::run::testing;

fn clip(prompt: &str, steps: u32) -> Receipt {
    let mut receipt = testing::receipt();
    receipt.request.prompt = prompt.into();
    receipt.request.steps = Some(steps);
    receipt
}

fn put(path: &Path, bytes: &[u8]) {
    crate::files::write_atomically(path, |file| std::io::Write::write_all(file, bytes)).unwrap();
}

fn find(history: &History, line: &str) -> Vec<i64> {
    history.find(&Query::parse(line)).unwrap()
}

#[test]
fn runs_come_back_and_their_speeds_feed_plans() {
    let folder = tempfile::tempdir().unwrap();
    let receipt = testing::receipt();
    let strip = Strip { frames: 2, size: [4, 1], rgb: (0..12).collect() };
    let id = History::open(folder.path()).unwrap().add(&receipt, Some(&strip)).unwrap();
    let history = History::open(folder.path()).unwrap();
    let rows = history.rows(&find(&history, "")).unwrap();
    assert_eq!((rows.len(), rows[0].id, rows[0].request.as_ref()), (1, id, Some(&receipt.request)));
    assert!(rows[0].is_gone, "there is no clip.mp4");
    assert_eq!(history.receipt(id).unwrap(), Some(receipt.clone()));
    assert_eq!(history.strip(id).unwrap(), Some(strip));
    let now = Conditions {
        device: receipt.ran_on.device.clone(),
        dtype: receipt.ran_on.dtype.clone(),
        kernels: receipt.ran_on.kernels.clone(),
        fingerprint: receipt.model.fingerprint.clone(),
    };
    assert_eq!(history.rates().unwrap().measured(Phase::Denoise, &now, 100.0), Some(50.0));
}

#[test]
fn words_and_settings_find_stars_and_tags_mark_and_removal_leaves_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    let video = folder.path().join("a.mp4");
    put(&video, b"x");
    let mut first = clip("a red ball at the café", 20);
    first.files[0].path = video.clone();
    first.request.negative = Some("blurry".into());
    let ids = [&first, &clip("a blue cube", 4), &clip("a red cone", 50)]
        .map(|receipt| history.add(receipt, None).unwrap());
    assert_eq!(find(&history, ""), [ids[2], ids[1], ids[0]], "newest first");
    assert_eq!(find(&history, "re ba"), [ids[0]], "beginnings of words");
    assert_eq!(
        find(&history, "CAFE blurry toybox"),
        [ids[0]],
        "negative prompt, model, no accents"
    );
    assert_eq!(find(&history, "steps>=20"), [ids[2], ids[0]]);
    assert_eq!(find(&history, "steps!=20 cube"), [ids[1]]);
    assert_eq!(find(&history, "guidance=5"), [] as [i64; 0], "a setting that was not given");
    assert_eq!(find(&history, "method=dense seconds<3").len(), 3);
    assert_eq!(find(&history, "\"* NEAR( OR"), [] as [i64; 0], "signs of the search are words");
    history.set_star(ids[1], true).unwrap();
    assert_eq!(find(&history, "starred=yes"), [ids[1]]);
    assert_eq!(
        history.set_tags(ids[1], " keeper,, two words ,keeper").unwrap(),
        "keeper, two words"
    );
    assert_eq!(find(&history, "keep"), [ids[1]], "tags are words too");
    assert_eq!(find(&history, "tag=\"two words\""), [ids[1]]);
    assert_eq!(find(&history, "tag=two"), [] as [i64; 0]);
    assert!(!history.rows(&[ids[0]]).unwrap()[0].is_gone);
    history.remove(ids[0]).unwrap();
    assert!(video.exists() && find(&history, "ball").is_empty());
    assert_eq!(history.receipt(ids[0]).unwrap(), None);
    assert_eq!(history.rates().unwrap().0.len(), 3, "what was measured stays true");
}

#[test]
fn a_history_of_a_newer_build_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::open(folder.path()).unwrap();
    history.connection.pragma_update(None, "user_version", 7).unwrap();
    let error = History::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("version 7"), "{error}");
}

#[test]
fn tables_of_the_first_build_become_these() {
    let folder = tempfile::tempdir().unwrap();
    let old = Connection::open(folder.path().join(FILE)).unwrap();
    schema::first_version(&old);
    let receipt = clip("an old teapot", 7);
    let text = serde_json::to_string(&receipt).unwrap();
    let sql = "INSERT INTO runs VALUES (?1, 5, 'an old teapot', 'toybox', 'f', 'v', 2.0, ?2)";
    old.execute(sql, params![1, text]).unwrap();
    old.execute(sql, params![2, "no receipt"]).unwrap();
    old.execute(
        "INSERT INTO speeds VALUES (1, 1, 'denoise', 'cpu', 'f32', 'k', 'f', 4.0, 2.0)",
        [],
    )
    .unwrap();
    drop(old);
    let history = History::open(folder.path()).unwrap();
    assert_eq!(find(&history, "teapot steps=7"), [1]);
    assert_eq!(history.receipt(1).unwrap(), Some(receipt));
    assert_eq!(history.rows(&[2, 1]).unwrap().len(), 2);
    assert!(history.receipt(2).is_err());
    assert_eq!(history.rates().unwrap().0.len(), 1, "speeds are kept");
}

#[test]
fn a_damaged_history_is_put_aside_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join(FILE), &[b'x'; 8192]);
    let history = History::open(folder.path()).unwrap();
    let told = history.told().unwrap();
    let aside = history.put_aside.clone().unwrap();
    assert!(told.contains(&aside.display().to_string()), "{told}");
    assert_eq!(std::fs::read(aside).unwrap(), vec![b'x'; 8192]);
    assert_eq!(History::open(folder.path()).unwrap().told(), None);
    assert_eq!(History::open_anew(folder.path()).unwrap().told(), None, "a whole one stays");
}

#[test]
fn pages_that_are_damaged_later_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let mut history = History::open(folder.path()).unwrap();
    for _ in 0..50 {
        history.add(&clip("a ball", 3), None).unwrap();
    }
    drop(history);
    let mut bytes = std::fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0xA5);
    put(&path, &bytes);
    let opened = History::open(folder.path());
    let history = match opened.and_then(|history| history.find(&Query::default()).map(|_| history))
    {
        Ok(history) => history,
        Err(error) => {
            assert!(is_damage(&error), "{error}");
            History::open_anew(folder.path()).unwrap()
        }
    };
    assert!(history.told().is_some());
    assert!(find(&history, "").is_empty());
}

#[test]
fn two_programs_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut history = History::open(folder.path()).unwrap();
                for _ in 0..20 {
                    history.add(&clip("a ball", 3), None).unwrap();
                }
            });
        }
    });
    assert_eq!(find(&History::open(folder.path()).unwrap(), "ball").len(), 40);
}

#[test]
fn ten_thousand_rows_are_read_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(folder.path()).unwrap();
    history.add(&clip("a red ball", 20), None).unwrap();
    history
        .connection
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
             INSERT INTO runs (id, finished_at, prompt, model, fingerprint, video, seconds, request)
             SELECT i, i, 'clip ' || i, model, fingerprint, video, seconds, request FROM runs, n WHERE id = 1",
        )
        .unwrap();
    let ids = find(&history, "");
    assert_eq!((ids.len(), ids[0], ids[9999]), (10_000, 10_000, 1));
    assert_eq!(history.rows(&ids[5000..5050]).unwrap().len(), 50);
    assert_eq!(find(&history, "clip 7777"), [7777]);
    let plan = |sql: &str, values: Vec<rusqlite::types::Value>| -> String {
        let mut statement =
            history.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows =
            statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3));
        rows.unwrap().map(|row| row.unwrap()).collect::<Vec<_>>().join("; ")
    };
    let row = plan(rows::ROW, vec![1.into()]);
    assert!(row.contains("SEARCH runs USING INTEGER PRIMARY KEY"), "{row}");
    for line in ["", "red ball", "starred=yes", "steps>5"] {
        let (sql, values) = Query::parse(line).sql();
        let plan = plan(&sql, values);
        assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{line}: {plan}");
        assert!(
            line != "red ball" || plan.contains("SEARCH runs USING INTEGER PRIMARY KEY"),
            "{plan}"
        );
        assert!(line != "starred=yes" || plan.contains("INDEX starred"), "{plan}");
    }
}
