//! What every command-line test starts from: a temporary folder, the real binary, a model folder to spoil.
//!
//! ```ignore
//! let studio = Studio::new();
//! studio.generate("a red ball").arg("--width=17").run().exits_with(2).says(&["--width"]);
//! ```
//!
//! Every run has its own data folder and its own current folder, so tests neither see each other nor
//! the person whose machine this is. Clips are 64×64×5 with two steps: a run takes a second or two.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::model::Model;

/// A temporary folder in which `tessera` is run.
pub(crate) struct Studio {
    dir: tempfile::TempDir,
}

impl Studio {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A path inside the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A copy of the bundled model that a test may spoil.
    pub(crate) fn model(&self) -> Model {
        Model::copy_to(&self.path("model"))
    }

    /// Writes a small file and returns its path.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        put(&path, bytes.as_ref());
        path
    }

    /// `tessera`, without arguments.
    pub(crate) fn tessera(&self) -> Tessera {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command
            .current_dir(self.dir.path())
            .env("TESSERA_DATA_DIR", self.path("data"))
            .env("TESSERA_ASSETS", assets())
            .env_remove("TESSERA_MEMORY_LIMIT")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        Tessera { command }
    }

    /// `tessera generate PROMPT`, as small and quick as the model allows.
    pub(crate) fn generate(&self, prompt: &str) -> Tessera {
        self.tessera().arg("generate").arg(prompt).small()
    }

    /// Every file below the folder that is neither the model nor the history, sorted, as relative paths.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(self.dir.path(), self.dir.path(), &mut found);
        found.retain(|name| !name.starts_with("model/") && !name.starts_with("data/"));
        found.sort();
        found
    }
}

/// A command line in the making.
pub(crate) struct Tessera {
    command: Command,
}

impl Tessera {
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds a flag whose value is a path.
    pub(crate) fn path(self, flag: &str, path: impl AsRef<Path>) -> Self {
        self.arg(flag).arg(path.as_ref())
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// As on a server: nothing to open a window on.
    pub(crate) fn without_display(mut self) -> Self {
        for name in ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"] {
            self.command.env_remove(name);
        }
        self
    }

    /// The size that every test uses unless it is about sizes.
    pub(crate) fn small(self) -> Self {
        self.arg("--width=64").arg("--height=64").arg("--frames=5").arg("--steps=2")
    }

    /// Runs to the end.
    pub(crate) fn run(mut self) -> Ran {
        Ran { output: self.command.output().expect("tessera starts") }
    }

    /// Starts it and gives the process.
    pub(crate) fn spawn(mut self) -> Child {
        let quiet = self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        quiet.spawn().expect("tessera starts")
    }

    /// Starts it, to be waited for later.
    pub(crate) fn begin(mut self) -> Spawned {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Spawned { child: Some(self.command.spawn().expect("tessera starts")) }
    }

    /// Starts it with `--events jsonl` and gives the events one by one.
    pub(crate) fn start(mut self) -> Running {
        self.command.arg("--events=jsonl").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("tessera starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        Running { child, lines: BufReader::new(stdout).lines() }
    }
}

/// A run that has ended, to be asked about.
pub(crate) struct Ran {
    output: Output,
}

impl Ran {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The run ended with this code.
    #[track_caller]
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(
            self.output.status.code(),
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// Standard error holds each of these; a wrapped line counts as one.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        let said = self.stderr().split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in:\n{}", self.stderr());
        }
        self
    }

    /// Standard error does not speak of our own insides.
    #[track_caller]
    pub(crate) fn without_a_panic(self) -> Self {
        assert!(!self.stderr().contains("panicked"), "{}", self.stderr());
        self
    }
}

/// A run that says little and has not ended.
pub(crate) struct Spawned {
    child: Option<Child>,
}

impl Spawned {
    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ran {
        let child = self.child.take().expect("it is waited for once");
        Ran { output: child.wait_with_output().expect("it ends") }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        // As of a Running.
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A run that has not ended.
pub(crate) struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    /// Reads events until one satisfies the test; the stream ending first is a failure.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.expect("events are text");
            let event: Value = serde_json::from_str(&line).expect("each line is JSON");
            if wanted(&event) {
                return event;
            }
            seen.push(line);
        }
        panic!("no event was {what}; seen:\n{}\nstderr:\n{}", seen.join("\n"), self.stderr());
    }

    /// Reads what is left and returns every event of it.
    pub(crate) fn rest(&mut self) -> Vec<Value> {
        self.lines
            .by_ref()
            .map(|line| serde_json::from_str(&line.expect("events are text")).expect("JSON"))
            .collect()
    }

    /// SIGKILL: no handler runs.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("it ends");
    }

    /// SIGINT, as Ctrl-C sends it.
    pub(crate) fn interrupt(&self) {
        // The shell's own kill: a bare Debian has no program of that name.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -INT {}", self.child.id())])
            .status()
            .expect("sh is on every Unix");
        assert!(status.success(), "the process is ours and alive");
    }

    /// Waits for the end: exit code and standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let stderr = self.stderr();
        (self.child.wait().expect("it ends").code(), stderr)
    }

    fn stderr(&mut self) -> String {
        self.child
            .stderr
            .take()
            .map(|pipe| std::io::read_to_string(pipe).unwrap_or_default())
            .unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed assertion must not leave a process behind; one that has ended is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a file of a test, replacing the name and not the bytes behind it: models are hard links.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).expect("the folder can be made");
    }
    let _ = std::fs::remove_file(path);
    #[expect(clippy::disallowed_methods, reason = "a test's input, never a result")]
    std::fs::write(path, bytes).expect("the temporary folder takes files");
}

/// The bundled data of this checkout.
pub(crate) fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets")
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the folder is ours").flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).expect("below the root").display().to_string());
        }
    }
}
