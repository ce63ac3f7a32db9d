//! A Slurm cluster of two nodes on this machine: Debian's slurmctld, slurmd and munged as plain processes of the test, in its folder.
//!
//! Nothing of the system's own configuration is read or changed, and no root is needed. It ends with the test, in whatever way
//! the test ends: each daemon gets a signal when the process that started it dies.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::studio::put;

/// What it is made of, with where Debian keeps it.
const PROGRAMS: [&str; 6] = ["munged", "slurmctld", "slurmd", "sbatch", "scontrol", "setpriv"];
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Longest wait for anything that a cluster does by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// The cluster: partition `main` has both nodes, `n1` and `n2`, a CPU each; partition `blind` has `n2` alone.
pub(crate) struct Cluster {
    folder: PathBuf,
    daemons: Vec<Child>,
    /// Whether [`Cluster::hidden`] is empty on node `n2`.
    pub(crate) hides: bool,
}

impl Cluster {
    /// Starts one in an empty folder; `None`, and a sentence, where Slurm is not installed.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        if let Some(missing) = PROGRAMS.iter().find(|program| find(program).is_none()) {
            eprintln!("not run: no {missing} here (Debian: apt-get install slurm-wlm munge)");
            return None;
        }
        std::fs::create_dir_all(folder).expect("a folder");
        let folder = folder.canonicalize().expect("it is there");
        let mut cluster = Self { folder, daemons: Vec::new(), hides: false };
        for name in ["state", "hidden", "log"] {
            std::fs::create_dir_all(cluster.path(name)).expect("a folder");
        }
        // Any bytes do: the key keeps strangers of the network out, and there is no network here.
        put(&cluster.path("munge.key"), format!("{:64}", std::process::id()).as_bytes());
        let locked = Command::new("chmod").arg("400").arg(cluster.path("munge.key")).status();
        assert!(locked.is_ok_and(|status| status.success()), "the key is ours");
        put(&cluster.path("slurm.conf"), cluster.configuration().as_bytes());
        cluster.start_daemons();
        Some(cluster)
    }

    /// Variables that let Slurm's commands find this cluster.
    pub(crate) fn conf(&self) -> String {
        self.path("slurm.conf").display().to_string()
    }

    /// A folder that node `n2` sees empty, where the system lets us arrange that.
    pub(crate) fn hidden(&self) -> PathBuf {
        self.path("hidden")
    }

    /// Runs one of Slurm's commands: what it printed.
    #[track_caller]
    pub(crate) fn slurm(&self, line: &str) -> String {
        let output = self.command(line).output().expect("Slurm's commands are there");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Asks again until the answer is right.
    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        what: &str,
        line: &str,
        is_right: impl Fn(&str) -> bool,
    ) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let output = self.command(line).output().expect("Slurm's commands are there");
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if output.status.success() && is_right(&said) {
                return said;
            }
            assert!(
                Instant::now() < until,
                "no {what}: {line} says {said:?}{}\n{}",
                String::from_utf8_lossy(&output.stderr),
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let program = words.next().and_then(find).expect("a program of Slurm's");
        let mut command = Command::new(program);
        command.args(words).env("SLURM_CONF", self.path("slurm.conf"));
        command
    }

    fn configuration(&self) -> String {
        let user = Command::new("id").arg("-un").output().expect("every Unix has it");
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        let [control, first, second] = free_ports();
        let folder = self.folder.display();
        let mut text = format!(
            "ClusterName=tessera\n\
             SlurmctldHost=localhost(127.0.0.1)\n\
             SlurmctldPort={control}\n\
             SlurmUser={user}\n\
             SlurmdUser={user}\n\
             AuthType=auth/munge\n\
             AuthInfo=socket={folder}/munge.sock,cred_expire=5\n\
             CredType=cred/munge\n\
             StateSaveLocation={folder}/state\n\
             SlurmdSpoolDir={folder}/spool.%n\n\
             SlurmctldPidFile={folder}/slurmctld.pid\n\
             SlurmdPidFile={folder}/slurmd.%n.pid\n\
             ProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\n\
             MpiDefault=none\n\
             SelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU\n\
             SchedulerType=sched/builtin\n\
             SchedulerParameters=sched_interval=1,batch_sched_delay=0\n\
             JobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\n\
             SlurmdParameters=config_overrides\n\
             ReturnToService=2\n\
             KillWait=2\n\
             MailProg=/bin/true\n"
        );
        // cred_expire is also how long a task that is queued again must wait; Slurm's own is two minutes.
        for (node, port) in [("n1", first), ("n2", second)] {
            let _ = writeln!(
                text,
                "NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=1"
            );
        }
        text.push_str("PartitionName=main Nodes=n1,n2 Default=YES State=UP\n");
        text.push_str("PartitionName=blind Nodes=n2 State=UP\n");
        text
    }

    fn start_daemons(&mut self) {
        let folder = self.folder.display().to_string();
        self.daemon(
            "munged",
            &format!(
                "munged --foreground --force --num-threads=1 --socket={folder}/munge.sock --key-file={folder}/munge.key --pid-file={folder}/munged.pid --seed-file={folder}/munged.seed"
            ),
        );
        self.wait_for_file("munge.sock");
        self.daemon("slurmctld", &format!("slurmctld -D -i -f {folder}/slurm.conf"));
        self.wait_for("controller", "scontrol ping", |said| said.contains("is UP"));
        self.daemon("n1", &format!("slurmd -D -N n1 -f {folder}/slurm.conf"));
        let second = format!("slurmd -D -N n2 -f {folder}/slurm.conf");
        let hide = format!("mount -t tmpfs tmpfs {folder}/hidden");
        let own_mounts = "unshare --mount --propagation private --";
        self.hides =
            shell(&format!("{own_mounts} {hide}")).status().is_ok_and(|ended| ended.success());
        if self.hides {
            self.daemon("n2", &format!("{own_mounts} sh -c '{hide} && exec {second}'"));
        } else {
            self.daemon("n2", &second);
        }
        self.wait_for(
            "node is idle",
            "sinfo --noheader --Node --partition=main --format=%T",
            |said| said == "idle\nidle",
        );
    }

    fn daemon(&mut self, name: &str, line: &str) {
        let log = std::fs::File::create(self.path("log").join(name)).expect("a log");
        let both = log.try_clone().expect("a second handle");
        // The signal comes when the thread that starts this ends, which is the test's own.
        let started = shell(&format!("exec setpriv --pdeathsig TERM {line}"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(both)
            .spawn();
        self.daemons.push(started.expect("it starts"));
    }

    #[track_caller]
    fn wait_for_file(&self, name: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.path(name).exists() {
            assert!(Instant::now() < until, "no {name}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last lines of every daemon.
    fn logs(&self) -> String {
        let mut text = String::new();
        for name in ["munged", "slurmctld", "n1", "n2"] {
            let said = std::fs::read_to_string(self.path("log").join(name)).unwrap_or_default();
            let lines: Vec<_> = said.lines().collect();
            let last = lines[lines.len().saturating_sub(8)..].join("\n");
            let _ = writeln!(text, "{name}:\n{last}");
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Jobs first: a node that is gone no longer ends them. None of this may fail a test that is over.
        let _ = self.command("scancel --me").status();
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until
            && self.command("squeue --noheader").output().is_ok_and(|said| !said.stdout.is_empty())
        {
            std::thread::sleep(Duration::from_millis(100));
        }
        for daemon in self.daemons.iter_mut().rev() {
            let _ = shell(&format!("kill {}", daemon.id())).status();
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until && matches!(daemon.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A line for the shell, with the places of daemons on its path: a plain user's often lacks them.
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("PATH", PLACES.join(":")).stderr(Stdio::null());
    command
}

fn find(program: &str) -> Option<PathBuf> {
    PLACES.iter().map(|place| Path::new(place).join(program)).find(|path| path.is_file())
}

/// Ports that nobody listens on.
fn free_ports() -> [u16; 3] {
    // All three are held until the last is known, so that they differ.
    let held = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.each_ref().map(|listener| listener.local_addr().expect("it is bound").port())
}
