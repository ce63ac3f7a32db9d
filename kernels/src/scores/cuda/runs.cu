// What scores are made of, one pass over queries or keys each: means over runs, sampled tokens, likeness within blocks.
//
// Products want 16-bit factors. F32 values go as two BF16 parts, `high` + `low`, which hold 16 bits of each; values that are
// BF16 already are their own high part.

#include <cuda_bf16.h>

#include <cstdint>

namespace {

constexpr int kPiece = 8;  // elements that a thread takes of a row
constexpr float kLeast = 1.17549435e-38f;

__device__ __forceinline__ void load(const __nv_bfloat16* from, float (&x)[kPiece]) {
  const uint4 packed = *reinterpret_cast<const uint4*>(from);
  const auto* pairs = reinterpret_cast<const __nv_bfloat162*>(&packed);
#pragma unroll
  for (int i = 0; i < kPiece / 2; ++i) {
    const float2 pair = __bfloat1622float2(pairs[i]);
    x[2 * i] = pair.x;
    x[2 * i + 1] = pair.y;
  }
}

__device__ __forceinline__ void load(const float* from, float (&x)[kPiece]) {
  const auto* pieces = reinterpret_cast<const float4*>(from);
  const float4 a = pieces[0], b = pieces[1];
  x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
}

__device__ __forceinline__ void store_parts(__nv_bfloat16* high, __nv_bfloat16* low, int64_t at, const float (&x)[kPiece]) {
  uint4 of_high, of_low;
  auto* highs = reinterpret_cast<__nv_bfloat16*>(&of_high);
  auto* lows = reinterpret_cast<__nv_bfloat16*>(&of_low);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    highs[i] = __float2bfloat16_rn(x[i]);
    lows[i] = __float2bfloat16_rn(x[i] - __bfloat162float(highs[i]));
  }
  *reinterpret_cast<uint4*>(high + at) = of_high;
  if (low != nullptr) *reinterpret_cast<uint4*>(low + at) = of_low;
}

// x [heads, tokens, width] to the means [heads, runs, width] of runs of `run` tokens, F32 or in parts. Grid: (runs ÷ runs of a
// block, heads); `lanes` threads share a run's rows, so that a block of threads has blockDim ÷ (width / 8 · lanes) runs.
template <class T>
__device__ __forceinline__ void means(const T* x, float* mean, __nv_bfloat16* high, __nv_bfloat16* low, int tokens, int width,
                                      int run, int lanes) {
  __shared__ float sums[256][kPiece];
  const int pieces = width / kPiece, threads = pieces * lanes;
  const int within = threadIdx.x % threads, piece = within % pieces, lane = within / pieces;
  const int runs = (tokens + run - 1) / run, index = blockIdx.x * (blockDim.x / threads) + threadIdx.x / threads;
  const bool is_real = index < runs && threadIdx.x < blockDim.x / threads * threads;
  const int64_t head = blockIdx.y;
  const int first = index * run, end = min(first + run, tokens);
  float sum[kPiece] = {};
  if (is_real) {
#pragma unroll 8
    for (int token = first + lane; token < end; token += lanes) {
      float row[kPiece];
      load(x + (head * tokens + token) * width + piece * kPiece, row);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) sum[i] += row[i];
    }
  }
  if (lanes > 1) {
#pragma unroll
    for (int i = 0; i < kPiece; ++i) sums[threadIdx.x][i] = sum[i];
    __syncthreads();
    if (is_real && lane == 0) {
      for (int other = 1; other < lanes; ++other) {
#pragma unroll
        for (int i = 0; i < kPiece; ++i) sum[i] += sums[threadIdx.x + other * pieces][i];
      }
    }
  }
  if (!is_real || lane > 0) return;
  const float share = 1.0f / static_cast<float>(end - first);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) sum[i] *= share;
  const int64_t at = (head * runs + index) * width + piece * kPiece;
  if (mean != nullptr) {
#pragma unroll
    for (int i = 0; i < kPiece; ++i) mean[at + i] = sum[i];
  }
  if (high != nullptr) store_parts(high, low, at, sum);
}

// x [heads, tokens, width] to the sampled tokens [heads, blocks · each, width] in parts: those at `positions` [heads, each] of
// whole blocks, stretched over what a ragged one has. Grid: (rows ÷ rows of a block, heads).
template <class T>
__device__ __forceinline__ void sampled(const T* x, const uint32_t* positions, __nv_bfloat16* high, __nv_bfloat16* low,
                                        int tokens, int width, int block, int each) {
  const int pieces = width / kPiece, rows = blockDim.x / pieces;
  const int row = blockIdx.x * rows + threadIdx.x / pieces, piece = threadIdx.x % pieces;
  const int all = (tokens + block - 1) / block * each;
  if (row >= all || static_cast<int>(threadIdx.x) >= rows * pieces) return;
  const int64_t head = blockIdx.y;
  const int first = row / each * block, length = min(block, tokens - first);
  const int token = first + static_cast<int>(positions[head * each + row % each]) * length / block;
  float values[kPiece];
  load(x + (head * tokens + token) * width + piece * kPiece, values);
  store_parts(high, low, (head * all + row) * width + piece * kPiece, values);
}

__device__ __forceinline__ float warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

template <class T>
__device__ __forceinline__ float value(const T* x, int64_t at) {
  return static_cast<float>(x[at]);
}

// The squared length of the mean of a block's normalised tokens. Grid: (blocks, heads); 8 warps. Width: at most 256.
template <class T>
__device__ __forceinline__ void self_similarity(const T* x, float* to, int tokens, int width, int block) {
  __shared__ float sums[8][256];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t head = blockIdx.y;
  const int first = blockIdx.x * block, end = min(first + block, tokens);
  float sum[8] = {};
  for (int token = first + warp; token < end; token += 8) {
    float row[8], squares = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int channel = lane + 32 * i;
      row[i] = channel < width ? value(x, (head * tokens + token) * width + channel) : 0.0f;
      squares += row[i] * row[i];
    }
    const float share = 1.0f / fmaxf(sqrtf(warp_sum(squares)), kLeast);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum[i] += row[i] * share;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) sums[warp][lane + 32 * i] = sum[i];
  __syncthreads();
  if (warp > 0) return;
  float squares = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    float all = 0;
    for (int other = 0; other < 8; ++other) all += sums[other][lane + 32 * i];
    squares += all * all;
  }
  squares = warp_sum(squares);
  const float count = static_cast<float>(end - first);
  if (lane == 0) to[head * gridDim.x + blockIdx.x] = squares / (count * count);
}

// For pools of 2, 4 and 8 the mean cosine of a group's first and last token. Grid: (blocks, heads); 8 warps.
template <class T>
__device__ __forceinline__ void group_cosine(const T* x, float* to, int tokens, int width, int block) {
  __shared__ float sums[8];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t head = blockIdx.y;
  const int first = blockIdx.x * block, length = min(block, tokens - first);
  for (int place = 0; place < 3; ++place) {
    const int pool = min(2 << place, block), groups = (length + pool - 1) / pool;
    float cosines = 0;
    for (int group = warp; group < groups; group += 8) {
      const int64_t a = (head * tokens + first + group * pool) * width;
      const int64_t b = (head * tokens + min(first + group * pool + pool - 1, tokens - 1)) * width;
      float of_a = 0, of_b = 0, both = 0;
      for (int channel = lane; channel < width; channel += 32) {
        const float u = value(x, a + channel), v = value(x, b + channel);
        of_a += u * u, of_b += v * v, both += u * v;
      }
      of_a = fmaxf(sqrtf(warp_sum(of_a)), kLeast);
      of_b = fmaxf(sqrtf(warp_sum(of_b)), kLeast);
      cosines += warp_sum(both) / of_a / of_b;
    }
    __syncthreads();
    if (lane == 0) sums[warp] = cosines;
    __syncthreads();
    if (threadIdx.x == 0) {
      float all = 0;
      for (int other = 0; other < 8; ++other) all += sums[other];
      to[(head * gridDim.x + blockIdx.x) * 3 + place] = all / static_cast<float>(groups);
    }
  }
}

}  // namespace

#define TESSERA_RUNS(KIND, T)                                                                                                 \
  extern "C" __global__ void __launch_bounds__(256)                                                                           \
      means_##KIND(const T* x, float* mean, __nv_bfloat16* high, __nv_bfloat16* low, int tokens, int width, int run,          \
                   int lanes) {                                                                                               \
    means(x, mean, high, low, tokens, width, run, lanes);                                                                     \
  }                                                                                                                           \
  extern "C" __global__ void __launch_bounds__(256)                                                                           \
      sampled_##KIND(const T* x, const uint32_t* positions, __nv_bfloat16* high, __nv_bfloat16* low, int tokens, int width,   \
                     int block, int each) {                                                                                   \
    sampled(x, positions, high, low, tokens, width, block, each);                                                             \
  }                                                                                                                           \
  extern "C" __global__ void __launch_bounds__(256)                                                                           \
      self_similarity_##KIND(const T* x, float* to, int tokens, int width, int block) {                                       \
    self_similarity(x, to, tokens, width, block);                                                                             \
  }                                                                                                                           \
  extern "C" __global__ void __launch_bounds__(256)                                                                           \
      group_cosine_##KIND(const T* x, float* to, int tokens, int width, int block) {                                          \
    group_cosine(x, to, tokens, width, block);                                                                                \
  }

TESSERA_RUNS(bf16, __nv_bfloat16)
TESSERA_RUNS(f32, float)
