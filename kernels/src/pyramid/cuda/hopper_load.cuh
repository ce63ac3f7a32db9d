// The loading half: rows of the level map are fetched, and what they name is copied into the rings.
//
// One warp waits for empty places. The others wait for it at a named barrier, in hardware: four warps that poll would
// take issue slots from the softmax.
#pragma once

#include "hopper_tile.cuh"
#include "stream.cuh"

namespace hopper {

using work::Stream;
using work::Unit;
using work::bias_of;

// Eight keys by the tail's map; beyond the end, zeros.
template <class C>
__device__ __forceinline__ void load_unit(uint32_t to, const Map* tail, uint32_t barrier, int key, int head) {
#pragma unroll
  for (int half = 0; half < C::Halves; ++half) {
    ptx::load_box(to + half * kAtomBytes, tail, barrier, half * 64, key, head);
  }
}

// One warp's part of a tile of K or V, eight lanes a unit.
template <class C>
__device__ __forceinline__ void load_part(uint32_t to, const Map* maps, const Map* tail, const Args& args,
                                          uint32_t barrier, const Unit& unit, int head) {
  const int lane = threadIdx.x % 32;
  if (lane % 8 != 0) return;
  to += lane / 8 * C::UnitBytes;
  const bool none = unit.item_class < 0;
  const int whole = args.keys & ~(work::kUnit - 1);
  if (none || (unit.item_class == 1 && unit.first + work::kKeyBlock > whole && whole != args.keys)) {
    load_unit<C>(to, tail, barrier, none ? whole + work::kUnit : unit.first + unit.within * work::kUnit, head);
  } else if (unit.within == 0) {
    ptx::load_box(to, &maps[unit.item_class], barrier, 0, 0, 0, unit.first / work::kUnit, head);
  }
}

// A tile of adjacent keys.
template <class C>
__device__ __forceinline__ void load_dense(uint32_t to, const Map* maps, const Map* tail, const Args& args,
                                           uint32_t barrier, int first, int head) {
  const int lane = threadIdx.x % 32;
  const int whole = args.keys & ~(work::kUnit - 1);
  if (first + C::N > whole && whole != args.keys) {
    if (lane < C::Units) load_unit<C>(to + lane * C::UnitBytes, tail, barrier, first + lane * work::kUnit, head);
  } else if (lane == 0) {
    ptx::load_box(to, &maps[1], barrier, 0, 0, 0, first / work::kUnit, head);
  }
}

// The biases of one warp's part of a tile of K, or that they are all the same.
template <class C>
__device__ __forceinline__ void write_biases(Shared<C>& shared, const Args& args, const uint8_t* levels, int index,
                                             int part, int tile, const Unit& unit) {
  const int lane = threadIdx.x % 32;
  float uniform = 0.0f;
  if constexpr (C::Dense) {
    if (args.masked || (tile + 1) * C::N > args.keys) {
      uniform = NAN;
      for (int column = lane; column < C::N; column += 32) {
        const int key = tile * C::N + column;
        shared.bias[index][column] = key < args.keys ? bias_of(args, levels, 1, key) : -INFINITY;
      }
    }
  } else {
    float bias = -INFINITY;
    if (unit.item_class >= 0) {
      const int key = unit.first + unit.within * work::kUnit + lane % 8;
      bias = bias_of(args, levels, work::level_of(unit.item_class), key);
    }
    uniform = __shfl_sync(~0u, bias, 0);
    if (!__all_sync(~0u, bias == uniform && bias != -INFINITY)) {
      uniform = NAN;
      shared.bias[index][part * 32 + lane] = bias;
    }
  }
  if (lane == 0) shared.uniform[index][part] = uniform;
}

// The loaders as one.
template <class C>
__device__ __forceinline__ void together() {
  if constexpr (C::Loaders > 1) {
    ptx::named_sync(3, C::Loaders * 32);
  } else {
    __syncwarp();
  }
}

// Takes rows for the block, in the order that the host asked for; −1 after the last.
template <class C>
struct Fetcher {
  int fetched = blockIdx.x;

  __device__ __forceinline__ int next(const Args& args) {
    const int total = args.heads * args.rows;
    const int taken = __shfl_sync(~0u, fetched, 0);
    if (threadIdx.x % 32 == 0) {
      if (taken < total) {
        fetched = static_cast<int>(atomicAdd(args.counter, 1u) + gridDim.x);
      } else if (taken == total + static_cast<int>(gridDim.x) - 1) {
        *args.counter = 0;  // the last of all blocks to find nothing leaves the counter as it was
      }
    }
    return taken >= total ? -1 : C::Dense ? taken : static_cast<int>(args.order[taken]);
  }
};

// One of the loading warps.
template <class C>
__device__ __forceinline__ void produce(Shared<C>& shared, const Maps& maps, const Args& args) {
  const int lane = threadIdx.x % 32, part = uniform(threadIdx.x / 32);
  if (part >= C::Loaders) return;
  const bool leads = part == 0;
  Fetcher<C> fetcher;
  Ring<kRows> row_ring;
  Ring<C::Stages> k_ring, v_ring;
  row_ring.parity = k_ring.parity = v_ring.parity = 1;  // everything is empty
  uint32_t q_parity = 1;
  int bias_index = 0;

  const auto load_q = [&](int row) {
    ptx::wait(ptx::shared_address(&shared.q_empty), q_parity);
    q_parity ^= 1;
    if (lane == 0) {
      const uint32_t full = ptx::shared_address(&shared.q_full);
      ptx::arrive_expecting(full, C::QueryBytes);
#pragma unroll
      for (int half = 0; half < C::Halves; ++half) {
        ptx::load_box(ptx::shared_address(shared.q) + half * work::kQueryBlock * kRowBytes, &maps.q, full, half * 64,
                      row % args.rows * work::kQueryBlock, row / args.rows);
      }
    }
    __syncwarp();
  };
  const auto load = [&](uint32_t full, uint32_t to, const Map* boxes, const Map* tail, const Unit& unit, int tile,
                        int head) {
    if (lane == 0) ptx::arrive_expecting(full, C::PartUnits * C::UnitBytes);
    __syncwarp();
    if constexpr (C::Dense) {
      load_dense<C>(to, boxes, tail, args, full, tile * C::N, head);
    } else {
      load_part<C>(to + part * C::PartUnits * C::UnitBytes, boxes, tail, args, full, unit, head);
    }
    __syncwarp();
  };
  const auto load_v = [&](const Unit& unit, int tile, int head) {
    if (leads) ptx::wait(ptx::shared_address(&shared.v_empty[v_ring.index]), v_ring.parity);
    together<C>();
    load(ptx::shared_address(&shared.v_full[v_ring.index]), ptx::shared_address(shared.v[v_ring.index]), maps.v,
         &maps.v_tail, unit, tile, head);
    v_ring.advance();
  };

  for (;;) {
    int row = -1;
    if (leads) {
      row = fetcher.next(args);
      ptx::wait(ptx::shared_address(&shared.row_empty[row_ring.index]), row_ring.parity);
      if (lane == 0) {
        shared.row[row_ring.index] = row;
        ptx::arrive(ptx::shared_address(&shared.row_full[row_ring.index]));
      }
    }
    together<C>();
    row = uniform(*static_cast<volatile int*>(&shared.row[row_ring.index]));
    row_ring.advance();
    if (row < 0) break;

    const int head = row / args.rows;
    const int64_t of_row = static_cast<int64_t>(row) * args.columns;
    const uint8_t* const levels = C::Dense ? nullptr : args.levels + of_row;
    const int tiles = uniform(tiles_of<C>(args, row));
    const Stream stream(C::Dense ? work::Counts{} : args.counts[row], args.items + of_row);
    Unit before, unit, after;
    if constexpr (!C::Dense) unit = stream.find(part * C::PartUnits, lane / 8);
    // Keys come before the queries, which wait for the row before to be done with its own.
    for (int tile = 0; tile < tiles; ++tile) {
      if constexpr (!C::Dense) after = stream.find((tile + 1) * C::Units + part * C::PartUnits, lane / 8);
      if (leads) ptx::wait(ptx::shared_address(&shared.k_empty[k_ring.index]), k_ring.parity);
      together<C>();
      write_biases<C>(shared, args, levels, bias_index, part, tile, unit);
      if (++bias_index == C::Biases) bias_index = 0;
      __syncwarp();
      load(ptx::shared_address(&shared.k_full[k_ring.index]), ptx::shared_address(shared.k[k_ring.index]), maps.k,
           &maps.k_tail, unit, tile, head);
      k_ring.advance();
      if (tile == 0 && leads) load_q(row);
      if (tile > 0) load_v(before, tile - 1, head);
      before = unit;
      unit = after;
    }
    if (tiles == 0 && leads) load_q(row);
    if (tiles > 0) load_v(before, tiles - 1, head);
  }
}

}  // namespace hopper
