// N adjacent elements of a row as F32 in registers: 16-byte accesses where N is 8, single elements otherwise.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <type_traits>

namespace chunk {

template <int N, class T>
__device__ __forceinline__ void load(const T* from, float (&x)[N]) {
  if constexpr (N == 8 && std::is_same_v<T, float>) {
    const float4 a = reinterpret_cast<const float4*>(from)[0], b = reinterpret_cast<const float4*>(from)[1];
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
  } else if constexpr (N == 8) {
    const uint4 packed = *reinterpret_cast<const uint4*>(from);
    const auto* pairs = reinterpret_cast<const __nv_bfloat162*>(&packed);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = __bfloat1622float2(pairs[i]);
      x[2 * i] = pair.x, x[2 * i + 1] = pair.y;
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) x[i] = static_cast<float>(from[i]);
  }
}

// Eight elements as they lie in memory: half the registers for 16-bit ones while others are on their way.
template <class T>
struct Raw {
  static constexpr int kWords = static_cast<int>(sizeof(T)) / 2;
  uint4 words[kWords];

  __device__ __forceinline__ void load(const T* from) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) words[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < kWords; ++i) words[i] = make_uint4(0, 0, 0, 0);
  }
  // Keeps the compiler from holding the widened elements from before to after.
  __device__ __forceinline__ void forget() {
#pragma unroll
    for (int i = 0; i < kWords; ++i) asm volatile("" : "+r"(words[i].x), "+r"(words[i].y), "+r"(words[i].z), "+r"(words[i].w));
  }
  __device__ __forceinline__ void widen(float (&x)[8]) const { chunk::load<8>(reinterpret_cast<const T*>(words), x); }
};

template <int N, class T>
__device__ __forceinline__ void store(T* to, const float (&x)[N]) {
  if constexpr (N == 8 && std::is_same_v<T, float>) {
    reinterpret_cast<float4*>(to)[0] = make_float4(x[0], x[1], x[2], x[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(x[4], x[5], x[6], x[7]);
  } else if constexpr (N == 8) {
    uint4 packed;
    auto* pairs = reinterpret_cast<__nv_bfloat162*>(&packed);
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
    *reinterpret_cast<uint4*>(to) = packed;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = static_cast<T>(x[i]);
  }
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

// R sums over the block, the same bits in every thread. `parts` is used once between barriers.
template <int R>
__device__ __forceinline__ void block_sums(float (&x)[R], float (&parts)[R][32]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
#pragma unroll
  for (int r = 0; r < R; ++r) {
    x[r] = warp_sum(x[r]);
    if (lane == 0) parts[r][warp] = x[r];
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < R; ++r) x[r] = warp_sum(lane < warps ? parts[r][lane] : 0.0f);
}

}  // namespace chunk
