// Pyramid attention for sm_80 and later: cp.async and mma.sync.
//
// A block has four warps of 32 queries each and walks its row's stream in tiles of 64 pooled keys. While S = Q·Kᵀ of
// a tile is computed its values arrive, and its successor's keys arrive during the softmax and O += P·V. A warp's two
// halves of sixteen queries share every fragment of K and V that is read from shared memory. Lists, biases and the softmax
// are those of the Hopper kernel.
//
// Rows of a tile in shared memory are D elements in chunks of 16 bytes; chunk c of row r is at c ^ (r mod 8).

#include "../../cuda/mma.cuh"
#include "softmax.cuh"
#include "stream.cuh"
#include "work.cuh"

namespace {

using work::Args;
using work::Stream;
using work::Unit;

constexpr int kThreads = 128;
constexpr int kTile = 64;
constexpr int kTileUnits = kTile / work::kUnit;
constexpr int kHalves = 2;  // of a warp's queries, sixteen each

// Where operands lie, besides `Args`.
struct Operands {
  const void* q;
  const void* k[work::kLevels];  // [heads, padded, D] by level − 1, level 1 without padding
  const void* v[work::kLevels];
  int padded[work::kLevels];
};

template <class Element, int Width, bool IsDense>
struct Config {
  using T = Element;
  static constexpr int D = Width;
  static constexpr bool Dense = IsDense;
  static constexpr int Chunks = D / 8;                  // of 16 bytes in a row
  static constexpr int RowsAtOnce = kThreads / Chunks;  // that a block copies in one pass
};

template <class C>
struct Shared {
  alignas(128) typename C::T q[work::kQueryBlock * C::D];
  alignas(128) typename C::T k[kTile * C::D];
  alignas(128) typename C::T v[kTile * C::D];
};

template <class C>
__device__ __forceinline__ uint32_t chunk_address(const typename C::T* tile, int row, int chunk) {
  return mma::shared_address(tile) + (row * C::Chunks + (chunk ^ (row & 7))) * 16;
}

// Rows of a tile that follow each other in memory, `real` of them; the others become zeros.
template <class C, int Rows>
__device__ __forceinline__ void load_rows(typename C::T* to, const typename C::T* from, int real) {
  const int first = threadIdx.x / C::Chunks, chunk = threadIdx.x % C::Chunks;
  from += first * C::D + chunk * 8;
  // A pass is a multiple of eight rows, so that the swizzle of a thread's chunk does not change.
  uint32_t address = chunk_address<C>(to, first, chunk);
#pragma unroll
  for (int row = 0; row < Rows; row += C::RowsAtOnce) {
    const bool is_real = first + row < real;
    mma::copy_chunk(address + row * C::D * 2, is_real ? from + row * C::D : from - first * C::D - chunk * 8, is_real);
  }
}

// A tile of K or V; what no item has becomes zeros. Lane u knows the tile's unit u.
template <class C>
__device__ __forceinline__ void load_tile(typename C::T* to, const void* const (&levels)[work::kLevels],
                                          const Operands& operands, const Args& args, const Unit& unit, int tile,
                                          int head) {
  using T = typename C::T;
  const auto at = [&](int level, int key) {
    const int64_t in_head = level == 1 ? args.keys : operands.padded[level - 1];
    return static_cast<const T*>(levels[level - 1]) + (head * in_head + key) * C::D;
  };
  if constexpr (C::Dense) {
    load_rows<C, kTile>(to, at(1, tile * kTile), args.keys - tile * kTile);
    return;
  }
  // Of the whole tile where it is one item, else of each unit.
  const bool whole = __shfl_sync(~0u, unit.item_class, 0) == 0 || __shfl_sync(~0u, unit.item_class, 0) == 1;
  const bool none = unit.item_class < 0;
  const int level = none ? 1 : work::level_of(unit.item_class);
  const int key = whole ? unit.first : unit.first + unit.within * work::kUnit;
  const T* const from = at(level, none ? 0 : key);
  const int real = none ? 0 : (level == 1 ? args.keys : operands.padded[level - 1]) - key;
  if (whole) {
    load_rows<C, kTile>(to, reinterpret_cast<const T*>(__shfl_sync(~0u, reinterpret_cast<uint64_t>(from), 0)),
                        __shfl_sync(~0u, real, 0));
    return;
  }
  const int chunk = threadIdx.x % C::Chunks;
#pragma unroll
  for (int pass = 0; pass < kTile / C::RowsAtOnce; ++pass) {
    const int row = pass * C::RowsAtOnce + threadIdx.x / C::Chunks, of = row / work::kUnit, within = row % work::kUnit;
    const T* unit_from = reinterpret_cast<const T*>(__shfl_sync(~0u, reinterpret_cast<uint64_t>(from), of));
    const bool is_real = within < __shfl_sync(~0u, real, of);
    if (is_real) unit_from += within * C::D + chunk * 8;
    mma::copy_chunk(chunk_address<C>(to, row, chunk), unit_from, is_real);
  }
}

// Biases of keys 2·lane and 2·lane + 1 of a tile.
template <class C>
__device__ __forceinline__ float2 tile_biases(const Args& args, const uint8_t* levels, const Unit& unit, int tile) {
  const int lane = threadIdx.x % 32;
  float2 bias = make_float2(-INFINITY, -INFINITY);
  if constexpr (C::Dense) {
    const int key = tile * kTile + 2 * lane;
    if (key < args.keys) bias.x = work::bias_of(args, levels, 1, key);
    if (key + 1 < args.keys) bias.y = work::bias_of(args, levels, 1, key + 1);
  } else {
    const int item_class = __shfl_sync(~0u, unit.item_class, lane / 4);
    const int first = __shfl_sync(~0u, unit.first, lane / 4), within = __shfl_sync(~0u, unit.within, lane / 4);
    if (item_class >= 0) {
      const int key = first + within * work::kUnit + lane % 4 * 2, level = work::level_of(item_class);
      bias = make_float2(work::bias_of(args, levels, level, key), work::bias_of(args, levels, level, key + 1));
    }
  }
  return bias;
}

// The address of a lane's row, and the bits that its chunks are exchanged by: chunk 2·step + `odd` is at
// row + ((2·step ^ bits) · 16).
struct LaneRow {
  uint32_t row;
  uint32_t bits;

  template <class C>
  static __device__ __forceinline__ LaneRow of(const typename C::T* tile, int row, int odd) {
    return {mma::shared_address(tile) + row * C::Chunks * 16, static_cast<uint32_t>(row & 7) ^ odd};
  }
  __device__ __forceinline__ uint32_t at(int step) const { return row + ((step * 2) ^ bits) * 16; }
};

// S = Q·Kᵀ of a warp's queries and a tile.
template <class C>
__device__ __forceinline__ void multiply_scores(float (&s)[kHalves][kTile / 2], const Shared<C>& shared) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const LaneRow of_q = LaneRow::of<C>(shared.q, warp * 32 + lane % 16, lane / 16);
  const LaneRow of_k = LaneRow::of<C>(shared.k, lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
#pragma unroll
    for (int i = 0; i < kTile / 2; ++i) s[half][i] = 0.0f;
  }
#pragma unroll
  for (int step = 0; step < C::D / 16; ++step) {
    uint32_t q[kHalves][4];
#pragma unroll
    for (int half = 0; half < kHalves; ++half) mma::load_four(q[half], of_q.at(step) + half * 16 * C::D * 2);
#pragma unroll
    for (int pair = 0; pair < kTile / 16; ++pair) {
      uint32_t k[4];
      mma::load_four(k, of_k.at(step) + pair * 16 * C::D * 2);
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        mma::multiply<typename C::T>(&s[half][pair * 8], q[half], k[0], k[1]);
        mma::multiply<typename C::T>(&s[half][pair * 8 + 4], q[half], k[2], k[3]);
      }
    }
  }
}

// O += P·V.
template <class C>
__device__ __forceinline__ void multiply_values(float (&o)[kHalves][C::D / 2], const float (&s)[kHalves][kTile / 2],
                                                const Shared<C>& shared) {
  const int lane = threadIdx.x % 32;
  const LaneRow of_v = LaneRow::of<C>(shared.v, lane % 16, lane / 16);
#pragma unroll
  for (int step = 0; step < kTile / 16; ++step) {
    uint32_t p[kHalves][4];
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        p[half][i] = work::pack<typename C::T>(s[half][step * 8 + 2 * i], s[half][step * 8 + 2 * i + 1]);
      }
    }
#pragma unroll
    for (int pair = 0; pair < C::D / 16; ++pair) {
      uint32_t v[4];
      mma::load_four_transposed(v, of_v.at(pair) + step * 16 * C::D * 2);
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        mma::multiply<typename C::T>(&o[half][pair * 8], p[half], v[0], v[1]);
        mma::multiply<typename C::T>(&o[half][pair * 8 + 4], p[half], v[2], v[3]);
      }
    }
  }
}

template <class C>
__device__ __forceinline__ void attend(const Operands& operands, const Args& args) {
  extern __shared__ __align__(128) uint8_t memory[];
  Shared<C>& shared = *reinterpret_cast<Shared<C>*>(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = C::Dense ? blockIdx.x : static_cast<int>(args.order[blockIdx.x]);
  const int head = row / args.rows, first = row % args.rows * work::kQueryBlock;
  const int64_t of_row = static_cast<int64_t>(row) * args.columns;
  const uint8_t* const levels = C::Dense ? nullptr : args.levels + of_row;
  const work::Counts counts = C::Dense ? work::Counts{} : args.counts[row];
  const Stream stream(counts, args.items + of_row);
  const int units = C::Dense ? (args.keys + work::kUnit - 1) / work::kUnit : work::units_of_row(counts);
  const int tiles = (units + kTileUnits - 1) / kTileUnits;
  const auto find = [&](int tile) {
    Unit unit;
    if constexpr (!C::Dense) unit = stream.find(tile * kTileUnits, lane % kTileUnits);
    return unit;
  };

  float o[kHalves][C::D / 2];
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
#pragma unroll
    for (int i = 0; i < C::D / 2; ++i) o[half][i] = 0.0f;
  }
  work::Softmax softmax[kHalves];
  Unit unit = find(0);
  if (tiles > 0) {
    const int64_t query = static_cast<int64_t>(head) * args.queries + first;
    load_rows<C, work::kQueryBlock>(shared.q, static_cast<const typename C::T*>(operands.q) + query * C::D,
                                    args.queries - first);
    load_tile<C>(shared.k, operands.k, operands, args, unit, 0, head);
    mma::commit_copies();
  }
  for (int tile = 0; tile < tiles; ++tile) {
    const float2 bias = tile_biases<C>(args, levels, unit, tile);
    mma::wait_copies();
    __syncthreads();  // keys have arrived; everyone is done with the values before
    load_tile<C>(shared.v, operands.v, operands, args, unit, tile, head);
    mma::commit_copies();
    float s[kHalves][kTile / 2];
    multiply_scores<C>(s, shared);
    mma::wait_copies();
    __syncthreads();  // values have arrived; everyone is done with the keys
    unit = find(tile + 1);
    if (tile + 1 < tiles) load_tile<C>(shared.k, operands.k, operands, args, unit, tile + 1, head);
    mma::commit_copies();
    float uniform = __shfl_sync(~0u, bias.x, 0);
    if (!__all_sync(~0u, bias.x == uniform && bias.y == uniform && uniform != -INFINITY)) uniform = NAN;
    const auto biases = [&](int group) {
      const int from = group * 4 + lane % 4;
      return make_float2(__shfl_sync(~0u, bias.x, from), __shfl_sync(~0u, bias.y, from));
    };
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      if (softmax[half].template step<kTile / 8>(s[half], args.scale, uniform, biases)) {
#pragma unroll
        for (int i = 0; i < C::D / 2; ++i) o[half][i] *= softmax[half].factor[i / 2 % 2];
      }
    }
    multiply_values<C>(o, s, shared);
  }
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    work::store<typename C::T, C::D>(args, head, first + warp * 32 + half * 16, o[half], softmax[half]);
  }
}

}  // namespace

#define TESSERA_ATTENTION(NAME, ...)                                                                       \
  extern "C" __global__ void __launch_bounds__(kThreads, 2)                                                \
      NAME(const __grid_constant__ Operands operands, const __grid_constant__ Args args) {                 \
    attend<Config<__VA_ARGS__>>(operands, args);                                                           \
  }

TESSERA_ATTENTION(portable_pyramid_bf16_d64, __nv_bfloat16, 64, false)
TESSERA_ATTENTION(portable_pyramid_bf16_d128, __nv_bfloat16, 128, false)
TESSERA_ATTENTION(portable_pyramid_f16_d64, __half, 64, false)
TESSERA_ATTENTION(portable_pyramid_f16_d128, __half, 128, false)
TESSERA_ATTENTION(portable_dense_bf16_d64, __nv_bfloat16, 64, true)
TESSERA_ATTENTION(portable_dense_bf16_d128, __nv_bfloat16, 128, true)
TESSERA_ATTENTION(portable_dense_f16_d64, __half, 64, true)
TESSERA_ATTENTION(portable_dense_f16_d128, __half, 128, true)
