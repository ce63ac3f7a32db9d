// What the two halves of the Hopper kernel share: tiles in shared memory, their barriers, rows.
#pragma once

#include <cstdint>

#include "../../cuda/ptx.cuh"
#include "stream.cuh"
#include "work.cuh"

namespace hopper {

using work::Args;

constexpr int kThreads = 384;
constexpr int kConsumerWarps = 8;
constexpr int kRowBytes = 128;  // of a swizzle atom: 64 elements
constexpr int kAtomBytes = 8 * kRowBytes;
constexpr int kRows = 2;  // rows known ahead

struct __align__(64) Map {
  uint8_t bytes[128];
};

// What the copy engine needs. k and v by class of items: [heads, keys, D] as {64, 8 keys, halves, units, heads} in boxes
// of an item; their last keys, where they fill no unit, are in no box. q and the tails: as {D, tokens, heads} in boxes of
// {64, 128 or 8, 1}.
struct Maps {
  Map q;
  Map k_tail;
  Map v_tail;
  Map k[work::kLevels];
  Map v[work::kLevels];
};

template <class Element, int Width, int Tile, int RingStages, bool IsDense, bool InTurn>
struct Config {
  using T = Element;
  static constexpr int D = Width;
  static constexpr int N = Tile;
  static constexpr int Stages = RingStages;
  static constexpr bool Dense = IsDense;  // every key at level 1, without lists
  static constexpr bool Turns = InTurn;   // named barriers order the two warpgroups
  static constexpr int Halves = D / 64;
  static constexpr int Units = N / work::kUnit;
  static constexpr int UnitBytes = Halves * kAtomBytes;
  static constexpr int TileBytes = Units * UnitBytes;
  static constexpr int QueryBytes = work::kQueryBlock * D * 2;
  // Warps that load. With lists there are many small boxes, and a warp issues them one after the other.
  static constexpr int Loaders = Dense ? 1 : 4;
  static constexpr int PartUnits = Units / Loaders;
  static_assert(Dense || PartUnits == 4, "a lane a key");
  // One more than tiles: a tile of K is released before its biases are used.
  static constexpr int Biases = Stages + 1;
};

template <class C>
struct Shared {
  alignas(1024) uint8_t q[C::QueryBytes];
  alignas(1024) uint8_t k[C::Stages][C::TileBytes];
  alignas(1024) uint8_t v[C::Stages][C::TileBytes];
  alignas(16) float bias[C::Biases][C::N];
  // The bias of all keys of each loader's part; NaN where they differ and `bias` has them.
  alignas(16) float uniform[C::Biases][4];
  int row[kRows];
  uint64_t row_full[kRows], row_empty[kRows];
  uint64_t q_full, q_empty;
  uint64_t k_full[C::Stages], k_empty[C::Stages];
  uint64_t v_full[C::Stages], v_empty[C::Stages];
};

// What is the same in all lanes, told to the compiler: addresses and loops that depend on it stay in uniform registers,
// and wgmma's descriptors need not be moved there.
__device__ __forceinline__ int uniform(int x) { return __shfl_sync(~0u, x, 0); }

// A place in a ring and the parity of its current round.
template <int Size>
struct Ring {
  int index = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance() {
    if (++index == Size) {
      index = 0;
      parity ^= 1;
    }
  }
};

// Tiles of a row.
template <class C>
__device__ __forceinline__ int tiles_of(const Args& args, int row) {
  int units = (args.keys + work::kUnit - 1) / work::kUnit;
  if constexpr (!C::Dense) units = work::units_of_row(args.counts[row]);
  return (units + C::Units - 1) / C::Units;
}

template <class C>
__device__ __forceinline__ void init_barriers(Shared<C>& shared) {
  for (int i = 0; i < kRows; ++i) {
    ptx::barrier_init(ptx::shared_address(&shared.row_full[i]), 1);
    ptx::barrier_init(ptx::shared_address(&shared.row_empty[i]), kConsumerWarps);
  }
  ptx::barrier_init(ptx::shared_address(&shared.q_full), 1);
  ptx::barrier_init(ptx::shared_address(&shared.q_empty), kConsumerWarps);
  for (int i = 0; i < C::Stages; ++i) {
    ptx::barrier_init(ptx::shared_address(&shared.k_full[i]), C::Loaders);
    ptx::barrier_init(ptx::shared_address(&shared.v_full[i]), C::Loaders);
    ptx::barrier_init(ptx::shared_address(&shared.k_empty[i]), kConsumerWarps);
    ptx::barrier_init(ptx::shared_address(&shared.v_empty[i]), kConsumerWarps);
  }
  ptx::barrier_init_fence();
}

}  // namespace hopper
