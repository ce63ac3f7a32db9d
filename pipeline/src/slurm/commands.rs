//! Slurm's programs: what they are given, and their own words where they refuse.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Options;
use super::task::{FORMAT, Task, parse};
use crate::{Error, Result};

/// An array to submit.
pub(super) struct Submission<'a> {
    /// Name of the job.
    pub(super) name: &'a str,
    /// Tasks to run.
    pub(super) indices: &'a [u32],
    /// Where each task writes what it says: `JOB_TASK.log`.
    pub(super) logs: &'a Path,
    /// The script that each task runs.
    pub(super) script: &'a Path,
    /// What the person asked for.
    pub(super) options: &'a Options,
}

impl Submission<'_> {
    /// What `sbatch` is given. Ours stand here and not in the script, because there the environment (`SBATCH_…`) would win.
    pub(super) fn arguments(&self) -> Result<Vec<String>> {
        let indices: Vec<_> = self.indices.iter().map(ToString::to_string).collect();
        let mut arguments = vec![
            "--parsable".into(),
            format!("--job-name={}", self.name),
            format!("--array={}", indices.join(",")),
            format!("--output={}/%A_%a.log", text(self.logs)?.replace('%', "%%")),
            "--open-mode=append".into(), // a task that is queued again has the same log
        ];
        let Options { partition, time, gres, .. } = self.options;
        for (flag, value) in [("partition", partition), ("time", time), ("gres", gres)] {
            arguments.extend(value.as_ref().map(|value| format!("--{flag}={value}")));
        }
        arguments.push(text(self.script)?.into());
        Ok(arguments)
    }

    /// Submits it: the number of the job.
    pub(super) fn sbatch(&self) -> Result<u64> {
        let said = run("sbatch", self.arguments()?)?;
        let number = said.trim().split(';').next().unwrap_or_default(); // `12`, or `12;cluster`
        number.parse().map_err(|error| Error::Slurm {
            reason: format!("expected the number of a job from sbatch, got {said:?} ({error})"),
        })
    }
}

/// Every task of the jobs of this name and user: those that live, and for some minutes those that ended.
pub(super) fn squeue(name: &str) -> Result<Vec<Task>> {
    let name = format!("--name={name}");
    let format = format!("--format={FORMAT}");
    let arguments = ["--me", "--all", "--array", "--noheader", "--states=all", &name, &format];
    run("squeue", arguments).map(|said| parse(&said))
}

/// Takes those out of the queue that have not started.
pub(super) fn cancel_waiting(name: &str) -> Result<()> {
    run("scancel", ["--me", "--state=PENDING", &format!("--name={name}")]).map(drop)
}

/// A task's exit code and signal in Slurm's notation, `CODE:SIGNAL`; `None` where Slurm has forgotten it.
pub(super) fn exit_code(task: &Task) -> Option<String> {
    let said = run("scontrol", ["--oneliner", "show", "job", &task.id()]).ok()?;
    said.split_whitespace().find_map(|field| field.strip_prefix("ExitCode=")).map(str::to_owned)
}

/// A path of ours as text: Slurm's programs take no others.
pub(super) fn text(path: &Path) -> Result<&str> {
    path.to_str().filter(|path| !path.contains('\n')).ok_or_else(|| Error::Slurm {
        reason: format!(
            "expected a folder whose name is UTF-8 on one line, got {}; name another with --out",
            path.display()
        ),
    })
}

/// Runs a program to its end: what it printed.
fn run(program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
    let ended = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = ended.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::Slurm {
            reason: format!(
                "expected Slurm's commands, got no {program} on the PATH; run this on a machine that submits to Slurm, or use --executor local"
            ),
        },
        _ => Error::Io { path: PathBuf::from(program), source: error },
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(Error::Slurm { reason: format!("{program} refused:\n{said}") })
}
