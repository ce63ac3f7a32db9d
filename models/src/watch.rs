//! How long calls are followed and cancelled: they tick, and the caller answers whether to go on.

use std::ops::ControlFlow;

use crate::{Error, Result};

/// Told about progress inside a long call, and asked whether to go on.
///
/// It is called between text-encoder layers, transformer blocks and VAE frame groups, and between tensors while loading.
/// Every `FnMut(usize, usize) -> ControlFlow<()>` is one.
pub trait Watch {
    /// `done` of `of` parts of the present call are finished. `Break` ends the call with [`Error::Cancelled`].
    fn tick(&mut self, done: usize, of: usize) -> ControlFlow<()>;
}

impl<F: FnMut(usize, usize) -> ControlFlow<()>> Watch for F {
    fn tick(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        self(done, of)
    }
}

/// The watch of a caller that does not look and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn tick(&mut self, _done: usize, _of: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Ticks, and turns `Break` into [`Error::Cancelled`].
pub fn tick(watch: &mut dyn Watch, done: usize, of: usize) -> Result<()> {
    match watch.tick(done, of) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_cancels_with_break() {
        let mut seen = Vec::new();
        let mut watch = |done: usize, of: usize| {
            seen.push((done, of));
            if done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        assert!(tick(&mut watch, 1, 3).is_ok());
        assert!(matches!(tick(&mut watch, 2, 3), Err(Error::Cancelled)));
        assert_eq!(seen, [(1, 3), (2, 3)]);
        assert!(tick(&mut Unwatched, 2, 3).is_ok());
    }
}
