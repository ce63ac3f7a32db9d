//! Prompts to text rows. The encoder is streamed from disk, so its memory is a block's, and it is gone when this returns.

use tessera_models::folder::ModelFolder;
use tessera_models::text::{self, TextRows};

use super::device;
use crate::engine::{Job, Rows, RowsKey, Studio};
use crate::events::Phase;
use crate::machine::{dtype_name, open};
use crate::plan::{Plan, Settled};
use crate::{Result, tokenizer};

/// Progress parts of this phase.
const PARTS: u64 = 1000;

/// Rows of the prompt and, when guided, of the negative prompt.
pub(super) fn rows(
    studio: &mut Studio,
    job: &mut Job<'_>,
    folder: &ModelFolder,
    plan: &Plan,
    settled: &Settled,
    reused: &mut Vec<String>,
) -> Result<Vec<TextRows>> {
    job.start(Phase::EncodeText, PARTS);
    let tokenizer = tokenizer::of(folder)?;
    let mut ids = vec![tokenizer.encode(&text::clean(&settled.prompt))?.ids];
    if settled.is_guided() {
        ids.push(tokenizer.encode(&text::clean(&settled.negative))?.ids);
    }
    let key = RowsKey {
        fingerprint: plan.model.fingerprint.clone(),
        device: settled.device.clone(),
        dtype: dtype_name(settled.dtype).into(),
        ids,
    };
    if let Some(known) = studio.rows.as_ref().filter(|known| known.key == key) {
        let rows = known.rows.clone();
        reused.push("text rows".into());
        job.skip();
        job.finish();
        return Ok(rows);
    }
    studio.rows = None;
    make_room(studio, plan);
    let device = open(&settled.device)?;
    let rows =
        text::encode_prompts(folder, &key.ids, settled.dtype, &device, &mut job.watch(0, PARTS))?;
    job.ran(device::kernels("text encoder", 1, &settled.device));
    studio.rows = Some(Rows { key, rows: rows.clone() });
    job.finish();
    Ok(rows)
}

/// Drops the resident model when it and the text encoder do not fit together.
fn make_room(studio: &mut Studio, plan: &Plan) {
    let resident = studio.resident.as_ref().map_or(0, |resident| resident.bytes);
    let needed = plan.phase(Phase::EncodeText).map_or(0, |phase| phase.peak_bytes);
    if resident + needed > plan.memory.available_bytes {
        studio.resident = None;
    }
}
