// What a query block has to attend to, as the attention kernels read it and `lists.cu` writes it.
//
// A row of the level map is a stream of pooled keys, cut into units of eight: items in the order of `kClasses`, of
// which the sizes fall, so that no item crosses a tile of a multiple of 64 keys. Up to level 4 an item is a key block;
// beyond, a block has fewer than eight pooled keys, and an item is eight of the level's keys (levels 5 and 6) or 64
// (level 7: the floor), of which those of blocks at other levels are hidden.
#pragma once

#include <cstdint>

namespace work {

constexpr int kQueryBlock = 128;
constexpr int kKeyBlock = 64;
constexpr int kUnit = 8;
constexpr int kLevels = 7;

// The level of each class of items, and the units of one.
__host__ __device__ constexpr int level_of(int item_class) { return item_class == 0 ? 7 : item_class; }
__host__ __device__ constexpr int units_of(int item_class) {
  return item_class <= 1 ? 8 : item_class == 2 ? 4 : item_class == 3 ? 2 : 1;
}

// The lists of one row: how many items each class has.
struct __align__(16) Counts {
  uint16_t items[kLevels];
  uint16_t unused;
};

// What the kernels read beside the operands.
struct Args {
  void* out;                  // [heads, queries, D]
  float* lse;                 // [heads, queries]
  const uint16_t* items;      // [heads · rows, columns]: places of items, class by class; an item's first key ÷ its size
  const Counts* counts;       // [heads · rows]
  const uint32_t* order;      // [heads · rows]: the rows, longest of each head first
  const uint8_t* levels;      // [heads · rows, columns]: the level map
  const float* bias[kLevels]; // of each level its keys' biases in log₂ units, −∞ where no real token is; padded to 64
  uint32_t* counter;          // 0, and 0 again at the end
  int masked;                 // whether biases at level 1 may differ from 0
  int heads;
  int queries;
  int keys;
  int rows;
  int columns;
  float scale;                // · log₂ e
};

}  // namespace work
