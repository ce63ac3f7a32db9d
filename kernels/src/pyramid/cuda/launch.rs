//! Calls of the kernels. Nothing waits for the GPU: pooled levels, lists, order and attention follow each other
//! on the device's stream.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use candle_core::{
    DType, Result, Tensor,
    cuda::{
        CudaDType, WrapErr,
        cudarc::driver::{DeviceRepr, PushKernelArg},
    },
};
use half::{bf16, f16};

use super::{
    args::{BiasArgs, PoolArgs},
    call::Call,
    plan::{LEVELS, Sizes, Variant},
};
use crate::{
    blocks::Blocks,
    cuda::{self, Image, Limits, Shape},
    levels::{FULL, LevelMap},
    pyramid::{Attended, Bias, Options},
};

type Chosen = (Limits, Variant, Sizes);

/// The kernel that serves these operands on a device of these limits.
fn choose(
    limits: Limits,
    q: &Tensor,
    blocks: Blocks,
    scale: f32,
    dense: bool,
) -> Result<Option<Chosen>> {
    let (batch, heads, _, width) = q.dims4()?;
    let variant = Variant::choose(limits.capability, q.dtype(), width, dense);
    // The running maximum is taken before the scale.
    let sizes = Sizes::new(batch * heads, blocks).filter(|_| scale > 0.0);
    Ok(variant.zip(sizes).map(|(variant, sizes)| (limits, variant, sizes)))
}

/// [`crate::pyramid::attention`] on a GPU of these limits; nothing where no kernel serves the call.
pub(crate) fn attention(
    limits: Limits,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    map: &LevelMap,
    options: &Options<'_>,
) -> Result<Option<Attended>> {
    let Some(chosen) = choose(limits, q, map.blocks(), options.scale, false)? else {
        return Ok(None);
    };
    match q.dtype() {
        DType::F16 => sparse::<f16>(chosen, [q, k, v], map, options).map(Some),
        _ => sparse::<bf16>(chosen, [q, k, v], map, options).map(Some),
    }
}

/// [`crate::attention::attention_with_lse`] on a GPU of these limits; nothing where no kernel serves the call.
pub(crate) fn dense(
    limits: Limits,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<Option<Attended>> {
    let blocks = Blocks { queries: q.dim(2)?, keys: k.dim(2)?, ..Blocks::of(1) };
    let Some(chosen) = choose(limits, q, blocks, scale, true)? else {
        return Ok(None);
    };
    match q.dtype() {
        DType::F16 => whole::<f16>(chosen, [q, k, v], scale, key_bias).map(Some),
        _ => whole::<bf16>(chosen, [q, k, v], scale, key_bias).map(Some),
    }
}

fn whole<T: CudaDType + DeviceRepr + 'static>(
    (limits, variant, sizes): Chosen,
    operands: [&Tensor; 3],
    scale: f32,
    key_bias: Option<&Tensor>,
) -> Result<Attended> {
    let device = operands[0].device().as_cuda_device()?;
    let stream = device.cuda_stream();
    let (batch, heads, _, _) = operands[0].dims4()?;
    // In log₂ units, and −∞ up to a whole block.
    let bias = key_bias.map(|bias| padded_bias(bias, sizes)).transpose()?;
    let [q, k, v] = contiguous(operands)?;
    let stored = [&q, &k, &v].map(Tensor::storage_and_layout);
    let stored_bias = bias.as_ref().map(Tensor::storage_and_layout);
    let mut held = Vec::new();
    let mut addresses = [0; 3];
    for ((storage, layout), address) in stored.iter().zip(&mut addresses) {
        let (at, hold) = cuda::address::<T>(cuda::storage(storage)?, layout, &stream)?;
        *address = at;
        held.push(hold);
    }
    let call = Call {
        device,
        stream: &stream,
        limits,
        variant,
        sizes,
        dtype: operands[0].dtype(),
        operands: addresses,
        scale,
    };
    let mut biases = [0; LEVELS];
    if let Some((storage, layout)) = &stored_bias {
        let (at, hold) = cuda::address::<f32>(cuda::storage(storage)?, layout, &stream)?;
        biases[0] = at;
        held.push(hold);
    }
    call.attend::<T>([[0; LEVELS]; 2], [0; 4], biases, bias.is_some(), (batch, heads))
}

fn sparse<T: CudaDType + DeviceRepr + 'static>(
    (limits, variant, sizes): Chosen,
    [q, k, v]: [&Tensor; 3],
    map: &LevelMap,
    options: &Options<'_>,
) -> Result<Attended> {
    let device = q.device().as_cuda_device()?;
    let stream = device.cuda_stream();
    let (batch, heads, _, _) = q.dims4()?;
    let (blocks, rows) = (sizes.blocks, sizes.rows());
    // What a hidden key holds, be it NaN, must not reach a product.
    let (k, v) = match options.valid {
        Some(valid) => (shown(k, valid)?, shown(v, valid)?),
        None => (k.clone(), v.clone()),
    };
    let [q, k, v] = contiguous([q, &k, &v])?;
    let levels = map.levels().to_device(q.device())?.contiguous()?;
    let valid = options.valid.map(|valid| valid.to_device(q.device())?.contiguous()).transpose()?;

    let stored = [&q, &k, &v].map(Tensor::storage_and_layout);
    let stored_levels = levels.storage_and_layout();
    let stored_valid = valid.as_ref().map(Tensor::storage_and_layout);
    let mut held = Vec::new();
    let mut addresses = [0; 3];
    for ((storage, layout), address) in stored.iter().zip(&mut addresses) {
        let (at, hold) = cuda::address::<T>(cuda::storage(storage)?, layout, &stream)?;
        *address = at;
        held.push(hold);
    }
    let (levels_at, hold) =
        cuda::address::<u8>(cuda::storage(&stored_levels.0)?, stored_levels.1, &stream)?;
    held.push(hold);
    let mut valid_at = 0;
    if let Some((storage, layout)) = &stored_valid {
        let (at, hold) = cuda::address::<u8>(cuda::storage(storage)?, layout, &stream)?;
        valid_at = at;
        held.push(hold);
    }
    let call = Call {
        device,
        stream: &stream,
        limits,
        variant,
        sizes,
        dtype: q.dtype(),
        operands: addresses,
        scale: options.scale,
    };

    // Biases, and the levels in use above the first.
    let mut pool_args = PoolArgs {
        from: [addresses[1], addresses[2]],
        to: [[0; LEVELS]; 2],
        valid: valid_at,
        keys: blocks.keys as i32,
        padded: [0; LEVELS],
    };
    let mut bias_args = BiasArgs {
        bias: [0; LEVELS],
        valid: valid_at,
        keys: blocks.keys as i32,
        mode: match options.bias {
            Bias::Count => 0,
            Bias::Level => 1,
            Bias::None => 2,
        },
    };
    let (mut biases, mut pooled) = (Vec::new(), Vec::new());
    for (index, level) in (FULL..).take(LEVELS).enumerate() {
        biases.push(call.room::<f32>(sizes.biases(level))?);
        bias_args.bias[index] = call.address(&biases[index]);
        pool_args.padded[index] = sizes.padded(level) as i32;
        if level > FULL && map.uses(level) {
            for to in &mut pool_args.to {
                let room = call.room::<T>(sizes.level_bytes(level, variant.width) / 2)?;
                to[index] = call.address(&room);
                pooled.push(room);
            }
        }
    }
    let kind = if q.dtype() == DType::F16 { "f16" } else { "bf16" };
    let function = |name: &str| cuda::function(device, Image::Pool, name);
    if !pooled.is_empty() {
        let function = function(&format!("pool_{kind}_d{}", variant.width))?;
        let grid = [sizes.pool_grid(), sizes.heads as u64, 2];
        let shape = Shape { grid, threads: variant.width as u32, shared_bytes: 0 };
        let config = cuda::launch_config(&shape, "pool")?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&pool_args);
        // SAFETY: reads K and V of the sizes told, and writes the padded levels as they were allocated.
        unsafe { launch.launch(config) }.w()?;
    }
    {
        let function = function("pool_biases")?;
        let config = cuda::config((sizes.biases(FULL).div_ceil(256), LEVELS), 256, 0)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&bias_args);
        // SAFETY: writes the biases of each level as they were allocated.
        unsafe { launch.launch(config) }.w()?;
    }

    // Lists, and the rows in the order of their lengths.
    let items = call.room::<u16>(rows * blocks.columns())?;
    let counts = call.room::<u16>(rows * 8)?;
    let units = call.room::<u32>(rows)?;
    let order = call.room::<u32>(rows)?;
    let at = [
        call.address(&items),
        call.address(&counts),
        call.address(&order),
        levels_at,
        call.address(&units),
    ];
    let (row_count, columns) = (rows as i32, blocks.columns() as i32);
    {
        let function = cuda::function(device, Image::Lists, "lists")?;
        let config = cuda::config((rows.div_ceil(8), 1), 256, 0)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&levels_at).arg(&at[0]).arg(&at[1]).arg(&at[4]).arg(&row_count).arg(&columns);
        // SAFETY: reads `rows` × `columns` levels and writes lists of those sizes.
        unsafe { launch.launch(config) }.w()?;
    }
    {
        let function = cuda::function(device, Image::Lists, "longest_first")?;
        let of_head = blocks.rows() as i32;
        let config = cuda::config((sizes.heads, 1), 256, 0)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&at[4]).arg(&at[2]).arg(&of_head);
        // SAFETY: reads and writes a number for each row.
        unsafe { launch.launch(config) }.w()?;
    }

    let of_map = [at[0], at[1], at[2], levels_at];
    call.attend::<T>(pool_args.to, of_map, bias_args.bias, valid.is_some(), (batch, heads))
}

fn contiguous([q, k, v]: [&Tensor; 3]) -> Result<[Tensor; 3]> {
    Ok([q.contiguous()?, k.contiguous()?, v.contiguous()?])
}

/// x `[B, H, S, D]` with zeros where `valid` `[S]` is 0.
fn shown(x: &Tensor, valid: &Tensor) -> Result<Tensor> {
    let valid =
        valid.to_device(x.device())?.reshape((1, 1, x.dim(2)?, 1))?.broadcast_as(x.shape())?;
    valid.where_cond(x, &x.zeros_like()?)
}

/// `[Sk]` F32 in natural-log units as the kernel reads it.
fn padded_bias(bias: &Tensor, sizes: Sizes) -> Result<Tensor> {
    let bias = (bias * std::f64::consts::LOG2_E)?;
    let more = sizes.biases(FULL) - sizes.blocks.keys;
    if more == 0 {
        return bias.contiguous();
    }
    let hidden = Tensor::full(f32::NEG_INFINITY, more, bias.device())?;
    Tensor::cat(&[&bias, &hidden], 0)
}
