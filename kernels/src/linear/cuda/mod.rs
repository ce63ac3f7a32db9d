//! The linear layer on NVIDIA GPUs: in BF16 one product of cuBLASLt that adds the bias and applies GELU to its F32 sums;
//! what that has no epilogue for (F32, SiLU) is a product of cuBLAS and a pass of ours over its result.
#![expect(unsafe_code, reason = "cuBLASLt and kernels take addresses; each use says why they hold")]

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use candle_core::{
    CudaDevice, CudaStorage, DType, Error, Result, Storage, Tensor, bail,
    cuda::{
        DeviceId,
        cudarc::{
            cublaslt::{self, CudaBlasLT, Matmul, MatmulConfig},
            driver::{CudaView, DeviceRepr},
        },
    },
    op::BackpropOp,
};
use half::bf16;

use crate::{
    Activation,
    cuda::{self, Gpu, Image, Shape, Walk, short},
    ran::{self, Via},
};

/// The alignment in bytes that cuBLASLt takes for granted when it chooses an algorithm.
const ALIGNMENT: u64 = 256;

/// The weight as it came, and the bias.
#[derive(Debug)]
pub(super) struct Weights {
    weight: Tensor,            // [N, K] in the compute dtype
    bias: Option<Tensor>,      // [N] F32
    bias_half: Option<Tensor>, // [N] BF16, for cuBLASLt
}

impl Weights {
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>, compute: DType) -> Result<Self> {
        // A copy where it is part of a larger tensor, which it would keep alive and whose alignment it has.
        let own = |x: Tensor| {
            if x.layout().start_offset() > 0 { x.force_contiguous() } else { x.contiguous() }
        };
        let bias = bias.map(|bias| own(bias.to_dtype(DType::F32)?)).transpose()?;
        let half = |bias: &Tensor| bias.to_dtype(DType::BF16);
        let bias_half = bias.as_ref().filter(|_| compute == DType::BF16).map(half).transpose()?;
        Ok(Self { weight: own(weight.to_dtype(compute)?)?, bias, bias_half })
    }

    /// x `[M, K]` in the compute dtype; returns `[M, N]` in it.
    pub(super) fn forward(&self, gpu: &Gpu, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let (rows, inputs) = x.dims2()?;
        let outputs = self.weight.dim(0)?;
        if rows * inputs * outputs == 0 {
            return Tensor::zeros((rows, outputs), x.dtype(), x.device());
        }
        ran::count("linear", Via::Cublas);
        if x.dtype() == DType::BF16 && activation != Activation::Silu {
            return self.fused(gpu, x, activation);
        }
        let sums = x.contiguous()?.matmul(&self.weight.t()?)?;
        self.finish(gpu, &sums, activation)?;
        Ok(sums)
    }

    /// Bias and activation, in place: no one else has `sums` yet.
    fn finish(&self, gpu: &Gpu, sums: &Tensor, activation: Activation) -> Result<()> {
        let kind = match activation {
            Activation::None if self.bias.is_none() => return Ok(()),
            Activation::None => 0,
            Activation::GeluTanh => 1,
            Activation::Silu => 2,
        };
        let (rows, width) = sums.dims2()?;
        let args = EpilogueArgs {
            bias: self.bias.as_ref().map_or(Ok(0), |bias| gpu.address(bias))?,
            y: gpu.address(sums)?,
            rows: rows as i64,
            width: width as i32,
            activation: kind,
        };
        let walk = Walk::new(width, width, &[args.bias, args.y]);
        let name = format!("epilogue_{}_e{}", short(sums.dtype()), walk.elements);
        let shape = Shape::flat(rows as u64, walk.threads.min(256));
        // SAFETY: rows and width as the tensor has them.
        unsafe { gpu.launch((Image::Epilogue, &name), shape, &args) }
    }

    fn fused(&self, gpu: &Gpu, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let x = x.contiguous()?;
        let aligned = gpu.address(&x)?.is_multiple_of(ALIGNMENT);
        let x = if aligned { x } else { x.force_contiguous()? };
        let (rows, inputs) = x.dims2()?;
        let outputs = self.weight.dim(0)?;
        let lt = handle(gpu.device())?;
        let stored = (x.storage_and_layout(), self.weight.storage_and_layout());
        let stored_bias = self.bias_half.as_ref().map(Tensor::storage_and_layout);
        let of_x = view(&stored.0.0, stored.0.1)?;
        let of_weight = view(&stored.1.0, stored.1.1)?;
        let of_bias =
            stored_bias.as_ref().map(|(storage, layout)| view(storage, layout)).transpose()?;
        // SAFETY: the product writes all of it.
        let mut y = unsafe { gpu.device().alloc::<bf16>(rows * outputs)? };
        // Row-major y = x·Wᵀ is column-major yᵀ = W·xᵀ.
        let config = MatmulConfig {
            transa: true,
            transb: false,
            transc: false,
            m: outputs as u64,
            n: rows as u64,
            k: inputs as u64,
            alpha: 1.0,
            lda: inputs as i64,
            ldb: inputs as i64,
            beta: 0.0,
            ldc: outputs as i64,
            stride_a: None,
            stride_b: None,
            stride_c: None,
            stride_bias: None,
            batch_size: None,
        };
        let gelu = (activation == Activation::GeluTanh).then_some(cublaslt::Activation::Gelu);
        // SAFETY: sizes and strides are those of contiguous x, weight and y.
        let done = unsafe {
            lt.matmul(config, &of_weight, &of_x, &mut y, of_bias.as_ref(), gelu.as_ref())
        };
        done.map_err(Error::wrap)?;
        let y = CudaStorage::wrap_cuda_slice(y, gpu.device().clone());
        Ok(Tensor::from_storage(Storage::Cuda(y), (rows, outputs), BackpropOp::none(), false))
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        of(&self.weight) + self.bias.as_ref().map_or(0, of) + self.bias_half.as_ref().map_or(0, of)
    }
}

/// A contiguous tensor's elements.
fn view<'a>(storage: &'a Storage, layout: &candle_core::Layout) -> Result<CudaView<'a, bf16>> {
    let slice = cuda::storage(storage)?.as_cuda_slice::<bf16>()?;
    let start = layout.start_offset();
    let end = start + layout.shape().elem_count();
    match slice.try_slice(start..end) {
        Some(view) => Ok(view),
        None => bail!("linear: elements {start}..{end} of {}", slice.len()),
    }
}

/// `EpilogueArgs` of `epilogue.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct EpilogueArgs {
    bias: u64,
    y: u64,
    rows: i64,
    width: i32,
    activation: i32,
}
// SAFETY: plain numbers in C's layout, as the kernel declares them.
unsafe impl DeviceRepr for EpilogueArgs {}

static HANDLES: LazyLock<Mutex<HashMap<DeviceId, Arc<CudaBlasLT>>>> = LazyLock::new(Mutex::default);

/// A device's handle, made once: it has a workspace of 32 MiB on the device's one stream.
fn handle(device: &CudaDevice) -> Result<Arc<CudaBlasLT>> {
    let mut handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = handles.get(&device.id()) {
        return Ok(handle.clone());
    }
    let handle = Arc::new(CudaBlasLT::new(device.cuda_stream()).map_err(Error::wrap)?);
    handles.insert(device.id(), handle.clone());
    Ok(handle)
}
