//! The plan file: a safetensors file with one U8 tensor `mass` `[groups, layers, heads, rows, columns]`, the codes of
//! [`MassMap`], and everything else as a JSON text under the metadata key `tessera`.
//!
//! One key, because safetensors writes several in no fixed order, and the same calibration must give the same bytes. What
//! is read is checked field by field: a policy may index it without looking.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tessera_kernels::blocks::Blocks;

use super::plan::{VERSION, refused};
use super::{HeadPlan, MassMap, PlanFile};
use crate::files::write_atomically;
use crate::sparsity::Arrangement;
use crate::{Error, Result};

/// Name of the tensor.
const TENSOR: &str = "mass";
/// Key of the text.
const METADATA: &str = "tessera";
/// No header is longer: safetensors' own bound.
const MOST_HEADER: u64 = 100_000_000;
/// No plan is larger: the masses of a 14 B model at 720p in four groups are 4.5 GB.
const MOST_BYTES: u64 = 8 << 30;

/// Writes the file whole or not at all.
pub(super) fn write(plan: &PlanFile, path: &Path) -> Result<()> {
    let wrong = |error: String| refused(path, "content", "a plan that can be written", error);
    let heads: Vec<&HeadPlan> = plan.layers.iter().flat_map(|layer| &layer.heads).collect();
    let maps = (0..plan.groups).flat_map(|group| heads.iter().map(move |head| &head.mass[group..]));
    let codes: Vec<u8> =
        maps.flat_map(|maps| maps.first().map_or(&[][..], MassMap::codes)).copied().collect();
    let blocks = blocks(plan).map_err(|error| wrong(error.to_string()))?;
    let shape = shape(plan, blocks);
    let view =
        TensorView::new(Dtype::U8, shape, &codes).map_err(|error| wrong(error.to_string()))?;
    let text = serde_json::to_string(plan).map_err(|error| wrong(error.to_string()))?;
    let metadata = HashMap::from([(METADATA.to_owned(), text)]);
    let file = safetensors::serialize([(TENSOR, view)], Some(metadata))
        .map_err(|error| wrong(error.to_string()))?;
    Ok(write_atomically(path, |out| out.write_all(&file))?)
}

/// Reads a plan file.
pub(super) fn read(path: &Path) -> Result<PlanFile> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MOST_BYTES {
        let most = format!("at most {MOST_BYTES} bytes");
        return Err(refused(path, "size", most, size));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let text = text(&bytes)
        .ok_or_else(|| refused(path, "kind", "a plan file of Tessera's", "another file"))?;
    let version: Version = serde_json::from_str(&text)
        .map_err(|error| refused(path, "version", "a version number", error))?;
    if version.version != VERSION {
        return Err(refused(path, "version", VERSION, version.version));
    }
    let mut plan: PlanFile = serde_json::from_str(&text)
        .map_err(|error| refused(path, "metadata", "the fields of a plan", error))?;
    check(path, &plan)?;
    let blocks = blocks(&plan).map_err(|error| refused(path, "query_block", "blocks", error))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| refused(path, "kind", "a whole safetensors file", error))?;
    let view = tensors
        .tensor(TENSOR)
        .map_err(|error| refused(path, TENSOR, "a tensor of this name", error))?;
    let shape = shape(&plan, blocks);
    if view.dtype() != Dtype::U8 || view.shape() != shape {
        let got = format!("{:?} of shape {:?}", view.dtype(), view.shape());
        return Err(refused(path, TENSOR, format!("U8 of shape {shape:?}"), got));
    }
    let mut maps = view.data().chunks(blocks.rows() * blocks.columns());
    for _ in 0..plan.groups {
        for head in plan.layers.iter_mut().flat_map(|layer| &mut layer.heads) {
            let codes = maps.next().unwrap_or_default();
            head.mass.push(MassMap::from_codes(codes.to_vec()));
        }
    }
    Ok(plan)
}

/// Whether a file begins with the header of a plan: the length of a JSON text, and the text, which names tensors.
pub(super) fn is_plan(path: &Path) -> bool {
    let header = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let mut header = Vec::new();
        file.take(u64::from_le_bytes(length).min(MOST_HEADER)).read_to_end(&mut header)?;
        Ok(header)
    };
    let Ok(header) = header() else { return false };
    serde_json::from_slice::<serde_json::Value>(&header).is_ok_and(|header| {
        header[TENSOR].is_object() && header["__metadata__"][METADATA].is_string()
    })
}

/// What is read of any version.
#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

/// Our text in the file's metadata, if it has one.
fn text(bytes: &[u8]) -> Option<String> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    header.tensors().contains_key(TENSOR).then_some(())?;
    header.metadata().as_ref()?.get(METADATA).cloned()
}

fn blocks(plan: &PlanFile) -> candle_core::Result<Blocks> {
    let tokens = plan.grid.tokens() + plan.text_tokens;
    Blocks::new(tokens, tokens, plan.query_block, plan.key_block)
}

fn shape(plan: &PlanFile, blocks: Blocks) -> Vec<usize> {
    let heads = plan.layers.first().map_or(0, |layer| layer.heads.len());
    vec![plan.groups, plan.layers.len(), heads, blocks.rows(), blocks.columns()]
}

/// Refuses what a policy could trip over.
fn check(path: &Path, plan: &PlanFile) -> Result<()> {
    if plan.groups == 0 || plan.layers.is_empty() {
        let got = format!("{} and {}", plan.groups, plan.layers.len());
        return Err(refused(path, "groups", "groups of timesteps and layers", got));
    }
    if plan.grid.tokens().checked_add(plan.text_tokens).is_none_or(|tokens| tokens > 1 << 24) {
        return Err(refused(path, "grid", "at most 2^24 tokens", super::plan::tokens(plan.grid)));
    }
    let blocks = blocks(plan).map_err(|error| refused(path, "query_block", "blocks", error))?;
    let heads = plan.layers.first().map_or(0, |layer| layer.heads.len());
    for (index, layer) in plan.layers.iter().enumerate() {
        if layer.heads.len() != heads {
            let field = format!("layers[{index}].heads");
            return Err(refused(path, &field, format!("{heads} heads"), layer.heads.len()));
        }
        for (head, found) in layer.heads.iter().enumerate() {
            let wrong = |field: &str, expected: &str, got: String| {
                refused(path, &format!("layers[{index}].heads[{head}].{field}"), expected, got)
            };
            check_head(found, blocks)
                .map_err(|(field, expected, got)| wrong(field, &expected, got))?;
        }
    }
    Ok(())
}

/// The first field of a head that is not what it should be: its name, what was expected, what was there.
fn check_head(
    head: &HeadPlan,
    blocks: Blocks,
) -> std::result::Result<(), (&'static str, String, String)> {
    if head.order == Arrangement::Calibrated {
        return Err(("order", "an order".into(), head.order.to_string()));
    }
    let columns = blocks.columns();
    for (field, numbers, count) in
        [("stripes", &head.stripes, columns), ("spans", &head.spans, columns)]
    {
        if numbers.len() != count || numbers.iter().any(|x| !x.is_finite()) {
            return Err((field, format!("{count} numbers"), format!("{}", numbers.len())));
        }
    }
    if !(head.budget > 0.0 && head.budget.is_finite()) {
        return Err(("budget", "a number above 0".into(), head.budget.to_string()));
    }
    let is_share = |x: f32| (0.0..=1.0).contains(&x);
    let wrong = head.patterns.iter().find(|facts| {
        !is_share(facts.keep) || !is_share(facts.density) || !facts.error.is_finite()
    });
    match wrong {
        Some(facts) => Err(("patterns", "shares from 0 to 1".into(), format!("{facts:?}"))),
        None => Ok(()),
    }
}
