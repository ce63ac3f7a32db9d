//! What can be known of Slurm without one: lines that are read, scripts that are written. With a real one: `app/tests/cli/slurm.rs`.

use std::path::Path;

use super::Options;
use super::array::job_script;
use super::commands::Submission;
use super::task::{Standing, Task, parse};

/// As Slurm 22.05 prints them.
const SQUEUE: &str = "\
6_1|PENDING|BeginTime|
6_2|RUNNING|None|n2
5_1|PENDING|JobHeldUser|
4_1|FAILED|JobLaunchFailure|n1
3_1|CANCELLED|None|n1
3_2|COMPLETED|None|(null)
2_1|PENDING|launch failed requeued held|
2_2|LEVITATING|None|n1
77|RUNNING|None|n1
";

fn task<'a>(tasks: &'a [Task], id: &str) -> &'a Task {
    tasks.iter().find(|task| task.id() == id).unwrap()
}

#[test]
fn tasks_are_read_as_squeue_prints_them() {
    let tasks = parse(SQUEUE);
    assert_eq!(tasks.len(), 8, "a job that is no array is none of ours");
    assert_eq!(task(&tasks, "6_1").standing, Standing::Waiting("BeginTime".into()));
    assert_eq!(task(&tasks, "6_2").node, "n2");
    assert_eq!(task(&tasks, "4_1").standing, Standing::Failed("FAILED".into()));
    assert_eq!(task(&tasks, "3_1").standing, Standing::Cancelled);
    assert_eq!(task(&tasks, "3_2").standing, Standing::Done);
    let living: Vec<_> = tasks.iter().filter(|task| task.lives()).map(Task::id).collect();
    assert_eq!(living, ["6_1", "6_2", "5_1", "2_1", "2_2"]);
    let held: Vec<_> = tasks.iter().filter(|task| task.is_held()).map(Task::id).collect();
    assert_eq!(held, ["5_1", "2_1"]);
}

#[test]
fn the_script_is_what_was_asked_for() {
    let options = Options {
        sbatch: vec!["--account=lab".into(), "#SBATCH -c 8".into()],
        ..Options::default()
    };
    let script =
        job_script(&["/opt/a b/tessera", "sweep", "it's"].map(Path::new), &options).unwrap();
    assert_eq!(
        script,
        "#!/bin/sh\n#SBATCH --requeue\n#SBATCH --account=lab\n#SBATCH -c 8\n\
         # One task of the array: it works until nothing is left. Queued again, it goes on.\n\
         exec '/opt/a b/tessera' 'sweep' 'it'\\''s'\n"
    );
    for wrong in ["rm -rf x", "--comment=a\nrm -rf x", ""] {
        let options = Options { sbatch: vec![wrong.into()], ..Options::default() };
        let error = job_script(&[Path::new("tessera")], &options).unwrap_err().to_string();
        assert!(error.contains("an option of sbatch on one line"), "{error}");
    }
}

#[test]
fn what_sbatch_is_given() {
    let options = Options {
        partition: Some("gpu".into()),
        time: Some("2:00:00".into()),
        gres: Some("gpu:1".into()),
        ..Options::default()
    };
    let submission = Submission {
        name: "tessera-1",
        indices: &[1, 3],
        logs: Path::new("/a/100%/slurm"),
        script: Path::new("/a/100%/slurm/job.sh"),
        options: &options,
    };
    assert_eq!(
        submission.arguments().unwrap(),
        [
            "--parsable",
            "--job-name=tessera-1",
            "--array=1,3",
            "--output=/a/100%%/slurm/%A_%a.log",
            "--open-mode=append",
            "--partition=gpu",
            "--time=2:00:00",
            "--gres=gpu:1",
            "/a/100%/slurm/job.sh",
        ]
    );
}

#[test]
fn flags_win_over_the_file() {
    let file = Options {
        tasks: Some(8),
        partition: Some("cpu".into()),
        sbatch: vec!["--account=lab".into()],
        ..Options::default()
    };
    let flags = Options {
        partition: Some("gpu".into()),
        sbatch: vec!["--account=mine".into()],
        ..Options::default()
    };
    let both = flags.or(&file);
    assert_eq!((both.tasks, both.partition.as_deref()), (Some(8), Some("gpu")));
    assert_eq!(both.sbatch, ["--account=lab", "--account=mine"]);
}
