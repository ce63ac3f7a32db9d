//! Clips that wait. The engine gets one at a time, so that the others can be moved, changed and taken out until their turn.

use serde::{Deserialize, Serialize};
use tessera_pipeline::events::JobId;
use tessera_pipeline::request::Request;

/// A clip that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// Its number, which it keeps when it runs.
    pub(crate) id: JobId,
    /// What to make.
    pub(crate) request: Request,
}

/// The clips that wait, the next one first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Queue {
    waiting: Vec<Waiting>,
    last: u64,
    /// Nothing starts while it is held.
    pub(crate) is_held: bool,
}

impl Queue {
    /// Clips that waited when the window was closed. They wait until a person lets them go on.
    pub(crate) fn restore(requests: Vec<Request>) -> Self {
        let mut queue = Self { is_held: !requests.is_empty(), ..Self::default() };
        for request in requests {
            queue.add(request);
        }
        queue
    }

    /// A number that no other clip has.
    pub(crate) fn name(&mut self) -> JobId {
        self.last += 1;
        JobId(self.last)
    }

    /// Adds a clip at the end.
    pub(crate) fn add(&mut self, request: Request) -> JobId {
        let id = self.name();
        self.waiting.push(Waiting { id, request });
        id
    }

    /// Takes the next clip, unless the queue is held.
    pub(crate) fn next(&mut self) -> Option<Waiting> {
        if self.is_held || self.waiting.is_empty() { None } else { Some(self.waiting.remove(0)) }
    }

    /// Moves a clip so many places towards the end, or towards the front when negative.
    pub(crate) fn shift(&mut self, id: JobId, places: isize) {
        if let Some(at) = self.position(id) {
            let to = at.saturating_add_signed(places).min(self.waiting.len() - 1);
            let item = self.waiting.remove(at);
            self.waiting.insert(to, item);
        }
    }

    /// Adds the same clip again, right behind it.
    pub(crate) fn duplicate(&mut self, id: JobId) {
        if let Some(at) = self.position(id) {
            let request = self.waiting[at].request.clone();
            let id = self.name();
            self.waiting.insert(at + 1, Waiting { id, request });
        }
    }

    /// Takes a clip out.
    pub(crate) fn remove(&mut self, id: JobId) -> Option<Waiting> {
        self.position(id).map(|at| self.waiting.remove(at))
    }

    /// The clips that wait, the next one first.
    pub(crate) fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    fn position(&self, id: JobId) -> Option<usize> {
        self.waiting.iter().position(|item| item.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(queue: &Queue) -> Vec<u64> {
        queue.waiting().iter().map(|item| item.id.0).collect()
    }

    #[test]
    fn clips_move_double_and_leave() {
        let mut queue = Queue::default();
        let all: Vec<JobId> = (0..3).map(|_| queue.add(Request::default())).collect();
        queue.shift(all[2], -1);
        assert_eq!(ids(&queue), [1, 3, 2]);
        queue.shift(all[0], 9);
        assert_eq!(ids(&queue), [3, 2, 1]);
        queue.duplicate(all[1]);
        assert_eq!(ids(&queue), [3, 2, 4, 1]);
        queue.remove(all[2]);
        assert_eq!(queue.next().unwrap().id, JobId(2));
        queue.is_held = true;
        assert!(queue.next().is_none() && queue.waiting().len() == 2);
    }

    #[test]
    fn what_waited_at_the_end_waits_at_the_start() {
        let mut queue = Queue::restore(vec![Request::default()]);
        assert!(queue.is_held && queue.next().is_none());
        assert!(!Queue::restore(Vec::new()).is_held);
    }
}
