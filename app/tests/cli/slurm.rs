//! `tessera sweep --executor slurm` on a real Slurm of two nodes: the same figures as here, a killed task run again, a node
//! drained and resumed, nothing made twice; and what is said when Slurm will not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::studio::{Studio, Tessera};

const SWEEP: &str = r#"
version = 1
prompts = ["a red ball", "a blue cube"]
seeds = [0, 1]
repeats = 0

[settings]
width = 64
height = 64
frames = 9
steps = 4

[axes]
attention = ["psa", "tessera"]
density = [0.25, 0.5]

[slurm]
tasks = 2
"#;
const CLIPS: usize = 20;
/// Longest wait for something that a sweep does by itself.
const PATIENCE: Duration = Duration::from_mins(1);

impl Studio {
    fn sweep(&self, cluster: &Cluster, folder: &Path) -> Tessera {
        self.tessera()
            .arg("sweep")
            .arg(self.path("sweep.toml"))
            .path("--out", folder)
            .arg("--executor=slurm")
            .env("SLURM_CONF", &cluster.conf())
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Finished clips by key.
fn cells(folder: &Path) -> BTreeMap<String, Value> {
    let Ok(entries) = std::fs::read_dir(folder.join("cells")) else { return BTreeMap::new() };
    let read = |path: PathBuf| Some((path.file_stem()?.to_str()?.to_owned(), json(&path)?));
    entries.flatten().filter_map(|entry| read(entry.path())).collect()
}

/// What may not depend on where and when a clip was made.
fn figures(folder: &Path) -> BTreeMap<String, Value> {
    let mut cells = cells(folder);
    for cell in cells.values_mut() {
        let made = &mut cell["outcome"]["made"];
        assert!(made.is_object(), "{cell}");
        let kept = [
            "request",
            "fingerprint",
            "density",
            "density_sparse",
            "fallbacks",
            "fidelity",
            "latents",
        ];
        *made = kept.iter().map(|key| ((*key).to_owned(), made[key].take())).collect();
        cell["finished_at"].take();
    }
    cells
}

#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The process that makes a clip right now.
fn worker(folder: &Path) -> Option<u64> {
    let claims = std::fs::read_dir(folder.join("claims")).ok()?;
    let denoises = |doing: &Value| doing["phase"] == "denoise";
    claims.flatten().filter_map(|entry| json(&entry.path())).find(denoises)?["pid"].as_u64()
}

/// Takes a clip, so that the sweep cannot end before it is let go.
fn hold(folder: &Path) -> File {
    let path = wait_for("the plan", || {
        let plan = json(&folder.join("plan.json"))?;
        let key = plan["cells"].as_array()?.last()?["key"].as_str()?;
        folder.join("claims").is_dir().then(|| folder.join("claims").join(key))
    });
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.expect("the folder of claims takes files");
    file.try_lock().expect("it is the last clip, which nobody makes yet");
    file
}

/// Clips that tasks say they finished, by all logs together.
fn told(folder: &Path) -> usize {
    let logs = std::fs::read_dir(folder.join("slurm")).expect("logs").flatten();
    let logs = logs.filter(|entry| entry.path().extension().is_some_and(|end| end == "log"));
    let said = logs.map(|entry| std::fs::read_to_string(entry.path()).expect("a log"));
    said.map(|said| said.matches(&format!(" of {CLIPS}: ")).count()).sum()
}

#[test]
fn slurm_gives_what_this_machine_gives_through_a_kill_and_a_drain() {
    let studio = Studio::new();
    let Some(cluster) = Cluster::start(&studio.path("data/slurm")) else { return };
    studio.file("sweep.toml", SWEEP);
    let (here, shared) = (studio.path("here"), studio.path("shared"));
    let running = studio.sweep(&cluster, &shared).begin();
    let held = hold(&shared);

    let pid = wait_for("a clip that is being made", || worker(&shared));
    let killed = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
    assert!(killed.is_ok_and(|status| status.success()), "the worker is ours and alive");
    // Two jobs: the first with the task that lived, the second with the one that was killed.
    let jobs = |said: &str| said.lines().collect::<BTreeSet<_>>().len();
    let list = "squeue --me --noheader --array --states=RUNNING --format=%F";
    cluster.wait_for("second job", list, |said| jobs(said) == 2);

    cluster.slurm("scontrol update NodeName=n2 State=DRAIN Reason=test");
    let on_second = "squeue --me --noheader --array --states=RUNNING --nodelist=n2 --format=%i";
    let task = cluster.slurm(on_second);
    cluster.slurm(&format!("scontrol requeue {task}"));
    cluster.wait_for(
        "drained node",
        "sinfo --noheader --nodes=n2 --partition=main --format=%T",
        |said| said == "drained",
    );
    let standing = format!("squeue --noheader --array --jobs={task} --format=%T");
    assert_eq!(cluster.slurm(&standing), "PENDING");
    wait_for("all that one node can do", || (cells(&shared).len() == CLIPS - 1).then_some(()));
    cluster.slurm("scontrol update NodeName=n2 State=RESUME");
    cluster.wait_for("task that runs again", &standing, |said| said == "RUNNING");
    drop(held);

    let ran = running.wait().exits_with(0).says(&["2 tasks", "submitted again", "ended on n"]);
    assert!(!ran.stderr().contains("cancelled"), "{}", ran.stderr());
    studio.tessera().arg("sweep").arg("sweep.toml").path("--out", &here).run().exits_with(0);
    let (here, there) = (figures(&here), figures(&shared));
    assert_eq!(here.len(), CLIPS);
    assert_eq!(here, there);
    assert_eq!(told(&shared), CLIPS, "each clip was made once");

    // Once more: everything is there, so nothing is submitted.
    let again = studio.sweep(&cluster, &shared).run().exits_with(0);
    assert!(!again.stderr().contains("submitted"), "{}", again.stderr());
}

#[test]
fn what_slurm_refuses_is_told_in_its_own_words() {
    let studio = Studio::new();
    studio.file("sweep.toml", SWEEP);
    let Some(cluster) = Cluster::start(&studio.path("data/slurm")) else { return };
    let shared = studio.path("shared");
    studio.sweep(&cluster, &shared).env("PATH", "/nowhere").run().exits_with(2).says(&[
        "expected Slurm's commands",
        "on the PATH",
        "--executor local",
    ]);
    studio
        .sweep(&cluster, &shared)
        .arg("--partition=nowhere")
        .run()
        .exits_with(2)
        .says(&["sbatch refused", "invalid partition specified: nowhere"]);
    studio.sweep(&cluster, &shared).arg("--sbatch=--hold").run().exits_with(2).says(&[
        "submitted job",
        "held",
        "JobHeldUser",
        "scontrol release",
    ]);
    // The array of a call that ended is still there, and the next call finds it.
    studio
        .sweep(&cluster, &shared)
        .run()
        .exits_with(2)
        .says(&["2 tasks of an earlier call taken up", "held"]);
    cluster.slurm("scancel --me");
    if cluster.hides {
        studio
            .sweep(&cluster, &cluster.hidden().join("sweep"))
            .arg("--partition=blind")
            .arg("--tasks=1")
            .run()
            .exits_with(2)
            .says(&["no task is left", "on n2", "0:53", "left no log", "shared with this machine"]);
    }
}
