// A row's lists read as a stream of units, and the biases of its keys.
#pragma once

#include <cstdint>

#include "work.cuh"

namespace work {

// One unit of a tile: which item it is of.
struct Unit {
  int item_class = -1;  // −1: beyond the end of the row
  int first = 0;        // the item's first key at its level
  int within = 0;       // units of the item before this one
};

// A row's lists, ready to be searched by unit.
struct Stream {
  const uint16_t* items;
  int ends[kLevels];  // units up to the end of each class
  int offset;               // lane c: what makes unit ÷ units of an item the number of an item of class c

  __device__ __forceinline__ Stream(const Counts& counts, const uint16_t* row_items) : items(row_items), offset(0) {
    int units = 0, before = 0;
#pragma unroll
    for (int c = 0; c < kLevels; ++c) {
      if (threadIdx.x % 32 == c) offset = before - units / units_of(c);
      units += counts.items[c] * units_of(c);
      before += counts.items[c];
      ends[c] = units;
    }
  }

  // All lanes together. `first`, the same in all of them, is the first unit of a part and a multiple of four; `mine` is
  // which of the part's units a lane asks for.
  __device__ __forceinline__ Unit find(int first, int mine) const {
    Unit found;
    if (first < ends[1]) {
      found.item_class = first < ends[0] ? 0 : 1;
      found.first = items[first / 8] * 64;
      found.within = (first + mine) % 8;
      return found;
    }
    const int unit = first + mine;
    int item_class = 2;
#pragma unroll
    for (int c = 2; c < kLevels; ++c) item_class += unit >= ends[c];
    const int shift = item_class == 2 ? 2 : item_class == 3 ? 1 : 0;
    const int item = __shfl_sync(~0u, offset, item_class) + (unit >> shift);
    if (item_class < kLevels) {
      found.item_class = item_class;
      found.first = items[item] << (shift + 3);
      found.within = unit & ((1 << shift) - 1);
    }
    return found;
  }
};

// The bias of a key at a level.
__device__ __forceinline__ float bias_of(const Args& args, const uint8_t* levels, int level, int key) {
  if (level == 1 && !args.masked && key < args.keys) return 0.0f;
  if (level > 4) {
    const int column = key >> (7 - level);
    if (column >= args.columns || levels[column] != level) return -INFINITY;
  }
  return args.bias[level - 1][key];
}

// Units of a row.
__device__ __forceinline__ int units_of_row(const Counts& counts) {
  int units = 0;
#pragma unroll
  for (int c = 0; c < kLevels; ++c) units += counts.items[c] * units_of(c);
  return units;
}

}  // namespace work
