// Scores that are reductions of products of queries and keys, or of their means: the estimators `sub_block` and `sampled_max`.

#include "../../cuda/ptx.cuh"
#include "tile.cuh"

namespace {

constexpr float kLn2 = 0.693147180559945f;

// `scores::cuda::Args`.
struct Args {
  tile::Operand a, b;
  float* out;
  int rows, columns;   // of the scores
  int queries, keys;   // tokens
  int tiles;           // of b to a block of threads
  float scale;         // · log₂ e
};

// log₂ of the tokens of a run of 16; −∞ where there are none.
__device__ __forceinline__ float log_count(int tokens, int run) {
  const int count = min(max(tokens - run * 16, 0), 16);
  return count == 16 ? 4.0f : log2f(static_cast<float>(count));
}

// The scores of a tile of runs; `IsRagged` where some of them may have fewer than 16 tokens.
template <bool IsRagged, class Products>
__device__ __forceinline__ void fold_runs(const Args& args, float* out, const tile::Place& place, int row, int tile,
                                          const Products& products) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < tile::kN; ++n) {
    const int run = tile * tile::kRows + place.column(n), column = run / 4;
    float of_key[2] = {8.0f, 8.0f};
    if constexpr (IsRagged) {
      of_key[0] = log_count(args.keys, run);
      of_key[1] = log_count(args.keys, run + 1);
    }
#pragma unroll
    for (int m = 0; m < tile::kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float x = products[m][n][2 * half] * args.scale + of_key[0];
        float y = products[m][n][2 * half + 1] * args.scale + of_key[1];
        if constexpr (IsRagged) {
          const float of_query = log_count(args.queries, row + place.row(m, half));
          x += of_query;
          y += of_query;
        }
        // Eight rows are eight groups of four lanes; four columns are two neighbouring lanes.
        float highest = fmaxf(x, y);
        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
#pragma unroll
        for (int step = 4; step < 32; step *= 2) highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, step));
        const float unit = fmaxf(highest, -3.0e38f);
        float sum = ptx::exp2(x - unit) + ptx::exp2(y - unit);
        sum += __shfl_xor_sync(~0u, sum, 1);
#pragma unroll
        for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(~0u, sum, step);
        const int block = (row + place.row(m, half)) / 8;
        if ((lane & ~2) == 0 && block < args.rows && column < args.columns) {
          out[static_cast<int64_t>(block) * args.columns + column] = (unit + __log2f(sum)) * kLn2;
        }
      }
    }
  }
}

// ln Σ n·m·e^(scale·q̄·k̄) of every pair of blocks, from means over runs of 16: cells of 8 runs of queries × 4 of keys.
// Grid: (runs of queries ÷ 128, heads, tiles of keys ÷ `tiles`).
template <int D>
__device__ __forceinline__ void log_sums(const Args& args) {
  extern __shared__ __align__(128) char shared[];
  const int64_t head = blockIdx.y;
  const int row = blockIdx.x * tile::kRows;
  const int first = blockIdx.z * args.tiles, all = (args.b.rows + tile::kRows - 1) / tile::kRows;
  const tile::Place place;
  float* const out = args.out + head * args.rows * args.columns;
  tile::multiply<D, 2>(shared, args.a, args.b, head, row, first, min(first + args.tiles, all), [&](int tile, const auto& products) {
    // A tile is 128 runs of 16 tokens each way.
    if ((row + tile::kRows) * 16 > args.queries || (tile + 1) * tile::kRows * 16 > args.keys) {
      fold_runs<true>(args, out, place, row, tile, products);
    } else {
      fold_runs<false>(args, out, place, row, tile, products);
    }
  });
}

// Of every sampled query its largest product with the 16 sampled keys of each key block, [heads, sampled queries, columns].
// Grid: as above, of sampled tokens.
template <int D, int Parts>
__device__ __forceinline__ void maxima(const Args& args) {
  extern __shared__ __align__(128) char shared[];
  const int64_t head = blockIdx.y;
  const int row = blockIdx.x * tile::kRows, lane = threadIdx.x % 32;
  const int first = blockIdx.z * args.tiles, all = (args.b.rows + tile::kRows - 1) / tile::kRows;
  const tile::Place place;
  float* const out = args.out + head * args.a.rows * args.columns;
  tile::multiply<D, Parts>(shared, args.a, args.b, head, row, first, min(first + args.tiles, all), [&](int tile, const auto& products) {
    const int column = (tile * tile::kRows + threadIdx.x / 32 % 4 * 32) / 16;
#pragma unroll
    for (int m = 0; m < tile::kM; ++m) {
      float cell[2][2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int pair = 0; pair < 2; ++pair) {
          const auto& left = products[m][2 * pair];
          const auto& right = products[m][2 * pair + 1];
          float highest = fmaxf(fmaxf(left[2 * half], left[2 * half + 1]), fmaxf(right[2 * half], right[2 * half + 1]));
          highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
          cell[half][pair] = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
        }
      }
      // Four lanes know all four: each writes one.
      const int half = lane / 2 % 2, pair = lane % 2;
      const int query = row + place.row(m, half);
      if (query < args.a.rows && column + pair < args.columns) {
        const float low = pair ? cell[0][1] : cell[0][0], high = pair ? cell[1][1] : cell[1][0];
        out[static_cast<int64_t>(query) * args.columns + column + pair] = half ? high : low;
      }
    }
  });
}

}  // namespace

#define TESSERA_PRODUCTS(D)                                                                                                     \
  extern "C" __global__ void __launch_bounds__(tile::kThreads, 2) log_sums_d##D(const __grid_constant__ Args args) {            \
    log_sums<D>(args);                                                                                                          \
  }                                                                                                                             \
  extern "C" __global__ void __launch_bounds__(tile::kThreads, 2) maxima_bf16_d##D(const __grid_constant__ Args args) {         \
    maxima<D, 1>(args);                                                                                                         \
  }                                                                                                                             \
  extern "C" __global__ void __launch_bounds__(tile::kThreads, 2) maxima_f32_d##D(const __grid_constant__ Args args) {          \
    maxima<D, 2>(args);                                                                                                         \
  }

TESSERA_PRODUCTS(64)
TESSERA_PRODUCTS(128)

// The largest share that any of a block's `each` sampled queries gives to a key block, where a query's best block has 1:
// maxima [heads, rows · each, columns] to scores [heads, rows, columns]. Grid: rows of all heads; 8 warps.
extern "C" __global__ void __launch_bounds__(256) largest_shares(const float* maxima, float* scores, int each, int columns,
                                                                 float scale) {
  extern __shared__ float best[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  maxima += static_cast<int64_t>(blockIdx.x) * each * columns;
  for (int query = warp; query < each; query += 8) {
    float highest = -INFINITY;
    for (int column = lane; column < columns; column += 32) {
      highest = fmaxf(highest, maxima[static_cast<int64_t>(query) * columns + column]);
    }
    for (int step = 16; step > 0; step /= 2) highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, step));
    if (lane == 0) best[query] = highest;
  }
  __syncthreads();
  for (int column = threadIdx.x; column < columns; column += blockDim.x) {
    float nearest = -INFINITY;
    bool is_number = true;
    for (int query = 0; query < each; ++query) {
      const float below = maxima[static_cast<int64_t>(query) * columns + column] - best[query];
      is_number &= !isnan(below);
      nearest = fmaxf(nearest, below);
    }
    scores[static_cast<int64_t>(blockIdx.x) * columns + column] = is_number ? ptx::exp2(nearest * scale) : NAN;
  }
}
