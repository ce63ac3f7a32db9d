//! Orders on a GPU: their tokens are there from the first use on, and rows move in one pass.
#![expect(unsafe_code, reason = "kernels take addresses; each launch says why they hold")]

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use candle_core::{
    CudaDevice, DType, Device, Result, Storage, Tensor,
    cuda::{WrapErr, cudarc::driver::PushKernelArg},
};
use half::bf16;

use super::Order;
use crate::cuda::{self, Image};

/// Bytes that a thread moves at once.
const PIECE: usize = 16;
/// Threads of a block.
const THREADS: usize = 256;

/// The tokens of orders `[orders, tokens]`, by where the first one's are and how many orders they are; forgotten when that
/// order is.
type Known = HashMap<(candle_core::cuda::DeviceId, Vec<usize>), (Vec<Weak<[u32]>>, Tensor)>;
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// [`super::permute`] of a tensor on a GPU; nothing where the kernel does not serve it.
pub(super) fn permute(x: &Tensor, orders: &[Order]) -> Result<Option<Tensor>> {
    let Some(device) = cuda::gpu(x)? else { return Ok(None) };
    let bytes = x.dtype().size_in_bytes();
    let [batch, heads, tokens, width] = *x.dims() else { return Ok(None) };
    let &[of_sample, of_head, of_token, 1] = x.stride() else { return Ok(None) };
    let start = x.layout().start_offset();
    let whole = |elements: usize| (elements * bytes).is_multiple_of(PIECE);
    let pieces = width * bytes / PIECE;
    let is_whole = [width, start, of_sample, of_head, of_token].into_iter().all(whole);
    if !is_whole || !(1..=THREADS).contains(&pieces) {
        return Ok(None);
    }
    let order = known(device, orders, x.device())?;
    let to = match x.dtype() {
        DType::F32 => cuda::room::<f32>(device, x.dims())?,
        DType::BF16 => cuda::room::<bf16>(device, x.dims())?,
        _ => return Ok(None),
    };
    let from = match x.dtype() {
        DType::F32 => first::<f32>(x)?,
        _ => first::<bf16>(x)?,
    };
    let written = match x.dtype() {
        DType::F32 => cuda::at::<f32>(&to)?,
        _ => cuda::at::<bf16>(&to)?,
    };
    let order_at = cuda::at::<u32>(&order)?;
    let in_pieces = |elements: usize| (elements * bytes / PIECE) as i64;
    let (heads_of, tokens_of, pieces_of) = (heads as i32, tokens as i32, pieces as i32);
    let each = i32::from(orders.len() > 1);
    let strides = [of_sample, of_head, of_token].map(in_pieces);
    let function = cuda::function(device, Image::Gather, "gather")?;
    let stream = device.cuda_stream();
    let mut launch = stream.launch_builder(&function);
    launch.arg(&from).arg(&written).arg(&order_at).arg(&heads_of).arg(&tokens_of);
    launch.arg(&pieces_of).arg(&each).arg(&strides[0]).arg(&strides[1]).arg(&strides[2]);
    let grid = (tokens.div_ceil(THREADS / pieces), batch * heads);
    // SAFETY: an order names each token once, so that it reads rows of x and writes all of the result.
    unsafe { launch.launch(cuda::config(grid, THREADS, 0)?) }.w()?;
    Ok(Some(to))
}

/// The address of the first element, whatever the strides.
fn first<T: candle_core::cuda::CudaDType + 'static>(x: &Tensor) -> Result<u64> {
    let (held, layout) = x.storage_and_layout();
    let Storage::Cuda(storage) = &*held else {
        candle_core::bail!("order: expected a GPU's tensor")
    };
    let stream = x.device().as_cuda_device()?.cuda_stream();
    Ok(cuda::address::<T>(storage, layout, &stream)?.0)
}

/// The tokens of all orders on the device.
fn known(device: &CudaDevice, orders: &[Order], on: &Device) -> Result<Tensor> {
    let places = orders.iter().map(|order| order.tokens.as_ptr().addr()).collect();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    // An order that is alive is where it was, and nothing else is.
    known.retain(|_, (owners, _)| owners.iter().all(|owner| owner.strong_count() > 0));
    let key = (device.id(), places);
    if let Some((_, tensor)) = known.get(&key) {
        return Ok(tensor.clone());
    }
    let tokens: Vec<u32> = orders.iter().flat_map(|order| order.tokens.iter().copied()).collect();
    let tensor = Tensor::new(tokens, on)?;
    let owners = orders.iter().map(|order| Arc::downgrade(&order.tokens)).collect();
    known.insert(key, (owners, tensor.clone()));
    Ok(tensor)
}
