// Channel norm and SiLU, a pixel at a time. A pixel is a few hundred bytes: as many lanes as it has chunks share it, so that a
// warp takes several pixels, and no barrier is needed.

#include "../../cuda/chunk.cuh"

namespace {

struct Args {
  const void* x;
  const float* gains;  // √C·gamma
  void* out;
  int64_t pixels;
  int channels;
  int silu;
  float smallest;
};

template <int LANES>
__device__ __forceinline__ float sum(float x) {
#pragma unroll
  for (int step = LANES / 2; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

template <class T, int N>
__device__ __forceinline__ void finish(const Args& args, int64_t pixel, int first, float factor, const float (&gain)[N],
                                       float (&x)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    x[i] *= factor * gain[i];
    if (args.silu) x[i] = __fdividef(x[i], 1.0f + __expf(-x[i]));
  }
  chunk::store<N>(static_cast<T*>(args.out) + pixel * args.channels + first, x);
}

// Up to LANES·K chunks of 8 channels, in registers; a group of lanes takes R pixels.
template <class T, int LANES, int K, int R>
__device__ __forceinline__ void kept(const Args& args) {
  constexpr int N = 8;
  const int lane = threadIdx.x % LANES;
  const int64_t group = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / LANES;
  float x[R][K][N], gain[K][N], square[R] = {};
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int first = (lane + k * LANES) * N;
      if (first < args.channels && group * R + r < args.pixels) {
        chunk::load<N>(static_cast<const T*>(args.x) + (group * R + r) * args.channels + first, x[r][k]);
      } else {
#pragma unroll
        for (int i = 0; i < N; ++i) x[r][k][i] = 0.0f;
      }
    }
  }
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int first = (lane + k * LANES) * N;
    if (first < args.channels) chunk::load<N>(args.gains + first, gain[k]);
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int i = 0; i < N; ++i) square[r] += x[r][k][i] * x[r][k][i];
    }
    const float factor = 1.0f / fmaxf(sqrtf(sum<LANES>(square[r])), args.smallest);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int first = (lane + k * LANES) * N;
      if (first < args.channels && group * R + r < args.pixels) {
        finish<T, N>(args, group * R + r, first, factor, gain[k], x[r][k]);
      }
    }
  }
}

// Any number of channels: a warp a pixel, read again after the sum.
template <class T>
__device__ __forceinline__ void any(const Args& args) {
  const int lane = threadIdx.x % 32;
  const int64_t pixel = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  if (pixel >= args.pixels) return;
  const T* const from = static_cast<const T*>(args.x) + pixel * args.channels;
  float x[1], square = 0.0f;
  for (int first = lane; first < args.channels; first += 32) {
    chunk::load<1>(from + first, x);
    square += x[0] * x[0];
  }
  const float factor = 1.0f / fmaxf(sqrtf(sum<32>(square)), args.smallest);
  for (int first = lane; first < args.channels; first += 32) {
    float gain[1];
    chunk::load<1>(from + first, x);
    chunk::load<1>(args.gains + first, gain);
    finish<T, 1>(args, pixel, first, factor, gain, x);
  }
}

}  // namespace

#define TESSERA_CHANNEL_NORM(NAME, T)                                                                           \
  extern "C" __global__ void __launch_bounds__(256) channel_norm_##NAME##_16(const __grid_constant__ Args a) {  \
    kept<T, 16, 1, 4>(a);                                                                                       \
  }                                                                                                             \
  extern "C" __global__ void __launch_bounds__(256) channel_norm_##NAME##_32(const __grid_constant__ Args a) {  \
    kept<T, 32, 1, 4>(a);                                                                                       \
  }                                                                                                             \
  extern "C" __global__ void __launch_bounds__(256) channel_norm_##NAME##_64(const __grid_constant__ Args a) {  \
    kept<T, 32, 2, 2>(a);                                                                                       \
  }                                                                                                             \
  extern "C" __global__ void __launch_bounds__(256) channel_norm_##NAME##_128(const __grid_constant__ Args a) { \
    kept<T, 32, 4, 1>(a);                                                                                       \
  }                                                                                                             \
  extern "C" __global__ void __launch_bounds__(256) channel_norm_##NAME##_any(const __grid_constant__ Args a) { \
    any<T>(a);                                                                                                  \
  }

TESSERA_CHANNEL_NORM(f32, float)
TESSERA_CHANNEL_NORM(bf16, __nv_bfloat16)
