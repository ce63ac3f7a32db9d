// The pyramid of K and V: means over 2, 4, …, 64 keys, and what the score of each mean gains.
//
// [heads, keys, D] becomes, a level, [heads, padded, D] with ⌈keys/2^(ℓ−1)⌉ rows padded by zeros to whole units of eight.
// Sums are F32 of the original 16-bit keys, divided by the keys that count, rounded once. One pass: reads K and V
// once, writes each level asked for once.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "work.cuh"

namespace {

struct PoolArgs {
  const void* from[2];             // K and V
  void* to[2][work::kLevels];      // by level − 1; null where a level is not wanted, as level 1
  const uint8_t* valid;            // [keys], 0 = a key that nobody sees; null: all are real
  int keys;
  int padded[work::kLevels];
};

struct BiasArgs {
  float* bias[work::kLevels];  // by level − 1, padded to a multiple of 64
  const uint8_t* valid;
  int keys;
  int mode;  // log₂ n, ℓ − 1 or 0
};

template <class T>
struct Pair;
template <>
struct Pair<__nv_bfloat16> {
  using Type = __nv_bfloat162;
  static __device__ float2 widen(Type x) { return __bfloat1622float2(x); }
  static __device__ Type round(float x, float y) { return __floats2bfloat162_rn(x, y); }
};
template <>
struct Pair<__half> {
  using Type = __half2;
  static __device__ float2 widen(Type x) { return __half22float2(x); }
  static __device__ Type round(float x, float y) { return __floats2half2_rn(x, y); }
};

constexpr int kChunk = 8;  // elements that a thread takes of a row

template <class T>
__device__ __forceinline__ void store_mean(const PoolArgs& args, int level, int tensor, int head, int row, int width,
                                           int chunk, const float (&sum)[kChunk], int count) {
  T* const to = static_cast<T*>(args.to[tensor][level - 1]);
  if (to == nullptr || row >= args.padded[level - 1]) return;
  const float share = count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
  uint4 packed;
  auto* pairs = reinterpret_cast<typename Pair<T>::Type*>(&packed);
#pragma unroll
  for (int i = 0; i < kChunk / 2; ++i) pairs[i] = Pair<T>::round(sum[2 * i] * share, sum[2 * i + 1] * share);
  const int64_t place = static_cast<int64_t>(head) * args.padded[level - 1] + row;
  *reinterpret_cast<uint4*>(to + place * width + chunk * kChunk) = packed;
}

// A block a key block: a thread takes eight keys of eight elements.
template <class T, int D>
__device__ __forceinline__ void pool(const PoolArgs& args) {
  constexpr int kChunks = D / kChunk;
  __shared__ float sums[8][D];
  __shared__ int counts[8];
  const int chunk = threadIdx.x % kChunks, octet = threadIdx.x / kChunks;
  const int block = blockIdx.x, head = blockIdx.y, tensor = blockIdx.z;
  const int first = block * work::kKeyBlock + octet * 8;
  const T* const from = static_cast<const T*>(args.from[tensor]) + static_cast<int64_t>(head) * args.keys * D;
  uint4 loaded[8];
  bool real[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int key = first + i;
    real[i] = key < args.keys && (args.valid == nullptr || args.valid[key] != 0);
    loaded[i] = make_uint4(0, 0, 0, 0);
    if (real[i]) loaded[i] = *reinterpret_cast<const uint4*>(from + static_cast<int64_t>(key) * D + chunk * kChunk);
  }
  float fours[2][kChunk] = {}, eight[kChunk];
  int of_four[2] = {0, 0};
#pragma unroll
  for (int pair = 0; pair < 4; ++pair) {
    float two[kChunk];
    const auto* a = reinterpret_cast<const typename Pair<T>::Type*>(&loaded[2 * pair]);
    const auto* b = reinterpret_cast<const typename Pair<T>::Type*>(&loaded[2 * pair + 1]);
#pragma unroll
    for (int i = 0; i < kChunk / 2; ++i) {
      const float2 x = Pair<T>::widen(a[i]), y = Pair<T>::widen(b[i]);
      two[2 * i] = x.x + y.x;
      two[2 * i + 1] = x.y + y.y;
    }
    const int count = real[2 * pair] + real[2 * pair + 1];
    store_mean<T>(args, 2, tensor, head, first / 2 + pair, D, chunk, two, count);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) fours[pair / 2][i] += two[i];
    of_four[pair / 2] += count;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) store_mean<T>(args, 3, tensor, head, first / 4 + i, D, chunk, fours[i], of_four[i]);
#pragma unroll
  for (int i = 0; i < kChunk; ++i) sums[octet][chunk * kChunk + i] = eight[i] = fours[0][i] + fours[1][i];
  store_mean<T>(args, 4, tensor, head, first / 8, D, chunk, eight, of_four[0] + of_four[1]);
  if (chunk == 0) counts[octet] = of_four[0] + of_four[1];
  __syncthreads();

  // Four means of two octets, two of four, one of all.
  const int group = octet;
  if (group >= 7) return;
  const int level = group < 4 ? 5 : group < 6 ? 6 : 7;
  const int octets = 1 << (level - 4), within = group < 4 ? group : group < 6 ? group - 4 : 0;
  float sum[kChunk] = {};
  int count = 0;
  for (int i = within * octets; i < (within + 1) * octets; ++i) {
    count += counts[i];
#pragma unroll
    for (int j = 0; j < kChunk; ++j) sum[j] += sums[i][chunk * kChunk + j];
  }
  const int row = block * (8 / octets) + within;
  store_mean<T>(args, level, tensor, head, row, D, chunk, sum, count);
}

}  // namespace

#define TESSERA_POOL(NAME, T, D) \
  extern "C" __global__ void __launch_bounds__(D) NAME(const __grid_constant__ PoolArgs args) { pool<T, D>(args); }

TESSERA_POOL(pool_bf16_d128, __nv_bfloat16, 128)
TESSERA_POOL(pool_bf16_d64, __nv_bfloat16, 64)
TESSERA_POOL(pool_f16_d128, __half, 128)
TESSERA_POOL(pool_f16_d64, __half, 64)

// Grid: (blocks of 256 pooled keys, levels).
extern "C" __global__ void pool_biases(const __grid_constant__ BiasArgs args) {
  const int level = static_cast<int>(blockIdx.y) + 1;
  const int run = 1 << (level - 1);
  const int row = blockIdx.x * blockDim.x + threadIdx.x;
  const int rows = (args.keys + run - 1) / run;
  if (row >= (rows + 63) / 64 * 64) return;
  int count = 0;
  for (int key = row * run; key < min((row + 1) * run, args.keys); ++key) {
    count += args.valid == nullptr || args.valid[key] != 0;
  }
  float bias = -INFINITY;
  if (count > 0) {
    bias = args.mode == 0 ? log2f(static_cast<float>(count)) : args.mode == 1 ? static_cast<float>(level - 1) : 0.0f;
  }
  args.bias[level - 1][row] = bias;
}
