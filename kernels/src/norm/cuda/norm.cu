// Row norms, the gated residual and the sum. A block takes a few rows; a row stays in registers between the sums and the
// result, so that memory sees it once.

#include "../../cuda/chunk.cuh"

namespace {

struct NormArgs {
  const void* x;
  void* out;
  const float* gains;
  const float* offsets;  // null: none
  int64_t rows;
  uint32_t rows_a_sample;
  int width;
  int gain_step;  // from one sample's vector to the next; 0: one for all
  int offset_step;
  float eps;
  int centred;  // whether the mean is taken away
  int above;    // 1: a gain of g multiplies by 1 + g
};

template <int N, class O>
__device__ __forceinline__ void finish(const NormArgs& args, int64_t row, int first, float mean, float factor,
                                       const float (&x)[N]) {
  const int64_t sample = static_cast<uint32_t>(row) / args.rows_a_sample;
  float gain[N], offset[N] = {}, y[N];
  chunk::load<N>(args.gains + sample * args.gain_step + first, gain);
  if (args.offsets != nullptr) chunk::load<N>(args.offsets + sample * args.offset_step + first, offset);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    y[i] = (x[i] - mean) * factor * (gain[i] + static_cast<float>(args.above)) + offset[i];
  }
  chunk::store<N>(static_cast<O*>(args.out) + row * args.width + first, y);
}

// Rows of at most K chunks a thread, in registers; a block takes R of them.
template <class I, class O, int K, int R>
__device__ __forceinline__ void norm_kept(const NormArgs& args) {
  constexpr int N = 8;
  __shared__ float means[R][32], squares[R][32];
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * R;
  chunk::Raw<I> raw[R][K];
  float x[N], mean[R] = {}, square[R] = {};
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int first = (threadIdx.x + k * blockDim.x) * N;
      if (first < args.width && first_row + r < args.rows) {
        raw[r][k].load(static_cast<const I*>(args.x) + (first_row + r) * args.width + first);
      } else {
        raw[r][k].clear();
      }
    }
  }
  if (args.centred) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        raw[r][k].widen(x);
#pragma unroll
        for (int i = 0; i < N; ++i) mean[r] += x[i];
      }
    }
    chunk::block_sums(mean, means);
#pragma unroll
    for (int r = 0; r < R; ++r) mean[r] /= static_cast<float>(args.width);
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if ((threadIdx.x + k * blockDim.x) * N >= args.width) continue;
      raw[r][k].forget();
      raw[r][k].widen(x);
#pragma unroll
      for (int i = 0; i < N; ++i) square[r] += (x[i] - mean[r]) * (x[i] - mean[r]);
    }
  }
  chunk::block_sums(square, squares);
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const float factor = 1.0f / sqrtf(square[r] / static_cast<float>(args.width) + args.eps);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int first = (threadIdx.x + k * blockDim.x) * N;
      if (first >= args.width || first_row + r >= args.rows) continue;
      raw[r][k].forget();
      raw[r][k].widen(x);
      finish<N, O>(args, first_row + r, first, mean[r], factor, x);
    }
  }
}

// Rows of any width, read again for each sum.
template <class I, class O, int N>
__device__ __forceinline__ void norm_read(const NormArgs& args) {
  __shared__ float means[1][32], squares[1][32];
  const int64_t row = blockIdx.x;
  const I* const from = static_cast<const I*>(args.x) + row * args.width;
  const int begin = threadIdx.x * N, step = blockDim.x * N;
  float x[N], mean[1] = {}, square[1] = {};
  if (args.centred) {
    for (int first = begin; first < args.width; first += step) {
      chunk::load<N>(from + first, x);
#pragma unroll
      for (int i = 0; i < N; ++i) mean[0] += x[i];
    }
    chunk::block_sums(mean, means);
    mean[0] /= static_cast<float>(args.width);
  }
  for (int first = begin; first < args.width; first += step) {
    chunk::load<N>(from + first, x);
#pragma unroll
    for (int i = 0; i < N; ++i) square[0] += (x[i] - mean[0]) * (x[i] - mean[0]);
  }
  chunk::block_sums(square, squares);
  const float factor = 1.0f / sqrtf(square[0] / static_cast<float>(args.width) + args.eps);
  for (int first = begin; first < args.width; first += step) {
    chunk::load<N>(from + first, x);
    finish<N, O>(args, row, first, mean[0], factor, x);
  }
}

struct AddArgs {
  const void* x;
  const void* y;
  const float* gates;  // null: 1
  void* out;
  int64_t rows;
  uint32_t rows_a_sample;
  int width;
  int gate_step;
};

// x + gate·y. A block takes four rows.
template <class X, class Y, class O, int N>
__device__ __forceinline__ void gated_add(const AddArgs& args) {
  constexpr int R = 4;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * R;
  for (int first = threadIdx.x * N; first < args.width; first += blockDim.x * N) {
    float x[R][N], y[R][N];
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (first_row + r >= args.rows) break;
      const int64_t at = (first_row + r) * args.width + first;
      chunk::load<N>(static_cast<const X*>(args.x) + at, x[r]);
      chunk::load<N>(static_cast<const Y*>(args.y) + at, y[r]);
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
      const int64_t row = first_row + r;
      if (row >= args.rows) break;
      float gate[N];
#pragma unroll
      for (int i = 0; i < N; ++i) gate[i] = 1.0f;
      if (args.gates != nullptr) chunk::load<N>(args.gates + static_cast<int64_t>(static_cast<uint32_t>(row) / args.rows_a_sample) * args.gate_step + first, gate);
#pragma unroll
      for (int i = 0; i < N; ++i) x[r][i] = fmaf(gate[i], y[r][i], x[r][i]);
      chunk::store<N>(static_cast<O*>(args.out) + row * args.width + first, x[r]);
    }
  }
}

}  // namespace

#define TESSERA_NORM(NAME, I, O)                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) norm_##NAME##_e8_k1(const __grid_constant__ NormArgs a) { \
    norm_kept<I, O, 1, 2>(a);                                                                        \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(256) norm_##NAME##_e8_k2(const __grid_constant__ NormArgs a) {    \
    norm_kept<I, O, 2, 1>(a);                                                                                    \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(1024) norm_##NAME##_e8_k4(const __grid_constant__ NormArgs a) {   \
    norm_kept<I, O, 4, 1>(a);                                                                                    \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(256) norm_##NAME##_e8_k0(const __grid_constant__ NormArgs a) {    \
    norm_read<I, O, 8>(a);                                                                                       \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(256) norm_##NAME##_e2_k0(const __grid_constant__ NormArgs a) {    \
    norm_read<I, O, 2>(a);                                                                                       \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(256) norm_##NAME##_e1_k0(const __grid_constant__ NormArgs a) {    \
    norm_read<I, O, 1>(a);                                                                                       \
  }

TESSERA_NORM(f32_f32, float, float)
TESSERA_NORM(f32_bf16, float, __nv_bfloat16)
TESSERA_NORM(bf16_f32, __nv_bfloat16, float)
TESSERA_NORM(bf16_bf16, __nv_bfloat16, __nv_bfloat16)

#define TESSERA_ADD(NAME, X, Y, O)                                                                       \
  extern "C" __global__ void __launch_bounds__(256) add_##NAME##_e8(const __grid_constant__ AddArgs a) { \
    gated_add<X, Y, O, 8>(a);                                                                            \
  }                                                                                                      \
  extern "C" __global__ void __launch_bounds__(256) add_##NAME##_e2(const __grid_constant__ AddArgs a) { \
    gated_add<X, Y, O, 2>(a);                                                                            \
  }                                                                                                      \
  extern "C" __global__ void __launch_bounds__(256) add_##NAME##_e1(const __grid_constant__ AddArgs a) { \
    gated_add<X, Y, O, 1>(a);                                                                            \
  }

TESSERA_ADD(f32_f32, float, float, float)
TESSERA_ADD(f32_bf16, float, __nv_bfloat16, float)
TESSERA_ADD(bf16_bf16, __nv_bfloat16, __nv_bfloat16, __nv_bfloat16)
