// Levels for many blocks under one budget: the first steps, by gain, that it pays for. Nothing is sorted: a step is a key of
// 64 bits, and the key of the first step that is not paid for is found digit by digit, from sums of costs by digit. Costs are
// whole numbers, so that sums are the same in every order.

#include <cstdint>

namespace {

constexpr int kLevels = 7;
constexpr int kSteps = kLevels - 1;
constexpr int kBits = 11;
constexpr int kDigits = 1 << kBits;

// `ladder::cuda::Cut`.
struct Cut {
  int rows, columns, queries, keys, query_block, key_block;
  int cells;     // of all heads
  double whole;  // the dense work of all heads
};

// How far the search is: what is known of the key, and what is left of the budget after all smaller ones.
struct State {
  uint64_t prefix;
  uint64_t left;
  int is_over;  // nothing more to find: every step is paid for
};

// Products of a cell at a level.
__device__ __forceinline__ uint64_t work(const Cut& cut, int cell, int level) {
  const int row = cell / cut.columns % cut.rows, column = cell % cut.columns, run = 1 << (level - 1);
  const int tokens = min(cut.key_block, cut.keys - column * cut.key_block);
  return static_cast<uint64_t>(min(cut.query_block, cut.queries - row * cut.query_block)) * ((tokens + run - 1) / run);
}

struct Choice {
  int level;
  float cost, loss;
};

__device__ __forceinline__ float gain(const Choice& cheap, const Choice& dear) {
  if (dear.cost <= cheap.cost) return INFINITY;
  return __fdiv_rn(fmaxf(__fsub_rn(cheap.loss, dear.loss), 0.0f), __fsub_rn(dear.cost, cheap.cost));
}

// Ascending in the order in which steps are taken: by falling gain, then by cell, then the coarser level first.
__device__ __forceinline__ uint64_t key(float gain, int cell, int level) {
  return static_cast<uint64_t>(~__float_as_uint(gain)) << 32 | static_cast<uint32_t>(cell) << 3 | static_cast<uint32_t>(7 - level);
}

}  // namespace

// Of each cell's losses [cells, 7] the gains of its steps [6, cells], to level ℓ at ℓ − 1; −1 where a level is not on the lower
// hull of loss over cost. Cells whose losses are no numbers climb first of all.
extern "C" __global__ void __launch_bounds__(256) ladder_gains(const float* losses, float* gains, const __grid_constant__ Cut cut) {
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  if (cell >= cut.cells) return;
  Choice hull[kLevels];
  int count = 0;
  bool is_wrong = false;
  for (int level = kLevels; level > 0; --level) {
    const Choice next{level, static_cast<float>(static_cast<double>(work(cut, cell, level)) / cut.whole),
                      losses[static_cast<int64_t>(cell) * kLevels + level - 1]};
    is_wrong |= isnan(next.loss);
    while (count > 1 && (next.cost <= hull[count - 1].cost || gain(hull[count - 2], hull[count - 1]) <= gain(hull[count - 1], next))) {
      --count;
    }
    hull[count++] = next;
  }
  for (int level = 1; level <= kSteps; ++level) gains[static_cast<int64_t>(level - 1) * cut.cells + cell] = -1.0f;
  if (is_wrong) {
    gains[cell] = INFINITY;
    return;
  }
  for (int i = 1; i < count; ++i) gains[static_cast<int64_t>(hull[i].level - 1) * cut.cells + cell] = gain(hull[i - 1], hull[i]);
}

// Adds the cost of each step whose key begins with what is known to the sum of its next digit.
extern "C" __global__ void __launch_bounds__(256)
    ladder_sums(const float* gains, const State* state, unsigned long long* sums, const __grid_constant__ Cut cut, int shift, int bits) {
  __shared__ unsigned long long mine[kDigits];
  if (state->is_over) return;
  const uint64_t prefix = state->prefix;
  for (int digit = threadIdx.x; digit < kDigits; digit += blockDim.x) mine[digit] = 0;
  __syncthreads();
  for (int cell = blockIdx.x * blockDim.x + threadIdx.x; cell < cut.cells; cell += gridDim.x * blockDim.x) {
    uint64_t before = work(cut, cell, kLevels);
    for (int level = kSteps; level > 0; --level) {
      const float of_step = gains[static_cast<int64_t>(level - 1) * cut.cells + cell];
      if (of_step < 0.0f) continue;
      const uint64_t at = key(of_step, cell, level), after = work(cut, cell, level);
      // A shift by 64 would be none.
      const bool is_in = shift + bits == 64 || at >> (shift + bits) == prefix;
      if (is_in && after > before) atomicAdd(&mine[at >> shift & ((1u << bits) - 1)], after - before);
      before = after;
    }
  }
  __syncthreads();
  for (int digit = threadIdx.x; digit < kDigits; digit += blockDim.x) {
    if (mine[digit] > 0) atomicAdd(&sums[digit], mine[digit]);
  }
}

// The digit that the budget does not pay for. One block of 1024 threads; leaves the sums zero.
extern "C" __global__ void __launch_bounds__(1024) ladder_digit(unsigned long long* sums, State* state, int bits) {
  __shared__ uint64_t before[1024];
  __shared__ int first;
  if (state->is_over) return;
  const uint64_t left = state->left;
  const int digit = 2 * threadIdx.x;
  const uint64_t low = sums[digit], high = sums[digit + 1];
  if (threadIdx.x == 0) first = kDigits;
  before[threadIdx.x] = low + high;
  for (int step = 1; step < 1024; step *= 2) {
    __syncthreads();
    const uint64_t other = threadIdx.x >= step ? before[threadIdx.x - step] : 0;
    __syncthreads();
    before[threadIdx.x] += other;
  }
  const uint64_t start = before[threadIdx.x] - low - high;
  __syncthreads();
  sums[digit] = sums[digit + 1] = 0;
  if (start + low > left) {
    atomicMin(&first, digit);
  } else if (start + low + high > left) {
    atomicMin(&first, digit + 1);
  }
  __syncthreads();
  if (first == kDigits) {
    if (threadIdx.x == 0) state->is_over = 1;
  } else if (first / 2 == threadIdx.x) {
    state->prefix = state->prefix << bits | static_cast<uint64_t>(first);
    state->left = left - start - (first % 2 ? low : 0);
  }
}

// The level of each cell after all steps before the one that was found.
extern "C" __global__ void __launch_bounds__(256)
    ladder_levels(const float* gains, const State* state, uint8_t* levels, const __grid_constant__ Cut cut) {
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  if (cell >= cut.cells) return;
  int level = kLevels;
  for (int next = kSteps; next > 0; --next) {
    const float of_step = gains[static_cast<int64_t>(next - 1) * cut.cells + cell];
    if (of_step >= 0.0f && (state->is_over || key(of_step, cell, next) < state->prefix)) level = next;
  }
  levels[cell] = static_cast<uint8_t>(level);
}
