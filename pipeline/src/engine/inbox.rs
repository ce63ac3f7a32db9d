//! Commands on their way to the engine: read in order, except that a cancellation overtakes what it cancels.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, TryRecvError};

use crate::events::{Command, JobId};

/// The engine's end of the command channel and what was read from it ahead of time.
pub(crate) struct Inbox {
    commands: Receiver<Command>,
    waiting: VecDeque<Command>,
    /// Jobs that were cancelled while they waited and have not been told so.
    cancelled: Vec<JobId>,
    /// Whether the running job is to rest.
    is_paused: bool,
    is_closing: bool,
}

impl Inbox {
    pub(crate) fn new(commands: Receiver<Command>) -> Self {
        Self {
            commands,
            waiting: VecDeque::new(),
            cancelled: Vec::new(),
            is_paused: false,
            is_closing: false,
        }
    }

    /// The next command; waits for one. `None` when there will be none.
    pub(crate) fn next(&mut self) -> Option<Command> {
        if self.is_closing {
            return None;
        }
        self.waiting.pop_front().or_else(|| self.commands.recv().ok())
    }

    /// Reads what has arrived, and says whether the running job is to stop.
    pub(crate) fn stops(&mut self, running: JobId) -> bool {
        let mut stop = self.is_closing;
        loop {
            match self.commands.try_recv() {
                Ok(command) => stop |= self.take(command, running),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.is_closing = true;
                    break;
                }
            }
        }
        stop || self.is_closing
    }

    /// While the running job is to rest: waits for the next command. Whether the job is to stop.
    pub(crate) fn rests(&mut self, running: JobId) -> bool {
        // Without senders nobody is left who could let it go on.
        let stop = match self.commands.recv() {
            Ok(command) => self.take(command, running),
            Err(_) => true,
        };
        stop || self.is_closing
    }

    /// Whether the running job is to rest.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// A job begins, which nobody can have paused yet.
    pub(crate) fn begin(&mut self) {
        self.is_paused = false;
    }

    /// Takes in a command that has arrived while a job runs; whether it stops that job.
    fn take(&mut self, command: Command, running: JobId) -> bool {
        match command {
            Command::Cancel { job } if job == running => return true,
            Command::Cancel { job } => {
                if self.was_waiting(job) {
                    self.cancelled.push(job);
                }
            }
            Command::Pause { job } => self.is_paused |= job == running,
            Command::Continue { job } => self.is_paused &= job != running,
            Command::Shutdown => self.is_closing = true,
            command => self.waiting.push_back(command),
        }
        false
    }

    /// Takes a waiting job out of the queue; whether it was there.
    pub(crate) fn was_waiting(&mut self, job: JobId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|command| job_of(command) != Some(job));
        self.waiting.len() < before
    }

    /// Jobs cancelled while they waited, each once.
    pub(crate) fn take_cancelled(&mut self) -> Vec<JobId> {
        std::mem::take(&mut self.cancelled)
    }

    /// Every job that will not run any more.
    pub(crate) fn rest(&mut self) -> Vec<JobId> {
        let mut jobs = self.take_cancelled();
        jobs.extend(self.waiting.drain(..).filter_map(|command| job_of(&command)));
        jobs.extend(self.commands.try_iter().filter_map(|command| job_of(&command)));
        jobs
    }
}

/// The job that a command starts.
fn job_of(command: &Command) -> Option<JobId> {
    match command {
        Command::Generate { job, .. } | Command::Resume { job, .. } => Some(*job),
        Command::Cancel { .. }
        | Command::Pause { .. }
        | Command::Continue { .. }
        | Command::Shutdown => None,
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    fn generate(id: u64) -> Command {
        Command::Generate { job: JobId(id), request: Box::default() }
    }

    #[test]
    fn a_cancellation_overtakes_and_the_rest_keeps_its_order() {
        let (send, receive) = bounded(10);
        let mut inbox = Inbox::new(receive);
        for command in [generate(2), generate(3), Command::Cancel { job: JobId(2) }, generate(4)] {
            send.send(command).unwrap();
        }
        assert!(!inbox.stops(JobId(1)));
        assert_eq!(inbox.take_cancelled(), [JobId(2)]);
        assert_eq!(inbox.next(), Some(generate(3)));
        send.send(Command::Cancel { job: JobId(3) }).unwrap();
        assert!(inbox.stops(JobId(3)));
        assert_eq!(inbox.next(), Some(generate(4)));
        send.send(Command::Shutdown).unwrap();
        assert!(inbox.stops(JobId(4)));
        assert_eq!(inbox.next(), None);
    }

    #[test]
    fn only_the_running_job_is_paused_and_the_next_one_is_not() {
        let (send, receive) = bounded(10);
        let mut inbox = Inbox::new(receive);
        send.send(Command::Pause { job: JobId(2) }).unwrap();
        assert!(!inbox.stops(JobId(1)) && !inbox.is_paused());
        send.send(Command::Pause { job: JobId(1) }).unwrap();
        assert!(!inbox.stops(JobId(1)) && inbox.is_paused());
        send.send(Command::Continue { job: JobId(2) }).unwrap();
        assert!(!inbox.rests(JobId(1)) && inbox.is_paused());
        send.send(Command::Continue { job: JobId(1) }).unwrap();
        assert!(!inbox.rests(JobId(1)) && !inbox.is_paused());
        send.send(Command::Pause { job: JobId(1) }).unwrap();
        assert!(!inbox.stops(JobId(1)));
        inbox.begin();
        assert!(!inbox.is_paused());
        drop(send);
        assert!(inbox.rests(JobId(2)), "nobody is left who could let it go on");
    }

    #[test]
    fn senders_that_are_gone_end_the_running_job() {
        let (send, receive) = bounded(1);
        drop(send);
        assert!(Inbox::new(receive).stops(JobId(1)));
    }
}
