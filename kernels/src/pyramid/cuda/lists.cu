// From a level map to the lists that the attention kernels walk, without the host. Every place is a count of what comes
// before it: the same map gives the same lists.

#include "work.cuh"

namespace {

// Of 64 adjacent blocks at one level, a bit each: the blocks at which an item of the class begins.
__device__ __forceinline__ uint64_t starts(int level, uint64_t blocks) {
  if (level == 5) return (blocks | blocks >> 1) & 0x5555555555555555ull;
  if (level == 6) {
    blocks |= blocks >> 1;
    return (blocks | blocks >> 2) & 0x1111111111111111ull;
  }
  if (level == 7) return blocks != 0;
  return blocks;
}

// Blocks that an item spans.
__device__ __forceinline__ int span(int level) { return level == 5 ? 2 : level == 6 ? 4 : level == 7 ? 64 : 1; }

// For each level a bit for each of 64 blocks, of which lane l knows l and l + 32.
__device__ __forceinline__ uint64_t at_level(int level, int low, int high) {
  return __ballot_sync(~0u, low == level) | static_cast<uint64_t>(__ballot_sync(~0u, high == level)) << 32;
}

}  // namespace

// Levels [rows, columns] to items [rows, columns], counts and units [rows]. A warp a row.
extern "C" __global__ void lists(const uint8_t* levels, uint16_t* items, work::Counts* counts, uint32_t* units, int rows,
                                 int columns) {
  const int lane = threadIdx.x % 32;
  const int row = static_cast<int>((static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32);
  if (row >= rows) return;
  levels += static_cast<int64_t>(row) * columns;
  items += static_cast<int64_t>(row) * columns;
  const auto level_at = [&](int column) { return column < columns ? static_cast<int>(levels[column]) : 0; };

  int count[work::kLevels] = {};
  for (int first = 0; first < columns; first += 64) {
    const int low = level_at(first + lane), high = level_at(first + lane + 32);
#pragma unroll
    for (int c = 0; c < work::kLevels; ++c) {
      const int level = work::level_of(c);
      count[c] += __popcll(starts(level, at_level(level, low, high)));
    }
  }
  int base[work::kLevels];
  int before = 0;
  uint32_t total = 0;
#pragma unroll
  for (int c = 0; c < work::kLevels; ++c) {
    base[c] = before;
    before += count[c];
    total += count[c] * work::units_of(c);
  }
  if (lane == 0) {
    work::Counts all = {};
#pragma unroll
    for (int c = 0; c < work::kLevels; ++c) all.items[c] = static_cast<uint16_t>(count[c]);
    counts[row] = all;
    units[row] = total;
  }
  for (int first = 0; first < columns; first += 64) {
    const int low = level_at(first + lane), high = level_at(first + lane + 32);
#pragma unroll
    for (int c = 0; c < work::kLevels; ++c) {
      const int level = work::level_of(c);
      const uint64_t here = starts(level, at_level(level, low, high));
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int bit = lane + 32 * half;
        if (here >> bit & 1) {
          const int place = base[c] + __popcll(here & ((uint64_t{1} << bit) - 1));
          items[place] = static_cast<uint16_t>((first + bit) / span(level));
        }
      }
      base[c] += __popcll(here);
    }
  }
}

// The rows of each head, those of most units first, equal ones as they come. Grid: heads.
extern "C" __global__ void longest_first(const uint32_t* units, uint32_t* order, int rows) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * rows;
  for (int row = threadIdx.x; row < rows; row += blockDim.x) {
    const uint32_t mine = units[first + row];
    int rank = 0;
    for (int other = 0; other < rows; ++other) {
      const uint32_t theirs = units[first + other];
      rank += theirs > mine || (theirs == mine && other < row);
    }
    order[first + rank] = static_cast<uint32_t>(first + row);
  }
}
