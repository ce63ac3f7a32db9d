//! Moving the tokens of a tensor into their orders.
//!
//! Traffic: every row of D elements is read once and written once. It runs before each attention call when heads have
//! orders of their own, so on the CPU rows are copied on all cores, from any layout whose rows are whole, and on a GPU by a
//! kernel of its own (feature `cuda`), from any such layout with rows of whole 16-byte pieces.
#![expect(unsafe_code, reason = "tasks write disjoint rows of one result")]

use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use half::bf16;

use super::Order;
use crate::{
    cpu::{
        host::{Element, Output},
        rows,
    },
    ran::{self, Via},
};

/// `x [B, H, S, D]` with the tokens of each head in its order: one order for all heads, or one a head.
///
/// Refuses orders over another number of tokens than S, and any number of orders but 1 and H.
pub fn permute(x: &Tensor, orders: &[Order]) -> Result<Tensor> {
    let (_, heads, tokens, _) = x.dims4()?;
    if let Some(wrong) = orders.iter().find(|order| order.tokens.len() != tokens) {
        bail!("order: expected one over {tokens} tokens, got one over {}", wrong.tokens.len());
    }
    if orders.len() != 1 && orders.len() != heads {
        bail!("order: expected 1 or {heads} orders, got {}", orders.len());
    }
    if orders.iter().all(Order::is_identity) {
        return Ok(x.clone());
    }
    #[cfg(feature = "cuda")]
    if let Some(permuted) = super::cuda::permute(x, orders)? {
        return Ok(permuted);
    }
    match (x.device(), x.dtype(), x.stride()) {
        (Device::Cpu, DType::F32, [.., 1]) => copied::<f32>(x, orders),
        (Device::Cpu, DType::BF16, [.., 1]) => copied::<bf16>(x, orders),
        _ => selected(x, orders),
    }
}

/// On any device.
pub(super) fn selected(x: &Tensor, orders: &[Order]) -> Result<Tensor> {
    ran::note(x.device(), "permute", Via::Candle);
    let select =
        |x: &Tensor, order: &Order| x.contiguous()?.index_select(&order.tensor(x.device())?, 2);
    match orders {
        [one] => select(x, one),
        each => {
            let heads = each.iter().enumerate();
            let parts = heads.map(|(head, order)| select(&x.narrow(1, head, 1)?, order));
            Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
        }
    }
}

/// On the CPU, from rows of adjacent elements.
fn copied<T: Element>(x: &Tensor, orders: &[Order]) -> Result<Tensor> {
    let (batch, heads, tokens, width) = x.dims4()?;
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { return selected(x, orders) };
    let values = &T::cpu_storage_as_slice(storage)?[layout.start_offset()..];
    let strides = layout.stride();
    let mut result = Output::<T>::new(x.elem_count());
    let to = result.shared();
    rows::in_parallel(batch * heads * tokens, width, |rows| {
        for row in rows {
            let (head, position) = (row / tokens, row % tokens);
            let order = &orders[head % heads % orders.len()];
            let first = head / heads * strides[0]
                + head % heads * strides[1]
                + order.tokens[position] as usize * strides[2];
            let from = &values[first..first + width];
            // SAFETY: each task writes its own rows, of `width` elements.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.at(row * width), width) };
        }
    });
    // SAFETY: the tasks cover every row.
    unsafe { result.finish(x.shape()) }
}
