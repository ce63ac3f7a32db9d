// Forced keeps, in the order that `keep/mod.rs` names. A block of threads a row.

#include "../../select/cuda/rank.cuh"

namespace {

// `keep::cuda::Args`.
struct Args {
  const uint8_t* from;
  const float* scores;  // what the map was selected by; null where `least_full` is 0
  uint8_t* to;
  int rows, columns, queries, query_block, key_block;
  int sink_first, sink_end;  // key blocks
  int full_first, full_end;  // query blocks
  int own, radius;
  int least_full;
  int size;  // of the sort, a power of two
};

}  // namespace

// Levels [rows of all heads, columns] to levels. Grid: rows of all heads. Shared memory: `size` keys where `least_full` > 0.
extern "C" __global__ void keep(const __grid_constant__ Args args) {
  extern __shared__ uint64_t keys[];
  __shared__ int full;
  const int columns = args.columns;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * columns;
  const rank::Row row(blockIdx.x % args.rows, columns, args.queries, args.query_block, args.key_block);
  const bool is_all = row.row >= args.full_first && row.row < args.full_end;
  const int near_first = row.own_first - args.radius, near_end = row.own_end + args.radius;
  if (threadIdx.x == 0) full = 0;
  __syncthreads();
  int mine = 0;
  bool is_wrong = false;
  for (int column = threadIdx.x; column < columns; column += blockDim.x) {
    int level = args.from[first + column];
    if (is_all || (column >= args.sink_first && column < args.sink_end) ||
        (args.own && column >= near_first && column < near_end)) {
      level = 1;
    }
    args.to[first + column] = static_cast<uint8_t>(level);
    mine += level == 1;
    if (args.least_full > 0) {
      const float score = args.scores[first + column];
      is_wrong |= isnan(score);
      keys[column] = level == 1 ? rank::kNothing : rank::key(score, row, column);
    }
  }
  if (args.least_full == 0) return;
  if (mine > 0) atomicAdd(&full, mine);
  is_wrong = __syncthreads_or(is_wrong);
  const int missing = min(args.least_full, columns) - full;
  if (is_wrong) {
    for (int column = threadIdx.x; column < columns; column += blockDim.x) args.to[first + column] = 1;
    return;
  }
  if (missing <= 0) return;
  for (int place = columns + threadIdx.x; place < args.size; place += blockDim.x) keys[place] = rank::kNothing;
  rank::sort(keys, args.size, row.row);
  for (int place = threadIdx.x; place < missing; place += blockDim.x) {
    args.to[first + rank::column(keys[place])] = 1;
  }
}
