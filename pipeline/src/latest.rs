//! A channel of one place, in which the newer value replaces the older one: the sender never waits and memory never grows.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// The sending end. It holds a receiver too, to take out what nobody has read.
#[derive(Debug)]
pub struct Latest<T> {
    sender: Sender<T>,
    unread: Receiver<T>,
}

impl<T> Latest<T> {
    /// Both ends.
    pub fn channel() -> (Self, Receiver<T>) {
        let (sender, receiver) = bounded(1);
        (Self { sender, unread: receiver.clone() }, receiver)
    }

    /// Puts a value in place of the one that waits, if any.
    pub fn put(&self, mut value: T) {
        while let Err(TrySendError::Full(back)) = self.sender.try_send(value) {
            let _ = self.unread.try_recv(); // the reader may have been quicker
            value = back;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_finds_the_newest_and_nothing_else() {
        let (latest, reader) = Latest::channel();
        for value in 0..5 {
            latest.put(value);
        }
        assert_eq!(reader.try_iter().collect::<Vec<_>>(), [4]);
        latest.put(7);
        assert_eq!(reader.try_recv(), Ok(7));
        drop(reader);
        latest.put(8);
        latest.put(9);
    }
}
