//! The thread that writes a recording, so that attention does not wait for compression and disks, nor for copies from a GPU.
//!
//! What came in is committed as soon as nothing more waits: a reader, or whoever looks after a crash, is at most one call
//! behind.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError};
use tessera_kernels::gpu::Fetch;
use tessera_kernels::levels::Densities;
use tessera_kernels::order::{self, AxisOrder, Order, Volume};

use super::probe::values;
use crate::Result;
use crate::events::EventKind;
use crate::recording::{Call, Cost, Kind, Meta, Outcome, Place, Writer};

/// Something to be written.
pub(super) enum Message {
    /// Something that happened.
    Event { at_ms: u64, event: Box<EventKind> },
    /// How a call was answered, and its densities, which it does not hold yet.
    Call(Box<Call>, Densities),
    /// A new map: levels `[B, H, rows, columns]` U8, those of `pinned` heads to be kept in full; where the method
    /// sorted keys, the token of the model's sequence at each key of these heads.
    Map { id: u32, levels: Fetch, pinned: Vec<usize>, keys: Option<Vec<(usize, Order)>> },
    /// A new token order.
    Order { id: u32, order: Order },
    /// Attention, scores or a row.
    Capture { kind: Kind, place: Place, head: usize, token: Option<usize>, values: Values },
    /// The clip before a step.
    Latents { step: usize, latents: Fetch },
    /// The end, with the last event.
    Finish { at_ms: u64, last: Box<EventKind>, outcome: Outcome, cost: Cost },
}

/// Numbers in row-major order.
pub(super) enum Values {
    Here(Vec<f32>),
    /// On their way from where they were computed.
    Coming(Fetch),
}

impl Values {
    fn read(self) -> Result<Vec<f32>> {
        match self {
            Self::Here(numbers) => Ok(numbers),
            Self::Coming(fetch) => values(&fetch.finish()?),
        }
    }
}

/// Writes until the end, and answers with the file's size; `None` when the sender went away before it.
pub(super) fn work(
    mut writer: Writer,
    meta: &Meta,
    inbox: &Receiver<Message>,
) -> Result<Option<u64>> {
    let mut names = None;
    let mut busy = Duration::ZERO;
    loop {
        let message = match inbox.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                writer.commit()?;
                match inbox.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                }
            }
        };
        let begun = Instant::now();
        match message {
            Message::Event { at_ms, event } => writer.event(at_ms, &event)?,
            Message::Call(mut call, densities) => {
                call.densities = densities.read()?;
                writer.call(&call)?;
            }
            Message::Map { id, levels, pinned, keys } => {
                let levels = levels.finish()?.flatten_all()?.to_vec1::<u8>()?;
                writer.map(id, &levels, meta, &pinned, keys.as_deref())?;
            }
            Message::Order { id, order } => {
                let names = names.get_or_insert_with(|| named(meta));
                let name = names.iter().find(|(_, known)| *known == order);
                writer.order(id, name.map(|(name, _)| name.as_str()), order.tokens())?;
            }
            Message::Capture { kind, place, head, token, values } => {
                writer.capture(kind, place, head, token, &values.read()?)?;
            }
            Message::Latents { step, latents } => {
                writer.latents(step, meta.capture.latents, &values(&latents.finish()?)?)?;
            }
            Message::Finish { at_ms, last, outcome, cost } => {
                writer.event(at_ms, &last)?;
                writer.cost(&Cost { thread_seconds: busy.as_secs_f64(), ..cost })?;
                return writer.finish(&outcome).map(Some);
            }
        }
        busy += begun.elapsed();
    }
    writer.commit()?;
    Ok(None)
}

/// The orders that have a name, over this clip's tokens.
fn named(meta: &Meta) -> Vec<(String, Order)> {
    let grid = meta.grid;
    let volume = Volume { frames: grid.frames, rows: grid.rows, columns: grid.cols };
    let axes = AxisOrder::ALL.iter().map(|axes| (axes.to_string(), order::axes(volume, *axes)));
    let curves = [
        ("gilbert".to_owned(), order::gilbert(volume)),
        ("morton".to_owned(), order::morton(volume)),
    ];
    axes.chain(curves).map(|(name, order)| (name, order.then_text(meta.text_tokens))).collect()
}
