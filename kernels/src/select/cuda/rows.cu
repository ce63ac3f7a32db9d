// Levels of a row's blocks by their scores. A block of threads a row; nothing is read by the host.
//
// A row that holds NaN, or what is no probability where one is asked for, is seen in full: its result is then what dense
// attention's would be. (On the host such scores are refused.)

#include "rank.cuh"

namespace {

constexpr int kEnds = 8;

// `select::cuda::Ends`: where levels end in a row, best block first.
struct Ends {
  const uint32_t* counts;  // [heads]: of the only end, one a head; null: `lowest` and `highest` say it
  double bound[kEnds];     // of shares: blocks whose cumulative share does not exceed it
  int lowest[kEnds];       // blocks at least
  int highest[kEnds];      // and at most
  int level[kEnds];
  int ends;
  int shares;              // 0: by count alone; 1: by share, up to the bound; 2: by share, below the bound
  int crossing;            // blocks more than those: 1 where the one that crosses is in
};

struct Cut {
  int rows, columns, queries, query_block, key_block;
};

// The sum over the block's threads, the same in all of them and in every run.
__device__ double sum_of_all(double x, double* shared) {
  for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(~0u, x, lane);
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
  __syncthreads();
  double all = 0;
  for (int warp = 0; warp < blockDim.x / 32; ++warp) all += shared[warp];
  return all;
}

// What the threads before this one hold.
__device__ double sum_before(double x, double* shared) {
  const int lane = threadIdx.x % 32;
  double before = x;
  for (int step = 1; step < 32; step *= 2) {
    const double other = __shfl_up_sync(~0u, before, step);
    if (lane >= step) before += other;
  }
  __syncthreads();
  if (lane == 31) shared[threadIdx.x / 32] = before;
  __syncthreads();
  before -= x;
  for (int warp = 0; warp < threadIdx.x / 32; ++warp) before += shared[warp];
  return before;
}

}  // namespace

// Scores [rows of all heads, columns] to levels. Grid: rows of all heads. Shared memory: `size` keys, a power of two.
extern "C" __global__ void select_ranked(const float* scores, uint8_t* levels, const __grid_constant__ Ends ends,
                                         const __grid_constant__ Cut cut, int size) {
  extern __shared__ uint64_t keys[];
  __shared__ double sums[32];
  __shared__ int counts[kEnds];
  const int columns = cut.columns;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * columns;
  const rank::Row row(blockIdx.x % cut.rows, columns, cut.queries, cut.query_block, cut.key_block);
  scores += first;
  levels += first;

  bool is_wrong = false;
  double mine = 0;
  for (int column = threadIdx.x; column < size; column += blockDim.x) {
    uint64_t key = rank::kNothing;
    if (column < columns) {
      const float score = scores[column];
      is_wrong |= isnan(score) || (ends.shares != 0 && !(score >= 0.0f && score <= 3.4028235e38f));
      mine += static_cast<double>(score);
      key = rank::key(score, row, column);
    }
    keys[column] = key;
  }
  if (__syncthreads_or(is_wrong)) {
    for (int column = threadIdx.x; column < columns; column += blockDim.x) levels[column] = 1;
    return;
  }
  rank::sort(keys, size, row.row);

  if (threadIdx.x < kEnds) counts[threadIdx.x] = 0;
  if (ends.shares != 0) {
    const double total = sum_of_all(mine, sums);
    // Consecutive blocks to a thread, so that sums run in their order.
    const int each = (size + blockDim.x - 1) / blockDim.x, start = threadIdx.x * each;
    const auto share = [&](int place) {
      if (place >= columns) return 0.0;
      return total == 0.0 ? 1.0 / columns : static_cast<double>(scores[rank::column(keys[place])]) / total;
    };
    double own = 0;
    for (int place = start; place < min(start + each, columns); ++place) own += share(place);
    double before = sum_before(own, sums);
    int within[kEnds] = {};
    for (int place = start; place < min(start + each, columns); ++place) {
      before += share(place);
      for (int i = 0; i < ends.ends; ++i) {
        within[i] += ends.shares == 1 ? before <= ends.bound[i] : before < ends.bound[i];
      }
    }
    for (int i = 0; i < ends.ends; ++i) {
      if (within[i] > 0) atomicAdd(&counts[i], within[i]);
    }
  }
  __syncthreads();

  int end[kEnds];
  int least = 0;
  for (int i = 0; i < ends.ends; ++i) {
    int count = ends.counts != nullptr ? static_cast<int>(min(ends.counts[blockIdx.x / cut.rows], 65536u))
                                       : counts[i] + (ends.shares != 0 ? ends.crossing : 0);
    if (ends.counts == nullptr) count = min(max(count, ends.lowest[i]), ends.highest[i]);
    end[i] = least = min(max(count, least), columns);
  }
  for (int place = threadIdx.x; place < columns; place += blockDim.x) {
    int level = 0;
    for (int i = ends.ends - 1; i >= 0; --i) {
      if (place < end[i]) level = ends.level[i];
    }
    levels[rank::column(keys[place])] = static_cast<uint8_t>(level);
  }
}

// Each score against its row's bars, mean + τ·sigma; the first end that it exceeds names its level. `bound` are the τ.
extern "C" __global__ void select_above(const float* scores, const float* mean, const float* sigma, uint8_t* levels,
                                        const __grid_constant__ Ends ends, int columns) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * columns;
  const double middle = mean[blockIdx.x], spread = sigma[blockIdx.x];
  bool is_wrong = isnan(middle) || isnan(spread);
  for (int column = threadIdx.x; column < columns; column += blockDim.x) is_wrong |= isnan(scores[first + column]);
  is_wrong = __syncthreads_or(is_wrong);
  for (int column = threadIdx.x; column < columns; column += blockDim.x) {
    const double score = scores[first + column];
    int level = is_wrong ? 1 : 0;
    for (int i = ends.ends - 1; i >= 0 && !is_wrong; --i) {
      // Rounded twice, as on the host.
      if (score > __dadd_rn(middle, __dmul_rn(ends.bound[i], spread))) level = ends.level[i];
    }
    levels[first + column] = static_cast<uint8_t>(level);
  }
}
