//! What stays on the engine's desk between jobs: the packed transformer and decoder of the last model, and the text rows of the
//! last prompts. The text encoder never stays; it is read a block at a time and gone before the transformer comes.

use candle_core::Device;
use tessera_models::text::TextRows;
use tessera_models::wan::{WanDecoder, WanTransformer};

use super::Options;
use crate::history::History;
use crate::machine::Machine;
use crate::plan::rates::Rates;
use crate::{Result, machine};

/// The engine's possessions.
pub(crate) struct Studio {
    options: Options,
    pub(crate) resident: Option<Resident>,
    pub(crate) rows: Option<Rows>,
}

/// A model in memory.
pub(crate) struct Resident {
    /// Which weights.
    pub(crate) fingerprint: String,
    /// `cpu` or `cuda:N`.
    pub(crate) device_name: String,
    /// The device.
    pub(crate) device: Device,
    /// The transformer with its number format; absent after a mere decoding.
    pub(crate) transformer: Option<(String, WanTransformer)>,
    /// The decoder with its number format.
    pub(crate) decoder: Option<(String, WanDecoder)>,
    /// Bytes that it takes, about.
    pub(crate) bytes: u64,
}

/// Text rows of the last prompts.
pub(crate) struct Rows {
    /// What they were made of.
    pub(crate) key: RowsKey,
    /// Prompt, then negative prompt when guided.
    pub(crate) rows: Vec<TextRows>,
}

/// Everything that text rows depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowsKey {
    pub(crate) fingerprint: String,
    pub(crate) device: String,
    pub(crate) dtype: String,
    /// Token ids of each prompt.
    pub(crate) ids: Vec<Vec<u32>>,
}

impl Studio {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, resident: None, rows: None }
    }

    /// Drops everything: after a panic nothing is trusted.
    pub(crate) fn clear(&mut self) {
        self.resident = None;
        self.rows = None;
    }

    /// The machine now. What the resident model takes counts as available, since it is either used again or dropped.
    pub(crate) fn machine(&self) -> Machine {
        if let Some(machine) = &self.options.machine {
            return machine.clone();
        }
        let mut machine = Machine::detect();
        let resident = self.resident.as_ref().map_or(0, |resident| resident.bytes);
        if let Some(device) = self.resident.as_ref().map(|resident| &resident.device_name)
            && let Some(gpu) = machine.gpus.iter_mut().find(|gpu| gpu.device == *device)
        {
            gpu.free_bytes = gpu.free_bytes.map(|free| free + resident);
            return machine;
        }
        let most = machine.memory.limit.unwrap_or(u64::MAX).min(machine.memory.total);
        machine.memory.available = machine.memory.available.saturating_add(resident).min(most);
        machine
    }

    /// The history, when one is kept.
    pub(crate) fn history(&self) -> Option<Result<History>> {
        self.options.data_dir.as_deref().map(History::open)
    }

    /// Speeds measured so far.
    pub(crate) fn rates(&self) -> Rates {
        self.history()
            .and_then(|history| history.and_then(|history| history.rates()).ok())
            .unwrap_or_default()
    }

    /// The place for a model: the resident one's when it is the same on the same device, otherwise an empty one.
    pub(crate) fn seat(&mut self, fingerprint: &str, device_name: &str) -> Result<&mut Resident> {
        let is_same = |resident: &Resident| {
            resident.fingerprint == fingerprint && resident.device_name == device_name
        };
        let resident = match self.resident.take().filter(is_same) {
            Some(resident) => resident,
            None => Resident {
                fingerprint: fingerprint.into(),
                device_name: device_name.into(),
                device: machine::open(device_name)?,
                transformer: None,
                decoder: None,
                bytes: 0,
            },
        };
        Ok(self.resident.insert(resident))
    }
}
