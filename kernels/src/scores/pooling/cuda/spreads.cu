// How far the values of a group are from their mean, at every level above the first, and the queries that are sampled.

#include <cuda_bf16.h>

#include <cstdint>

namespace {

constexpr int kLevels = 6;  // 2 to 7
constexpr int kKeyBlock = 64;

// `pooling::cuda::Spreads`.
struct Spreads {
  float* levels[kLevels];  // [heads, ⌈keys / 2^(level − 1)⌉], level 2 first
};

__device__ __forceinline__ float warp_sum(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(~0u, x, step);
  return x;
}

// V [heads, keys, width] to (1/n) Σ ‖v − v̄‖² of each group. Grid: (key blocks, heads); 8 warps, a warp a group: neighbours
// are merged level by level. Shared memory: a block's values.
template <class T>
__device__ __forceinline__ void spread(const T* v, const Spreads& to, int keys, int width) {
  extern __shared__ float means[];
  __shared__ float squares[kKeyBlock];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t head = blockIdx.y;
  const int first = blockIdx.x * kKeyBlock, tokens = min(kKeyBlock, keys - first);
  const T* const from = v + (head * keys + first) * width;
  for (int at = threadIdx.x; at < tokens * width; at += blockDim.x) means[at] = static_cast<float>(from[at]);
  for (int token = threadIdx.x; token < tokens; token += blockDim.x) squares[token] = 0.0f;
  __syncthreads();
  for (int level = 0; level < kLevels; ++level) {
    const int size = 1 << level, groups = (tokens + 2 * size - 1) / (2 * size);
    const int all = (keys + 2 * size - 1) / (2 * size);
    for (int group = warp; group < groups; group += 8) {
      // A group's mean is where its first token was.
      const int a = group * 2 * size, b = a + size;
      float sum = squares[a];
      int count = tokens - a;
      if (b < tokens) {
        const float n = static_cast<float>(size), m = static_cast<float>(min(size, tokens - b)), of_b = m / (n + m);
        float distance = 0;
        for (int channel = lane; channel < width; channel += 32) {
          const float mean = means[a * width + channel], gap = means[b * width + channel] - mean;
          distance += gap * gap;
          means[a * width + channel] = mean + gap * of_b;
        }
        distance = warp_sum(distance);
        sum += squares[b] + distance * n * of_b;
        count = min(2 * size, tokens - a);
      }
      __syncwarp();
      if (lane == 0) {
        squares[a] = sum;
        to.levels[level][head * all + (first >> (level + 1)) + group] = sum / static_cast<float>(count);
      }
    }
    __syncthreads();
  }
}

__device__ __forceinline__ uint64_t mixed(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

// The sampled queries of each block, as `pooling::positions` draws them: the generator is a counter, so that every block
// knows where its draws begin. Places of [B·H·queries]; a block of one warp has 32 query blocks.
__device__ __forceinline__ void draw(uint32_t* places, int head, int row, int queries, int query_block, int each,
                                     uint64_t seed, int64_t to) {
  uint64_t state = (seed ^ mixed(static_cast<uint64_t>(head) + 1)) + static_cast<uint64_t>(row) * each * 0x9e3779b97f4a7c15ull;
  const int first = row * query_block, length = min(query_block, queries - first);
  uint16_t swapped[512];
  for (int i = 0; i < query_block; ++i) swapped[i] = static_cast<uint16_t>(i);
  for (int place = 0; place < each; ++place) {
    state += 0x9e3779b97f4a7c15ull;
    const int other = place + static_cast<int>(mixed(state) % static_cast<uint64_t>(query_block - place));
    const uint16_t held = swapped[place];
    swapped[place] = swapped[other];
    swapped[other] = held;
  }
  for (int i = 1; i < each; ++i) {
    const uint16_t held = swapped[i];
    int at = i;
    for (; at > 0 && swapped[at - 1] > held; --at) swapped[at] = swapped[at - 1];
    swapped[at] = held;
  }
  for (int i = 0; i < each; ++i) {
    places[to + i] = static_cast<uint32_t>(head * queries + first + swapped[i] * length / query_block);
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(256)
    spreads_bf16(const __nv_bfloat16* v, const __grid_constant__ Spreads to, int keys, int width) {
  spread(v, to, keys, width);
}

extern "C" __global__ void __launch_bounds__(256)
    spreads_f32(const float* v, const __grid_constant__ Spreads to, int keys, int width) {
  spread(v, to, keys, width);
}

// Grid: (rows ÷ 32, heads).
extern "C" __global__ void __launch_bounds__(32)
    drawn_queries(uint32_t* places, int rows, int queries, int query_block, int each, uint64_t seed) {
  const int row = blockIdx.x * 32 + threadIdx.x, head = blockIdx.y;
  if (row >= rows) return;
  draw(places, head, row, queries, query_block, each, seed, (static_cast<int64_t>(head) * rows + row) * each);
}
