// Norm over all heads, split into heads and rotation in one pass; and heads side by side again.

#include "../../cuda/chunk.cuh"

namespace {

struct RopeArgs {
  const void* x;        // [B, S, H·D]
  void* out;            // [B, H, S, D]
  const float* weight;  // [H·D]; null: no norm
  const float* cos;     // [S, D/2]; null: no rotation
  const float* sin;
  int64_t rows;         // B·S
  uint32_t tokens;
  int heads;
  int width;  // D
  float eps;
};

template <class T, int N>
__device__ __forceinline__ void finish(const RopeArgs& args, uint32_t row, int first, float factor, float (&x)[N]) {
  const int head = first / args.width, within = first % args.width;
  const int64_t sample = row / args.tokens;
  const int token = row % args.tokens;
  if (args.weight != nullptr) {
    float weight[N];
    chunk::load<N>(args.weight + first, weight);
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] *= factor * weight[i];
  }
  if constexpr (N > 1) {
    if (args.cos != nullptr) {
      const int64_t pair = (static_cast<int64_t>(token) * args.width + within) / 2;
      float cos[N / 2], sin[N / 2];
      if constexpr (N == 8) {
        const float4 c = *reinterpret_cast<const float4*>(args.cos + pair);
        const float4 s = *reinterpret_cast<const float4*>(args.sin + pair);
        cos[0] = c.x, cos[1] = c.y, cos[2] = c.z, cos[3] = c.w;
        sin[0] = s.x, sin[1] = s.y, sin[2] = s.z, sin[3] = s.w;
      } else {
        cos[0] = args.cos[pair], sin[0] = args.sin[pair];
      }
#pragma unroll
      for (int i = 0; i < N / 2; ++i) {
        const float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = a * sin[i] + b * cos[i];
      }
    }
  }
  const int64_t to = ((sample * args.heads + head) * args.tokens + token) * args.width + within;
  chunk::store<N>(static_cast<T*>(args.out) + to, x);
}

// Rows of at most K chunks a thread, in registers; a block takes R of them.
template <class T, int K, int R>
__device__ __forceinline__ void rope_kept(const RopeArgs& args) {
  constexpr int N = 8;
  __shared__ float squares[R][32];
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * R;
  const int row_width = args.heads * args.width;
  chunk::Raw<T> raw[R][K];
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int first = (threadIdx.x + k * blockDim.x) * N;
      if (first < row_width && first_row + r < args.rows) {
        raw[r][k].load(static_cast<const T*>(args.x) + (first_row + r) * row_width + first);
      } else {
        raw[r][k].clear();
      }
    }
  }
  float x[N], square[R] = {};
  if (args.weight != nullptr) {
#pragma unroll
    for (int r = 0; r < R; ++r) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        raw[r][k].widen(x);
#pragma unroll
        for (int i = 0; i < N; ++i) square[r] += x[i] * x[i];
      }
    }
    chunk::block_sums(square, squares);
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
    const float factor = 1.0f / sqrtf(square[r] / static_cast<float>(row_width) + args.eps);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int first = (threadIdx.x + k * blockDim.x) * N;
      if (first >= row_width || first_row + r >= args.rows) continue;
      raw[r][k].forget();
      raw[r][k].widen(x);
      finish<T, N>(args, static_cast<uint32_t>(first_row + r), first, factor, x);
    }
  }
}

// Rows of any width, read again after the sum.
template <class T, int N>
__device__ __forceinline__ void rope_read(const RopeArgs& args) {
  __shared__ float squares[1][32];
  const int64_t row = blockIdx.x;
  const int row_width = args.heads * args.width;
  const T* const from = static_cast<const T*>(args.x) + row * row_width;
  float x[N], square[1] = {};
  if (args.weight != nullptr) {
    for (int first = threadIdx.x * N; first < row_width; first += blockDim.x * N) {
      chunk::load<N>(from + first, x);
#pragma unroll
      for (int i = 0; i < N; ++i) square[0] += x[i] * x[i];
    }
    chunk::block_sums(square, squares);
  }
  const float factor = 1.0f / sqrtf(square[0] / static_cast<float>(row_width) + args.eps);
  for (int first = threadIdx.x * N; first < row_width; first += blockDim.x * N) {
    chunk::load<N>(from + first, x);
    finish<T, N>(args, row, first, factor, x);
  }
}

struct MergeArgs {
  const void* x;  // [B, H, S, row] of units
  void* out;      // [B, S, H, row]
  int64_t rows;   // B·S
  uint32_t tokens;
  int heads;
  int row;  // units of a head's row
};

// A block takes four tokens.
template <class U>
__device__ __forceinline__ void merge(const MergeArgs& args) {
  constexpr int R = 4;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * R;
  const int units = args.heads * args.row;
  for (int unit = threadIdx.x; unit < units; unit += blockDim.x) {
    const int head = unit / args.row, within = unit % args.row;
    U x[R];
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (first_row + r >= args.rows) break;
      const uint32_t row = static_cast<uint32_t>(first_row + r);
      const int64_t sample = row / args.tokens, token = row % args.tokens;
      x[r] = static_cast<const U*>(args.x)[((sample * args.heads + head) * args.tokens + token) * args.row + within];
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (first_row + r < args.rows) static_cast<U*>(args.out)[(first_row + r) * units + unit] = x[r];
    }
  }
}

}  // namespace

#define TESSERA_ROPE(NAME, T)                                                                                       \
  extern "C" __global__ void __launch_bounds__(256, 5) rope_##NAME##_e8_k1(const __grid_constant__ RopeArgs args) { \
    rope_kept<T, 1, 8 / sizeof(T)>(args);                                                                           \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) rope_##NAME##_e8_k2(const __grid_constant__ RopeArgs args) {    \
    rope_kept<T, 2, 2>(args);                                                                                       \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(1024) rope_##NAME##_e8_k4(const __grid_constant__ RopeArgs args) {   \
    rope_kept<T, 4, 1>(args);                                                                                       \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) rope_##NAME##_e8_k0(const __grid_constant__ RopeArgs args) {    \
    rope_read<T, 8>(args);                                                                                          \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) rope_##NAME##_e2_k0(const __grid_constant__ RopeArgs args) {    \
    rope_read<T, 2>(args);                                                                                          \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) rope_##NAME##_e1_k0(const __grid_constant__ RopeArgs args) {    \
    rope_read<T, 1>(args);                                                                                          \
  }

TESSERA_ROPE(f32, float)
TESSERA_ROPE(bf16, __nv_bfloat16)

extern "C" __global__ void __launch_bounds__(256) merge_heads_16(const __grid_constant__ MergeArgs args) {
  merge<uint4>(args);
}
extern "C" __global__ void __launch_bounds__(256) merge_heads_4(const __grid_constant__ MergeArgs args) {
  merge<uint32_t>(args);
}
extern "C" __global__ void __launch_bounds__(256) merge_heads_2(const __grid_constant__ MergeArgs args) {
  merge<uint16_t>(args);
}
