// The losses of every pair of blocks at every level, from eight sampled queries of each query block: two walks over the keys.
// The first finds each query's softmax denominator, the second its weights, and merges them from level to level as they lie in
// the products' registers: pairs within a thread, fours and eights by shuffles, 16 and 32 within a thread again, 64 by way of
// shared memory. Nothing is added in an order that could change.

#include "../../../cuda/ptx.cuh"
#include "../../cuda/tile.cuh"

namespace {

constexpr int kLevels = 6;   // 2 to 7
constexpr int kQueries = 8;  // sampled, of a query block
constexpr int kBlocks = tile::kRows / kQueries;  // query blocks of a tile

// `pooling::cuda::Args`.
struct Args {
  tile::Operand a, b;
  const float* spreads[kLevels];  // [heads, groups]
  float* partial;  // [parts of the keys, heads, sampled queries, 2]: largest logit and Σ 2^(logit − largest)
  float* loss;     // [heads, rows, columns, 7]
  float* mass;     // [heads, rows, columns]
  int rows, columns, keys;
  int tiles;       // of b to a block of threads
  int parts;       // that the first walk cut the keys into
  float scale;     // · log₂ e
};

// --- the first walk ----------------------------------------------------------------------------------------------------

template <int D, int Parts>
__device__ __forceinline__ void denominators(const Args& args) {
  extern __shared__ __align__(128) char shared[];
  __shared__ float highest_of[4][tile::kRows], sum_of[4][tile::kRows];
  const int64_t head = blockIdx.y;
  const int row = blockIdx.x * tile::kRows;
  const int first = blockIdx.z * args.tiles, all = (args.keys + tile::kRows - 1) / tile::kRows;
  const tile::Place place;
  float highest[tile::kM][2], sum[tile::kM][2];
#pragma unroll
  for (int m = 0; m < tile::kM; ++m) {
    highest[m][0] = highest[m][1] = -3.0e38f;
    sum[m][0] = sum[m][1] = 0.0f;
  }
  tile::multiply<D, Parts>(shared, args.a, args.b, head, row, first, min(first + args.tiles, all), [&](int tile, const auto& products) {
    const int key = tile * tile::kRows + place.first_column;
#pragma unroll
    for (int m = 0; m < tile::kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float x[2 * tile::kN], most = highest[m][half];
#pragma unroll
        for (int i = 0; i < 2 * tile::kN; ++i) {
          x[i] = products[m][i / 2][2 * half + i % 2] * args.scale;
          if (key + i / 2 * 8 + i % 2 >= args.keys) x[i] = -INFINITY;
          most = fmaxf(most, x[i]);
        }
        float total = sum[m][half] * ptx::exp2(highest[m][half] - most);
#pragma unroll
        for (int i = 0; i < 2 * tile::kN; ++i) total += ptx::exp2(x[i] - most);
        highest[m][half] = most;
        sum[m][half] = total;
      }
    }
  });
#pragma unroll
  for (int m = 0; m < tile::kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int step = 1; step < 4; step *= 2) {
        const float other = __shfl_xor_sync(~0u, highest[m][half], step), theirs = __shfl_xor_sync(~0u, sum[m][half], step);
        const float most = fmaxf(highest[m][half], other);
        sum[m][half] = sum[m][half] * ptx::exp2(highest[m][half] - most) + theirs * ptx::exp2(other - most);
        highest[m][half] = most;
      }
      if (threadIdx.x % 4 == 0) {
        highest_of[threadIdx.x / 32 % 4][place.row(m, half)] = highest[m][half];
        sum_of[threadIdx.x / 32 % 4][place.row(m, half)] = sum[m][half];
      }
    }
  }
  __syncthreads();
  const int query = threadIdx.x;
  if (query >= tile::kRows || row + query >= args.a.rows) return;
  float most = highest_of[0][query], total = sum_of[0][query];
  for (int warp = 1; warp < 4; ++warp) {
    const float other = highest_of[warp][query], unit = fmaxf(most, other);
    total = total * ptx::exp2(most - unit) + sum_of[warp][query] * ptx::exp2(other - unit);
    most = unit;
  }
  float* const to = args.partial + 2 * ((static_cast<int64_t>(blockIdx.z) * gridDim.y + head) * args.a.rows + row + query);
  to[0] = most;
  to[1] = total;
}

// --- the second walk ---------------------------------------------------------------------------------------------------

// Groups of keys that become one: sums of weights, and of their squared distances from the mean.
struct Group {
  float sum, squares;
};

// Two neighbours of `size` keys each, of which the last of all may have fewer: (a/n − b/m)²·nm/(n + m).
template <bool IsRagged>
__device__ __forceinline__ Group merged(Group a, Group b, int size, int key, int keys) {
  const float sum = a.sum + b.sum;
  if constexpr (IsRagged) {
    const float n = static_cast<float>(min(max(keys - key, 0), size)), m = static_cast<float>(min(max(keys - key - size, 0), size));
    const float gap = m > 0.0f ? a.sum / n - b.sum / m : 0.0f;
    return {sum, a.squares + b.squares + (m > 0.0f ? gap * gap * n * m / (n + m) : 0.0f)};
  } else {
    const float gap = a.sum - b.sum;
    return {sum, a.squares + b.squares + gap * gap * (0.5f / static_cast<float>(size))};
  }
}

// The same with the group of the lane that differs in `bit`, which is the left one where it is set.
template <bool IsRagged>
__device__ __forceinline__ Group merged_lanes(Group own, int bit, int size, int key, int keys) {
  const Group other{__shfl_xor_sync(~0u, own.sum, bit), __shfl_xor_sync(~0u, own.squares, bit)};
  const bool is_left = (threadIdx.x & bit) == 0;
  return merged<IsRagged>(is_left ? own : other, is_left ? other : own, size, is_left ? key : key - size, keys);
}

struct Sums {
  // Of each query block and half a key block: losses at levels 2 to 6, and the mass.
  float cells[kBlocks][4][kLevels];
  // Of each query and half a key block.
  Group groups[tile::kRows][4];
};

// Of eight values of a lane the sum over all lanes; lane l has that of value l mod 8.
__device__ __forceinline__ float sum_of_each(float (&x)[8]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 4; step > 0; step /= 2) {
    const bool is_upper = lane & step;
#pragma unroll
    for (int i = 0; i < step; ++i) {
      const float given = is_upper ? x[i] : x[i + step];
      x[i] = (is_upper ? x[i + step] : x[i]) + __shfl_xor_sync(~0u, given, step);
    }
  }
  x[0] += __shfl_xor_sync(~0u, x[0], 8);
  return x[0] + __shfl_xor_sync(~0u, x[0], 16);
}

template <bool IsRagged, class Products>
__device__ __forceinline__ void merge_tile(const Args& args, Sums& sums, const float* logs, const tile::Place& place, int64_t head,
                                           int tile, const Products& products) {
  const int first = tile * tile::kRows + place.first_column - threadIdx.x % 4 * 2;  // of the warp's 32 keys
  const int pair = threadIdx.x % 4;
  const auto spread = [&](int level, int key) {
    const int group = key >> (level - 1), groups = (args.keys + (1 << (level - 1)) - 1) >> (level - 1);
    return group < groups ? args.spreads[level - 2][head * groups + group] : 0.0f;
  };
  float of_pairs[tile::kN], of_fours[tile::kN], of_eights[tile::kN], of_16[2];
#pragma unroll
  for (int n = 0; n < tile::kN; ++n) {
    of_pairs[n] = spread(2, first + n * 8 + pair * 2);
    // Lanes that merged the same group share its loss.
    of_fours[n] = 0.5f * spread(3, first + n * 8 + pair / 2 * 4);
    of_eights[n] = 0.25f * spread(4, first + n * 8);
  }
  of_16[0] = 0.25f * spread(5, first);
  of_16[1] = 0.25f * spread(5, first + 16);
  const float of_32 = 0.25f * spread(6, first);
#pragma unroll
  for (int m = 0; m < tile::kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float log = logs[place.row(m, half)];
      float losses[8] = {};
      Group eights[tile::kN];
#pragma unroll
      for (int n = 0; n < tile::kN; ++n) {
        const int key = first + n * 8 + pair * 2;
        float p[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          p[i] = ptx::exp2(products[m][n][2 * half + i] * args.scale - log);
          if (IsRagged && key + i >= args.keys) p[i] = 0.0f;
        }
        Group group = merged<IsRagged>({p[0], 0.0f}, {p[1], 0.0f}, 1, key, args.keys);
        losses[0] += group.squares * of_pairs[n];
        losses[5] += group.sum;
        group = merged_lanes<IsRagged>(group, 1, 2, key, args.keys);
        losses[1] += group.squares * of_fours[n];
        group = merged_lanes<IsRagged>(group, 2, 4, first + n * 8 + pair / 2 * 4, args.keys);
        losses[2] += group.squares * of_eights[n];
        eights[n] = group;
      }
      const Group left = merged<IsRagged>(eights[0], eights[1], 8, first, args.keys);
      const Group right = merged<IsRagged>(eights[2], eights[3], 8, first + 16, args.keys);
      losses[3] = left.squares * of_16[0] + right.squares * of_16[1];
      const Group all = merged<IsRagged>(left, right, 16, first, args.keys);
      losses[4] = all.squares * of_32;
      if (pair == 0) sums.groups[place.row(m, half)][threadIdx.x / 32 % 4] = all;
      const float sum = sum_of_each(losses);
      const int lane = threadIdx.x % 32;
      if (lane < kLevels) sums.cells[place.row(m, half) / kQueries][threadIdx.x / 32 % 4][lane] = sum;
    }
  }
}

template <int D, int Parts>
__device__ __forceinline__ void losses(const Args& args) {
  extern __shared__ __align__(128) char shared[];
  __shared__ Sums sums;
  __shared__ float logs[tile::kRows];
  const int64_t head = blockIdx.y;
  const int row = blockIdx.x * tile::kRows;
  const int first = blockIdx.z * args.tiles, all = (args.keys + tile::kRows - 1) / tile::kRows;
  const tile::Place place;
  if (threadIdx.x < tile::kRows) {
    float most = -3.0e38f, total = 0.0f;
    for (int part = 0; part < args.parts && row + static_cast<int>(threadIdx.x) < args.a.rows; ++part) {
      const float* const from =
          args.partial + 2 * ((static_cast<int64_t>(part) * gridDim.y + head) * args.a.rows + row + threadIdx.x);
      const float unit = fmaxf(most, from[0]);
      total = total * ptx::exp2(most - unit) + from[1] * ptx::exp2(from[0] - unit);
      most = unit;
    }
    logs[threadIdx.x] = most + log2f(total);
  }
  tile::multiply<D, Parts>(shared, args.a, args.b, head, row, first, min(first + args.tiles, all), [&](int tile, const auto& products) {
    if ((tile + 1) * tile::kRows > args.keys) {
      merge_tile<true>(args, sums, logs, place, head, tile, products);
    } else {
      merge_tile<false>(args, sums, logs, place, head, tile, products);
    }
    __syncthreads();
    // A thread a query and a key block; eight queries are eight neighbouring threads.
    const int query = threadIdx.x % tile::kRows, half = threadIdx.x / tile::kRows, column = tile * 2 + half;
    const int block = (row + query) / kQueries, key = column * 64;
    const bool is_real = block < args.rows && column < args.columns;
    const Group of_left = sums.groups[query][2 * half], of_right = sums.groups[query][2 * half + 1];
    const Group whole = (tile + 1) * tile::kRows > args.keys ? merged<true>(of_left, of_right, 32, key, args.keys)
                                                             : merged<false>(of_left, of_right, 32, key, args.keys);
    float squares = whole.squares;
#pragma unroll
    for (int step = 1; step < kQueries; step *= 2) squares += __shfl_xor_sync(~0u, squares, step);
    const int64_t cell = (head * args.rows + block) * args.columns + column;
    // One of the eight for each level, and one for the mass.
    const int level = threadIdx.x % kQueries;
    if (is_real) {
      constexpr float kShare = 1.0f / kQueries;
      const auto& cells = sums.cells[query / kQueries];
      if (level == 7) {
        args.mass[cell] = (cells[2 * half][5] + cells[2 * half + 1][5]) * kShare;
      } else if (level == 0) {
        args.loss[cell * 7] = 0.0f;
      } else if (level < 6) {
        args.loss[cell * 7 + level] = (cells[2 * half][level - 1] + cells[2 * half + 1][level - 1]) * kShare;
      } else {
        args.loss[cell * 7 + 6] = squares * args.spreads[5][head * args.columns + column] * kShare;
      }
    }
    __syncthreads();
  });
}

}  // namespace

#define TESSERA_LOSSES(KIND, D, PARTS)                                                                                          \
  extern "C" __global__ void __launch_bounds__(tile::kThreads, 2) denominators_##KIND##_d##D(const __grid_constant__ Args args) { \
    denominators<D, PARTS>(args);                                                                                               \
  }                                                                                                                             \
  extern "C" __global__ void __launch_bounds__(tile::kThreads, 1) losses_##KIND##_d##D(const __grid_constant__ Args args) {     \
    losses<D, PARTS>(args);                                                                                                     \
  }

TESSERA_LOSSES(bf16, 64, 1)
TESSERA_LOSSES(bf16, 128, 1)
TESSERA_LOSSES(f32, 64, 2)
TESSERA_LOSSES(f32, 128, 2)
