// Which block of a row comes before which: the order of `select/rank.rs`, bit for bit.
//
// A block is a 64-bit key, the smaller the better: from the high bits down the score (inverted), the distance to the row's
// own blocks, and the column. Only blocks of one score at one distance need their hashes, which are then compared.
#pragma once

#include <cstdint>

namespace rank {

// The cut of the attention, and the row.
struct Row {
  int row;       // within its head
  int columns;
  int own_first, own_end;  // the key blocks that lie where the row does

  __device__ Row(int row, int columns, int queries, int query_block, int key_block) : row(row), columns(columns) {
    const int first = row * query_block, end = min(first + query_block, queries);
    own_first = min(first / key_block, columns);
    own_end = min((end + key_block - 1) / key_block, columns);
  }

  __device__ int distance(int column) const {
    return column < own_first ? own_first - column : max(column + 1 - max(own_end, own_first + 1), 0);
  }
};

// A block that is none, behind all that are.
constexpr uint64_t kNothing = ~uint64_t{0};

// A number that falls as the score rises; both zeros are one.
__device__ __forceinline__ uint32_t descending(float score) {
  const uint32_t bits = score == 0.0f ? 0 : __float_as_uint(score);
  return ~(bits >> 31 ? ~bits : bits | 1u << 31);
}

__device__ __forceinline__ uint64_t key(float score, const Row& row, int column) {
  return static_cast<uint64_t>(descending(score)) << 32 | static_cast<uint64_t>(row.distance(column)) << 16 |
         static_cast<uint32_t>(column);
}

__device__ __forceinline__ int column(uint64_t key) { return static_cast<int>(key & 0xffff); }

// 32 well mixed bits of a place: SplitMix64, as `mix.rs` has it.
__device__ __forceinline__ uint32_t hash(int row, int column) {
  uint64_t x = (static_cast<uint64_t>(row) << 32 | static_cast<uint32_t>(column)) + 0x9e3779b97f4a7c15ull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>((x ^ x >> 31) >> 32);
}

__device__ __forceinline__ bool before(uint64_t a, uint64_t b, int row) {
  if (a >> 16 != b >> 16) return a < b;
  const uint32_t of_a = hash(row, column(a)), of_b = hash(row, column(b));
  return of_a != of_b ? of_a < of_b : a < b;
}

// Sorts `size` keys (a power of two) of shared memory, best first: a bitonic network, by the whole block.
__device__ __forceinline__ void sort(uint64_t* keys, int size, int row) {
  for (int run = 2; run <= size; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int pair = threadIdx.x; pair < size / 2; pair += blockDim.x) {
        const int low = 2 * pair - (pair & (step - 1)), high = low + step;
        const uint64_t a = keys[low], b = keys[high];
        if (before(b, a, row) == ((low & run) == 0)) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

}  // namespace rank
