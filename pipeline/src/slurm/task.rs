//! One task of an array, as `squeue` tells it.

/// What [`parse`] reads, for `squeue --format`.
pub(super) const FORMAT: &str = "%i|%T|%r|%N";

/// A task that the scheduler knows, alive or ended not long ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// Number of the job; a task that is submitted again has a higher one.
    pub(super) job: u64,
    /// Index in the array.
    pub(super) index: u32,
    /// Where it stands.
    pub(super) standing: Standing,
    /// Where it runs or ran; empty before that.
    pub(super) node: String,
}

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// In the queue, for Slurm's reason.
    Waiting(String),
    /// On a node.
    Running,
    /// Ended without an error.
    Done,
    /// Somebody cancelled it.
    Cancelled,
    /// Ended in another way: Slurm's word for it, such as `TIMEOUT`.
    Failed(String),
}

impl Task {
    /// The name that Slurm's commands take: `12_3`.
    pub(super) fn id(&self) -> String {
        format!("{}_{}", self.job, self.index)
    }

    /// Whether it works or will.
    pub(super) fn lives(&self) -> bool {
        matches!(self.standing, Standing::Waiting(_) | Standing::Running)
    }

    /// What became of a task that waited, and of which Slurm knows nothing any more: of those that somebody takes out of the queue it
    /// keeps no account.
    pub(super) fn withdrawn(&self) -> Option<Self> {
        let waited = matches!(self.standing, Standing::Waiting(_));
        waited.then(|| Self { standing: Standing::Cancelled, ..self.clone() })
    }

    /// Whether it waits for a person to let it go.
    pub(super) fn is_held(&self) -> bool {
        let Standing::Waiting(reason) = &self.standing else { return false };
        let reason = reason.to_lowercase();
        reason.contains("held") || reason.contains("jobhold")
    }
}

impl Standing {
    /// Slurm's states, `squeue`(1). One that is unknown here counts as running: nothing is submitted twice for it.
    fn new(state: &str, reason: &str) -> Self {
        match state {
            "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" => {
                Self::Waiting(reason.into())
            }
            "SPECIAL_EXIT" => Self::Waiting("held in a special exit state".into()),
            "COMPLETED" => Self::Done,
            "CANCELLED" => Self::Cancelled,
            "FAILED" | "TIMEOUT" | "NODE_FAIL" | "OUT_OF_MEMORY" | "PREEMPTED" | "BOOT_FAIL"
            | "DEADLINE" | "REVOKED" => Self::Failed(state.into()),
            _ => Self::Running,
        }
    }
}

/// Reads what `squeue` prints in [`FORMAT`]; lines that are no task of an array are passed over.
pub(super) fn parse(text: &str) -> Vec<Task> {
    let task = |line: &str| {
        let mut fields = line.trim().splitn(4, '|');
        let (job, index) = fields.next()?.split_once('_')?;
        let (state, reason) = (fields.next()?, fields.next()?);
        Some(Task {
            job: job.parse().ok()?,
            index: index.parse().ok()?,
            standing: Standing::new(state, reason),
            node: fields.next()?.trim_start_matches("(null)").into(),
        })
    };
    text.lines().filter_map(task).collect()
}
