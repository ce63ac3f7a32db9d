//! Estimators on a GPU: scores are made and stay there, nothing waits, and two runs have the same bits.
//!
//! Products are of 16-bit factors with F32 sums: of BF16 tokens as they are, of F32 values (means, F32 tokens) in two BF16
//! parts, which keep 16 bits of each.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{
    CudaDevice, DType, Result, Tensor,
    cuda::{
        WrapErr,
        cudarc::driver::{CudaFunction, DeviceRepr, PushKernelArg},
    },
};
use half::bf16;

use super::{Sampling, sampled::positions};
use crate::{
    blocks::{Blocks, KEY_BLOCK, QUERY_BLOCK},
    cuda::{self, Image, Shape},
};

pub(in crate::scores) mod plan;
#[cfg(test)]
mod tests;

use plan::{THREADS, grid, is_served, shared_bytes};

/// Elements that a thread takes of a row.
const PIECE: usize = 8;
/// Tokens of the runs that [`sub_block`] has a kernel for.
const RUN: usize = 16;
/// Sampled keys of a block that [`sampled_max`] has a kernel for.
const SAMPLED_KEYS: usize = 16;
/// The widest head whose likeness is measured here.
const MOST_WIDTH: usize = 256;

/// `tile::Operand`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(in crate::scores) struct Operand {
    parts: [u64; 2],
    rows: i32,
}

/// `Args` of `products.cu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Args {
    a: Operand,
    b: Operand,
    out: u64,
    rows: i32,
    columns: i32,
    queries: i32,
    keys: i32,
    tiles: i32,
    scale: f32,
}

// SAFETY: plain numbers in C's layout, as the kernels declare them.
unsafe impl DeviceRepr for Args {}

/// Rows of each head as factors of products, `[B·H, rows, D]`.
pub(in crate::scores) struct Factors {
    high: Tensor,
    low: Option<Tensor>,
    pub(in crate::scores) rows: usize,
}

impl Factors {
    fn room(device: &CudaDevice, shape: [usize; 3], is_split: bool) -> Result<Self> {
        let high = cuda::room::<bf16>(device, &shape)?;
        let low = is_split.then(|| cuda::room::<bf16>(device, &shape)).transpose()?;
        Ok(Self { high, low, rows: shape[1] })
    }

    fn at(&self) -> Result<[u64; 2]> {
        let low = self.low.as_ref().map_or(Ok(0), cuda::at::<bf16>)?;
        Ok([cuda::at::<bf16>(&self.high)?, low])
    }

    /// The rows x `[heads, rows, D]`, contiguous.
    pub(in crate::scores) fn of(device: &CudaDevice, x: &Tensor) -> Result<Self> {
        let (heads, rows, width) = x.dims3()?;
        if x.dtype() == DType::BF16 {
            return Ok(Self { high: x.clone(), low: None, rows });
        }
        let factors = Self::room(device, [heads, rows, width], true)?;
        let x = x.reshape((1, heads, rows, width))?;
        write_means(device, &x, 1, &Means { mean: 0, parts: factors.at()? })?;
        Ok(factors)
    }

    pub(in crate::scores) fn operand(&self) -> Result<Operand> {
        Ok(Operand { parts: self.at()?, rows: self.rows as i32 })
    }
}

/// The GPU of a tensor whose rows the kernels can read, the tensor contiguous.
pub(in crate::scores) fn readable(
    x: &Tensor,
    most_width: usize,
) -> Result<Option<(&CudaDevice, Tensor)>> {
    let width = x.dim(3)?;
    let is_read = matches!(x.dtype(), DType::F32 | DType::BF16)
        && width.is_multiple_of(PIECE)
        && (1..=most_width).contains(&width);
    match cuda::gpu(x)? {
        Some(device) if is_read => Ok(Some((device, aligned(x)?))),
        _ => Ok(None),
    }
}

/// Contiguous, and from a whole 16-byte piece on.
fn aligned(x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let start = x.layout().start_offset() * x.dtype().size_in_bytes();
    if start.is_multiple_of(16) { Ok(x) } else { x.force_contiguous() }
}

/// The address of a tensor that is [`readable`].
pub(in crate::scores) fn address(x: &Tensor) -> Result<u64> {
    match x.dtype() {
        DType::F32 => cuda::at::<f32>(x),
        _ => cuda::at::<bf16>(x),
    }
}

/// A kernel of `runs.cu` for tokens of this type.
fn of_kind(device: &CudaDevice, name: &str, x: &Tensor) -> Result<CudaFunction> {
    let kind = if x.dtype() == DType::F32 { "f32" } else { "bf16" };
    cuda::function(device, Image::Runs, &format!("{name}_{kind}"))
}

/// Where means over runs go.
struct Means {
    mean: u64,
    parts: [u64; 2],
}

fn write_means(device: &CudaDevice, x: &Tensor, run: usize, to: &Means) -> Result<()> {
    let (batch, heads, tokens, width) = x.dims4()?;
    let pieces = width / PIECE;
    // Threads that share a long run.
    let lanes = (THREADS / pieces).min(run.div_ceil(8)).max(1);
    let of_block = THREADS / (pieces * lanes);
    let (from, counts) = (address(x)?, [tokens, width, run, lanes].map(|count| count as i32));
    let function = of_kind(device, "means", x)?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&to.mean).arg(&to.parts[0]).arg(&to.parts[1]);
    launch.arg(&counts[0]).arg(&counts[1]).arg(&counts[2]).arg(&counts[3]);
    let grid = (tokens.div_ceil(run).div_ceil(of_block), batch * heads);
    // SAFETY: reads x, of the sizes told, and writes each mean.
    unsafe { launch.launch(cuda::config(grid, THREADS, 0)?) }.w().map(|_| ())
}

/// F32 means over runs `[B, H, ⌈S/run⌉, D]`; nothing where no kernel serves the call.
pub(super) fn means(x: &Tensor, run: usize) -> Result<Option<Tensor>> {
    let Some((device, x)) = readable(x, THREADS * PIECE)? else { return Ok(None) };
    let (batch, heads, tokens, width) = x.dims4()?;
    let means = cuda::room::<f32>(device, &[batch, heads, tokens.div_ceil(run), width])?;
    write_means(device, &x, run, &Means { mean: cuda::at::<f32>(&means)?, parts: [0; 2] })?;
    Ok(Some(means))
}

/// [`super::sub_block`]; nothing where no kernel serves the call.
pub(super) fn sub_block(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    run: usize,
) -> Result<Option<Tensor>> {
    let (batch, heads, _, width) = q.dims4()?;
    let is_known = (run, blocks.query_block, blocks.key_block) == (RUN, QUERY_BLOCK, KEY_BLOCK);
    if !(is_known && is_served(width)) {
        return Ok(None);
    }
    let factors = |x: &Tensor| -> Result<Option<Factors>> {
        let Some((device, x)) = readable(x, MOST_WIDTH)? else { return Ok(None) };
        let shape = [batch * heads, x.dim(2)?.div_ceil(RUN), width];
        let factors = Factors::room(device, shape, true)?;
        write_means(device, &x, RUN, &Means { mean: 0, parts: factors.at()? })?;
        Ok(Some(factors))
    };
    let (Some(device), Some(a), Some(b)) = (cuda::gpu(q)?, factors(q)?, factors(k)?) else {
        return Ok(None);
    };
    let scores = cuda::room::<f32>(device, &[batch, heads, blocks.rows(), blocks.columns()])?;
    let name = format!("log_sums_d{width}");
    products(device, &name, [&a, &b], (&scores, batch * heads), blocks, scale)?;
    Ok(Some(scores))
}

/// [`super::sampled_max`]; nothing where no kernel serves the call.
pub(super) fn sampled_max(
    q: &Tensor,
    k: &Tensor,
    blocks: Blocks,
    scale: f32,
    sampling: &Sampling,
) -> Result<Option<Tensor>> {
    let (batch, heads, _, width) = q.dims4()?;
    // Largest products are of the largest logits.
    if sampling.keys != SAMPLED_KEYS || !is_served(width) || scale <= 0.0 {
        return Ok(None);
    }
    let (mut of_queries, mut of_keys) = (Vec::new(), Vec::new());
    for head in 0..batch * heads {
        let (queries, keys) = positions(sampling, blocks, head);
        of_queries.extend(queries.into_iter().map(|place| place as u32));
        of_keys.extend(keys.into_iter().map(|place| place as u32));
    }
    let of_queries = (of_queries, blocks.query_block, sampling.queries);
    let of_keys = (of_keys, blocks.key_block, sampling.keys);
    let (Some(device), Some(a), Some(b)) =
        (cuda::gpu(q)?, sampled(q, of_queries)?, sampled(k, of_keys)?)
    else {
        return Ok(None);
    };
    let (rows, columns) = (blocks.rows(), blocks.columns());
    let maxima = cuda::room::<f32>(device, &[batch * heads, a.rows, columns])?;
    let kind = if a.low.is_some() { "f32" } else { "bf16" };
    let name = format!("maxima_{kind}_d{width}");
    products(device, &name, [&a, &b], (&maxima, batch * heads), blocks, scale)?;

    let scores = cuda::room::<f32>(device, &[batch, heads, rows, columns])?;
    let (from, to) = (cuda::at::<f32>(&maxima)?, cuda::at::<f32>(&scores)?);
    let counts = [sampling.queries, columns].map(|count| count as i32);
    let scale = scale * std::f32::consts::LOG2_E;
    let function = cuda::function(device, Image::Products, "largest_shares")?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&to).arg(&counts[0]).arg(&counts[1]).arg(&scale);
    let config = cuda::config((batch * heads * rows, 1), THREADS, sampling.queries * 4)?;
    // SAFETY: reads the maxima of a row's sampled queries and writes a score for each of its columns; its shared memory
    // holds a number for each of those queries.
    unsafe { launch.launch(config) }.w()?;
    Ok(Some(scores))
}

/// Sampled tokens as factors.
fn sampled(
    x: &Tensor,
    (positions, block, each): (Vec<u32>, usize, usize),
) -> Result<Option<Factors>> {
    let Some((device, x)) = readable(x, MOST_WIDTH)? else { return Ok(None) };
    let (batch, heads, tokens, width) = x.dims4()?;
    let rows = tokens.div_ceil(block) * each;
    let factors = Factors::room(device, [batch * heads, rows, width], x.dtype() == DType::F32)?;
    let positions = Tensor::new(positions, x.device())?;
    let (from, places, to) = (address(&x)?, cuda::at::<u32>(&positions)?, factors.at()?);
    let counts = [tokens, width, block, each].map(|count| count as i32);
    let function = of_kind(device, "sampled", &x)?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&places).arg(&to[0]).arg(&to[1]);
    launch.arg(&counts[0]).arg(&counts[1]).arg(&counts[2]).arg(&counts[3]);
    let grid = (rows.div_ceil(THREADS / (width / PIECE)), batch * heads);
    // SAFETY: positions lie within a block, so that it reads tokens of x; it writes each sampled row.
    unsafe { launch.launch(cuda::config(grid, THREADS, 0)?) }.w()?;
    Ok(Some(factors))
}

/// Launches a kernel of `products.cu`.
fn products(
    device: &CudaDevice,
    name: &str,
    [a, b]: [&Factors; 2],
    (out, heads): (&Tensor, usize),
    blocks: Blocks,
    scale: f32,
) -> Result<()> {
    let Some(limits) = cuda::limits(out.device())? else { return Ok(()) };
    let (grid, tiles) = grid((a.rows, b.rows, heads), limits.multiprocessors);
    let args = Args {
        a: a.operand()?,
        b: b.operand()?,
        out: cuda::at::<f32>(out)?,
        rows: blocks.rows() as i32,
        columns: blocks.columns() as i32,
        queries: blocks.queries as i32,
        keys: blocks.keys as i32,
        tiles: tiles as i32,
        scale: scale * std::f32::consts::LOG2_E,
    };
    let parts = 1 + usize::from(a.low.is_some());
    let bytes = shared_bytes(a.high.dim(2)?, parts);
    let function = cuda::function(device, Image::Products, name)?;
    cuda::allow_shared(&function, bytes)?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&args);
    let shape = Shape { grid, threads: THREADS as u32, shared_bytes: bytes };
    let config = cuda::launch_config(&shape, name)?;
    // SAFETY: reads the factors of the rows told, and writes each element of `out` once.
    unsafe { launch.launch(config) }.w().map(|_| ())
}

/// [`super::self_similarity`]; nothing where no kernel serves the call.
pub(super) fn self_similarity(x: &Tensor, block: usize) -> Result<Option<Tensor>> {
    let (batch, heads, tokens, _) = x.dims4()?;
    let shape = [batch, heads, tokens.div_ceil(block)];
    alike(x, block, "self_similarity", &shape)
}

/// [`super::group_cosine`]; nothing where no kernel serves the call.
pub(super) fn group_cosine(k: &Tensor, key_block: usize) -> Result<Option<Tensor>> {
    let (batch, heads, tokens, _) = k.dims4()?;
    let shape = [batch, heads, tokens.div_ceil(key_block), 3];
    alike(k, key_block, "group_cosine", &shape)
}

fn alike(x: &Tensor, block: usize, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
    let Some((device, x)) = readable(x, MOST_WIDTH)? else { return Ok(None) };
    let (batch, heads, tokens, width) = x.dims4()?;
    let to = cuda::room::<f32>(device, shape)?;
    let (from, written) = (address(&x)?, cuda::at::<f32>(&to)?);
    let counts = [tokens, width, block].map(|count| count as i32);
    let function = of_kind(device, name, &x)?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&written).arg(&counts[0]).arg(&counts[1]).arg(&counts[2]);
    let grid = (tokens.div_ceil(block), batch * heads);
    // SAFETY: reads x, of the sizes told, and writes the numbers of each block.
    unsafe { launch.launch(cuda::config(grid, THREADS, 0)?) }.w()?;
    Ok(Some(to))
}
