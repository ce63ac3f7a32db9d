// What a level map keeps, in whole numbers, so that sums are the same in every order.

#include <cstdint>

namespace {

// `levels::cuda::Cut`.
struct Cut {
  int rows, columns, queries, keys, query_block, key_block, deepest;
};

}  // namespace

// Levels [heads, rows, columns] to [heads, 2], which holds zeros: Σ 2^(deepest − level) over the blocks that are seen, and
// Σ queries · pooled keys. Grid: (blocks of rows, heads), a warp a row.
extern "C" __global__ void density(const uint8_t* levels, unsigned long long* sums, const __grid_constant__ Cut cut) {
  const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= cut.rows) return;
  const int64_t head = blockIdx.y;
  levels += (head * cut.rows + row) * cut.columns;
  unsigned long long nominal = 0, pooled = 0;
  for (int column = lane; column < cut.columns; column += 32) {
    const int level = levels[column];
    if (level == 0) continue;
    const int tokens = min(cut.key_block, cut.keys - column * cut.key_block), run = 1 << (level - 1);
    nominal += 1ull << (cut.deepest - level);
    pooled += static_cast<unsigned>((tokens + run - 1) / run);
  }
  for (int step = 16; step > 0; step /= 2) {
    nominal += __shfl_xor_sync(~0u, nominal, step);
    pooled += __shfl_xor_sync(~0u, pooled, step);
  }
  if (lane == 0) {
    atomicAdd(&sums[2 * head], nominal);
    atomicAdd(&sums[2 * head + 1], pooled * static_cast<unsigned>(min(cut.query_block, cut.queries - row * cut.query_block)));
  }
}
