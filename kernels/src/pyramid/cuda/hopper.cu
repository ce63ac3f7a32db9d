// Pyramid attention for sm_90a: TMA, wgmma, warp specialisation.
//
// A block is persistent and has three warpgroups. The warps of the first fetch rows of the level map and load what they
// name: the queries, then tiles of N pooled keys and values through rings of `Stages`, one box an item. The other two
// warpgroups own 64 queries each: S = Q·Kᵀ of a tile is under way while the softmax of the tile before runs, and named
// barriers let one warpgroup's products run under the other's softmax.
//
// The maximum that exponents are relative to follows the scores only when they pass it by 2⁸ (`kSlack`): rescaling
// O is rare, and P stays far from overflow. Rows, tiles and sums have a fixed order, so results do not depend on which
// block takes which row.
//
// In shared memory a tile of keys or values is [unit of 8][half of 64 elements][8][64], each [8][64] a swizzle atom of
// 128 bytes a row: what a box of five dimensions writes at once, and wgmma reads as K of Q·Kᵀ and, transposed, as V.

#include "../../cuda/ptx.cuh"
#include "../../cuda/wgmma.cuh"
#include "work.cuh"

namespace {

using work::Args;

constexpr int kThreads = 384;
constexpr int kConsumerWarps = 8;
constexpr int kRowBytes = 128;  // of a swizzle atom: 64 elements
constexpr int kAtomBytes = 8 * kRowBytes;
constexpr float kSlack = 8.0f;

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
  // Warps that load K, and as many that load V. With lists there are many small boxes, and a warp issues one at a time.
  static constexpr int Loaders = Dense ? 1 : 2;
  static constexpr int PartUnits = Units / Loaders;
  // One more than tiles: a tile of K is released before its biases are used.
  static constexpr int Biases = Stages + 1;
};

// The biases of a tile: for each part whether they are all the same, and that one.
struct Uniform {
  int is;
  float bias;
};

constexpr int kRows = 2;

template <class C>
struct Shared {
  alignas(1024) uint8_t q[C::QueryBytes];
  alignas(1024) uint8_t k[C::Stages][C::TileBytes];
  alignas(1024) uint8_t v[C::Stages][C::TileBytes];
  alignas(16) float bias[C::Biases][C::N];
  Uniform uniform[C::Biases][C::Loaders];
  int row[kRows];
  uint64_t row_full[kRows], row_empty[kRows];
  uint64_t q_full, q_empty;
  uint64_t k_full[C::Stages], k_empty[C::Stages];
  uint64_t v_full[C::Stages], v_empty[C::Stages];
};

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

__device__ __forceinline__ int tiles_of(const work::Counts& counts, int tile) {
  int units = 0;
#pragma unroll
  for (int c = 0; c < work::kLevels; ++c) units += counts.items[c] * work::units_of(c);
  return (units * work::kUnit + tile - 1) / tile;
}

template <class C>
__device__ __forceinline__ int tiles_of(const Args& args, int row) {
  if constexpr (C::Dense) return (args.keys + C::N - 1) / C::N;
  return tiles_of(args.counts[row], C::N);
}

// --- the producer --------------------------------------------------------------------------------------------------------

// One unit of a tile: which item it is of.
struct Unit {
  int item_class = -1;  // −1: beyond the end of the row
  int first = 0;        // the item's first key at its level
  int within = 0;       // units of the item before this one
};

// A row's lists, ready to be searched by unit.
struct Stream {
  const uint16_t* items;
  int ends[work::kLevels];  // units up to the end of each class
  int offset;               // lane c: what makes unit ÷ units of an item the number of an item of class c

  __device__ __forceinline__ Stream(const work::Counts& counts, const uint16_t* row_items) : items(row_items), offset(0) {
    int units = 0, before = 0;
#pragma unroll
    for (int c = 0; c < work::kLevels; ++c) {
      if (threadIdx.x % 32 == c) offset = before - units / work::units_of(c);
      units += counts.items[c] * work::units_of(c);
      before += counts.items[c];
      ends[c] = units;
    }
  }

  // All lanes together. `first`, the same in all of them, is the first unit of eight adjacent ones from a multiple of
  // eight, and `mine` which of them a lane asks for.
  __device__ __forceinline__ Unit find(int first, int mine) const {
    Unit found;
    if (first < ends[1]) {
      found.item_class = first < ends[0] ? 0 : 1;
      found.first = items[first / 8] * 64;
      found.within = mine;
      return found;
    }
    const int unit = first + mine;
    int item_class = 2;
#pragma unroll
    for (int c = 2; c < work::kLevels; ++c) item_class += unit >= ends[c];
    const int shift = item_class == 2 ? 2 : item_class == 3 ? 1 : 0;
    const int item = __shfl_sync(~0u, offset, item_class) + (unit >> shift);
    if (item_class < work::kLevels) {
      found.item_class = item_class;
      found.first = items[item] << (shift + 3);
      found.within = unit & ((1 << shift) - 1);
    }
    return found;
  }
};

// Biases of two adjacent keys at a level.
__device__ __forceinline__ float2 biases(const Args& args, const uint8_t* levels, int level, int key) {
  if (level == 1 && !args.masked && key + 2 <= args.keys) return make_float2(0.0f, 0.0f);
  float2 bias = *reinterpret_cast<const float2*>(args.bias[level - 1] + key);
  if (level > 4) {
    const int first = key >> (7 - level), second = (key + 1) >> (7 - level);
    if (first >= args.columns || levels[first] != level) bias.x = -INFINITY;
    if (second >= args.columns || levels[second] != level) bias.y = -INFINITY;
  }
  return bias;
}

// Eight keys by the tail's map; beyond the end, zeros.
template <class C>
__device__ __forceinline__ void load_unit(uint32_t to, const Map* tail, uint32_t barrier, int key, int head) {
#pragma unroll
  for (int half = 0; half < C::Halves; ++half) {
    ptx::load_box(to + half * kAtomBytes, tail, barrier, half * 64, key, head);
  }
}

// One warp's part of a tile of K or V, four lanes a unit.
template <class C>
__device__ __forceinline__ void load_part(uint32_t to, const Map* maps, const Map* tail, const Args& args,
                                          uint32_t barrier, const Unit& unit, int head) {
  const int lane = threadIdx.x % 32;
  if (lane % 4 != 0) return;
  to += lane / 4 * C::UnitBytes;
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
  Uniform uniform = {1, 0.0f};
  if constexpr (C::Dense) {
    if (args.masked || (tile + 1) * C::N > args.keys) {
      uniform.is = 0;
      for (int column = lane * 2; column < C::N; column += 64) {
        const int key = tile * C::N + column;
        float2 bias = make_float2(-INFINITY, -INFINITY);
        if (key < args.keys) bias = biases(args, levels, 1, key);
        *reinterpret_cast<float2*>(&shared.bias[index][column]) = bias;
      }
    }
  } else {
    float2 bias = make_float2(-INFINITY, -INFINITY);
    if (unit.item_class >= 0) {
      const int key = unit.first + unit.within * work::kUnit + lane % 4 * 2;
      bias = biases(args, levels, work::level_of(unit.item_class), key);
    }
    uniform.bias = __shfl_sync(~0u, bias.x, 0);
    uniform.is = __all_sync(~0u, bias.x == uniform.bias && bias.y == uniform.bias && uniform.bias != -INFINITY);
    if (!uniform.is) {
      *reinterpret_cast<float2*>(&shared.bias[index][part * C::PartUnits * work::kUnit + lane * 2]) = bias;
    }
  }
  if (lane == 0) shared.uniform[index][part] = uniform;
}

// The rows that a block takes, one after the other, as its warps read them.
template <class C>
struct Rows {
  Ring<kRows> ring;

  // Waits for the next row; −1 after the last.
  __device__ __forceinline__ int next(Shared<C>& shared) {
    ptx::wait(ptx::shared_address(&shared.row_full[ring.index]), ring.parity);
    const int row = *static_cast<volatile int*>(&shared.row[ring.index]);
    __syncwarp();
    if (threadIdx.x % 32 == 0) ptx::arrive(ptx::shared_address(&shared.row_empty[ring.index]));
    ring.advance();
    return row;
  }
};

// Fetches rows for the whole block.
template <class C>
struct Fetcher {
  Ring<kRows> ring;
  int fetched = blockIdx.x;

  __device__ __forceinline__ Fetcher() { ring.parity = 1; }

  __device__ __forceinline__ int next(Shared<C>& shared, const Args& args) {
    const int total = args.heads * args.rows;
    const int taken = __shfl_sync(~0u, fetched, 0);
    const int row = taken >= total ? -1 : C::Dense ? taken : static_cast<int>(args.order[taken]);
    if (threadIdx.x % 32 == 0) {
      // The last of all blocks to find nothing leaves the counter as it was.
      if (row < 0 && taken == total + static_cast<int>(gridDim.x) - 1) *args.counter = 0;
      if (row >= 0) fetched = static_cast<int>(atomicAdd(args.counter, 1u) + gridDim.x);
      ptx::wait(ptx::shared_address(&shared.row_empty[ring.index]), ring.parity);
      shared.row[ring.index] = row;
      ptx::arrive(ptx::shared_address(&shared.row_full[ring.index]));
    }
    __syncwarp();
    ring.advance();
    return row;
  }
};

// One warp: even ones load K and write biases, odd ones load V; the first of each also fetches rows and loads Q.
template <class C>
__device__ __forceinline__ void produce(Shared<C>& shared, const Maps& maps, const Args& args) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const bool values = warp % 2 == 1;
  const int part = warp / 2;
  if (part >= C::Loaders) return;
  Fetcher<C> fetcher;
  Rows<C> rows;
  Ring<C::Stages> ring;
  ring.parity = 1;  // everything is empty
  uint32_t q_parity = 1;
  int bias_index = 0;
  for (;;) {
    const int row = warp == 0 ? fetcher.next(shared, args) : rows.next(shared);
    if (row < 0) break;
    const int head = row / args.rows;
    if (warp == 1) {
      ptx::wait(ptx::shared_address(&shared.q_empty), q_parity);
      q_parity ^= 1;
      if (lane == 0) {
        const uint32_t full = ptx::shared_address(&shared.q_full);
        ptx::arrive_expecting(full, C::QueryBytes);
#pragma unroll
        for (int half = 0; half < C::Halves; ++half) {
          ptx::load_box(ptx::shared_address(shared.q) + half * work::kQueryBlock * kRowBytes, &maps.q, full, half * 64,
                        row % args.rows * work::kQueryBlock, head);
        }
      }
      __syncwarp();
    }
    const int64_t of_row = static_cast<int64_t>(row) * args.columns;
    const uint8_t* const levels = C::Dense ? nullptr : args.levels + of_row;
    const int tiles = tiles_of<C>(args, row);
    const Stream stream(C::Dense ? work::Counts{} : args.counts[row], args.items + of_row);
    Unit unit, after;
    if constexpr (!C::Dense) unit = stream.find(part * C::PartUnits, lane / 4);
    for (int tile = 0; tile < tiles; ++tile) {
      if constexpr (!C::Dense) after = stream.find((tile + 1) * C::Units + part * C::PartUnits, lane / 4);
      uint64_t* const all_empty = values ? shared.v_empty : shared.k_empty;
      uint64_t* const all_full = values ? shared.v_full : shared.k_full;
      ptx::wait(ptx::shared_address(&all_empty[ring.index]), ring.parity);
      if (!values) {
        write_biases<C>(shared, args, levels, bias_index, part, tile, unit);
        if (++bias_index == C::Biases) bias_index = 0;
        __syncwarp();
      }
      const uint32_t full = ptx::shared_address(&all_full[ring.index]);
      const uint32_t to = ptx::shared_address(values ? shared.v[ring.index] : shared.k[ring.index]) +
                          part * C::PartUnits * C::UnitBytes;
      if (lane == 0) ptx::arrive_expecting(full, C::PartUnits * C::UnitBytes);
      __syncwarp();
      const Map* const boxes = values ? maps.v : maps.k;
      const Map* const tail = values ? &maps.v_tail : &maps.k_tail;
      if constexpr (C::Dense) {
        load_dense<C>(to, boxes, tail, args, full, tile * C::N, head);
      } else {
        load_part<C>(to, boxes, tail, args, full, unit, head);
      }
      __syncwarp();
      ring.advance();
      unit = after;
    }
  }
}

// --- the consumers ---------------------------------------------------------------------------------------------------------

template <class T>
__device__ __forceinline__ uint32_t pack(float low, float high) {
  uint32_t packed;
  if constexpr (sizeof(T) == 2 && __is_same(T, __nv_bfloat16)) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  }
  return packed;
}

// The running softmax of two rows a thread (lane/4 and lane/4 + 8 of its warp's), in log₂ units.
struct Softmax {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};
  float factor[2] = {1.0f, 1.0f};

  // Scores to weights in place. True if O has to be multiplied by `factor` (for the whole warp). `biases` are those of
  // the parts whose biases differ.
  template <class C>
  __device__ __forceinline__ bool step(float (&s)[C::N / 2], const float* biases, const Uniform (&parts)[C::Loaders],
                                       float scale, int lane) {
    Uniform uniform = parts[0];
    if constexpr (C::Loaders == 2) uniform.is &= parts[1].is && parts[0].bias == parts[1].bias;
    if (!uniform.is) {
#pragma unroll
      for (int group = 0; group < C::N / 8; ++group) {
        const Uniform& part = parts[group / C::PartUnits];
        float2 b = make_float2(part.bias, part.bias);
        if (!part.is) b = *reinterpret_cast<const float2*>(biases + group * 8 + lane % 4 * 2);
        s[group * 4 + 0] = fmaf(s[group * 4 + 0], scale, b.x);
        s[group * 4 + 1] = fmaf(s[group * 4 + 1], scale, b.y);
        s[group * 4 + 2] = fmaf(s[group * 4 + 2], scale, b.x);
        s[group * 4 + 3] = fmaf(s[group * 4 + 3], scale, b.y);
      }
      scale = 1.0f;
      uniform.bias = 0.0f;
    }
    float highest[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float a = fmaxf(s[2 * h], s[2 * h + 1]), b = fmaxf(s[2 * h + 4], s[2 * h + 5]);
#pragma unroll
      for (int group = 2; group < C::N / 8; group += 2) {
        a = fmaxf(a, fmaxf(s[group * 4 + 2 * h], s[group * 4 + 2 * h + 1]));
        b = fmaxf(b, fmaxf(s[group * 4 + 2 * h + 4], s[group * 4 + 2 * h + 5]));
      }
      a = fmaxf(a, b);
      a = fmaxf(a, __shfl_xor_sync(~0u, a, 1));
      a = fmaxf(a, __shfl_xor_sync(~0u, a, 2));
      highest[h] = fmaf(a, scale, uniform.bias);
    }
    const bool rescale = __any_sync(~0u, highest[0] > max[0] + kSlack || highest[1] > max[1] + kSlack);
    if (rescale) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float raised = fmaxf(max[h], highest[h]);
        factor[h] = ptx::exp2(max[h] - (raised == -INFINITY ? 0.0f : raised));
        sum[h] *= factor[h];
        max[h] = raised;
      }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float from = max[h] == -INFINITY ? 0.0f : max[h] - uniform.bias;
      float a = 0.0f, b = 0.0f;
#pragma unroll
      for (int group = 0; group < C::N / 8; ++group) {
        float& x = s[group * 4 + 2 * h];
        float& y = s[group * 4 + 2 * h + 1];
        x = ptx::exp2(fmaf(x, scale, -from));
        y = ptx::exp2(fmaf(y, scale, -from));
        a += x;
        b += y;
      }
      sum[h] += a + b;
    }
    return rescale;
  }
};

template <class C>
__device__ __forceinline__ void multiply_scores(float (&s)[C::N / 2], uint64_t q, uint64_t k) {
#pragma unroll
  for (int step = 0; step < C::D / 16; ++step) {
    const int half = step / 4, within = step % 4 * 32;
    wgmma::Product<typename C::T, C::N>::shared(s, q + ((half * work::kQueryBlock * kRowBytes + within) >> 4),
                                                k + ((half * kAtomBytes + within) >> 4), step > 0);
  }
}

template <class C>
__device__ __forceinline__ void multiply_values(float (&o)[C::D / 2], const uint32_t (&p)[C::N / 4], uint64_t v) {
#pragma unroll
  for (int step = 0; step < C::N / 16; ++step) {
    wgmma::Product<typename C::T, C::D>::registers(o, &p[step * 4], v + ((step * 2 * C::UnitBytes) >> 4));
  }
}

template <class C>
__device__ __forceinline__ void to_operand(uint32_t (&p)[C::N / 4], const float (&s)[C::N / 2]) {
#pragma unroll
  for (int i = 0; i < C::N / 4; ++i) p[i] = pack<typename C::T>(s[2 * i], s[2 * i + 1]);
}

// Four values of a quad's lanes each, transposed among them.
__device__ __forceinline__ void transpose_quad(uint32_t (&w)[4], int lane) {
  const bool odd = lane & 1, upper = lane & 2;
  uint32_t a = __shfl_xor_sync(~0u, upper ? w[0] : w[2], 2);
  uint32_t b = __shfl_xor_sync(~0u, upper ? w[1] : w[3], 2);
  if (upper) {
    w[0] = a, w[1] = b;
  } else {
    w[2] = a, w[3] = b;
  }
  // Lower lanes hold columns 0, 1 of lanes t, t + 2; upper ones columns 2, 3 of lanes t − 2, t.
  const uint32_t low = odd ? w[0] : w[1];
  const uint32_t low_upper = odd ? w[2] : w[3];
  a = __shfl_xor_sync(~0u, low, 1);
  b = __shfl_xor_sync(~0u, low_upper, 1);
  if (odd) {
    w[0] = a, w[2] = b;
  } else {
    w[1] = a, w[3] = b;
  }
}

template <class C>
__device__ __forceinline__ void store(const Args& args, int row, int consumer, const float (&o)[C::D / 2],
                                      const Softmax& softmax) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  const int head = row / args.rows;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = softmax.sum[h];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const int query = row % args.rows * work::kQueryBlock + consumer * 64 + warp * 16 + lane / 4 + 8 * h;
    const bool real = query < args.queries;
    const int64_t place = static_cast<int64_t>(head) * args.queries + query;
    const float share = sum > 0.0f ? 1.0f / sum : 0.0f;
    if (real && lane % 4 == 0) {
      args.lse[place] = sum > 0.0f ? (softmax.max[h] + log2f(sum)) * 0.69314718056f : -INFINITY;
    }
    uint4* to = reinterpret_cast<uint4*>(static_cast<typename C::T*>(args.out) + place * C::D);
#pragma unroll
    for (int four = 0; four < C::D / 32; ++four) {
      uint32_t w[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &o[(four * 4 + i) * 4 + 2 * h];
        w[i] = pack<typename C::T>(pair[0] * share, pair[1] * share);
      }
      transpose_quad(w, lane);
      if (real) to[four * 4 + lane % 4] = make_uint4(w[0], w[1], w[2], w[3]);
    }
  }
}

template <class C>
__device__ __forceinline__ void consume(Shared<C>& shared, const Args& args, int consumer) {
  const int lane = threadIdx.x % 32;
  constexpr int kMine = 1, kBoth = 256;
  const uint64_t q = wgmma::descriptor(ptx::shared_address(shared.q) + consumer * 64 * kRowBytes, kAtomBytes, 0);
  Rows<C> rows;
  Ring<C::Stages> k_ring, v_ring;
  uint32_t q_parity = 0;
  int bias_index = 0;
  if (C::Turns && consumer == 1) ptx::named_arrive(kMine, kBoth);

  const auto release = [&](uint64_t& barrier) {
    if (lane == 0) ptx::arrive(ptx::shared_address(&barrier));
  };
  const auto k_tile = [&] {
    return wgmma::descriptor(ptx::shared_address(shared.k[k_ring.index]), C::UnitBytes, 0);
  };
  const auto v_tile = [&] {
    return wgmma::descriptor(ptx::shared_address(shared.v[v_ring.index]), C::UnitBytes, kAtomBytes);
  };
  // Read before the products are waited for.
  Uniform parts[C::Loaders];
  const auto read_parts = [&] {
#pragma unroll
    for (int part = 0; part < C::Loaders; ++part) parts[part] = shared.uniform[bias_index][part];
  };
  const auto weigh = [&](Softmax& softmax, float(&s)[C::N / 2]) {
    const bool rescale = softmax.step<C>(s, shared.bias[bias_index], parts, args.scale, lane);
    if (++bias_index == C::Biases) bias_index = 0;
    return rescale;
  };

  for (;;) {
    const int row = rows.next(shared);
    if (row < 0) break;
    const int tiles = tiles_of<C>(args, row);
    ptx::wait(ptx::shared_address(&shared.q_full), q_parity);
    q_parity ^= 1;

    float o[C::D / 2];
#pragma unroll
    for (int i = 0; i < C::D / 2; ++i) o[i] = 0.0f;
    Softmax softmax;
    if (tiles == 0) {
      __syncwarp();
      release(shared.q_empty);
    } else {
      float s[C::N / 2];
      uint32_t p[C::N / 4];
      ptx::wait(ptx::shared_address(&shared.k_full[k_ring.index]), k_ring.parity);
      read_parts();
      wgmma::pin(s);
      wgmma::fence();
      multiply_scores<C>(s, q, k_tile());
      wgmma::commit();
      wgmma::wait<0>();
      wgmma::pin(s);
      release(shared.k_empty[k_ring.index]);
      if (tiles == 1) release(shared.q_empty);
      k_ring.advance();
      weigh(softmax, s);
      to_operand<C>(p, s);

#pragma unroll 1
      for (int tile = 1; tile < tiles; ++tile) {
        ptx::wait(ptx::shared_address(&shared.k_full[k_ring.index]), k_ring.parity);
        read_parts();
        if (C::Turns) ptx::named_sync(kMine + consumer, kBoth);
        wgmma::pin(s);
        wgmma::pin(o);
        wgmma::fence();
        multiply_scores<C>(s, q, k_tile());
        wgmma::commit();
        ptx::wait(ptx::shared_address(&shared.v_full[v_ring.index]), v_ring.parity);
        multiply_values<C>(o, p, v_tile());
        wgmma::commit();
        if (C::Turns) ptx::named_arrive(kMine + 1 - consumer, kBoth);
        wgmma::wait<1>();
        wgmma::pin(s);
        release(shared.k_empty[k_ring.index]);
        if (tile == tiles - 1) release(shared.q_empty);
        k_ring.advance();
        const bool rescale = weigh(softmax, s);
        wgmma::wait<0>();
        wgmma::pin(o);
        release(shared.v_empty[v_ring.index]);
        v_ring.advance();
        if (rescale) {
#pragma unroll
          for (int i = 0; i < C::D / 2; ++i) o[i] *= softmax.factor[i / 2 % 2];
        }
        to_operand<C>(p, s);
      }
      ptx::wait(ptx::shared_address(&shared.v_full[v_ring.index]), v_ring.parity);
      wgmma::pin(o);
      wgmma::fence();
      multiply_values<C>(o, p, v_tile());
      wgmma::commit();
      wgmma::wait<0>();
      wgmma::pin(o);
      release(shared.v_empty[v_ring.index]);
      v_ring.advance();
    }
    store<C>(args, row, consumer, o, softmax);
  }
}

template <class C>
__device__ __forceinline__ void attend(const Maps& maps, const Args& args) {
  extern __shared__ __align__(1024) uint8_t memory[];
  Shared<C>& shared = *reinterpret_cast<Shared<C>*>(memory);
  static_assert(sizeof(Shared<C>) <= 227 * 1024);
  if (threadIdx.x == 0) {
    ptx::prefetch_map(&maps.q);
    for (int i = 0; i < kRows; ++i) {
      ptx::barrier_init(ptx::shared_address(&shared.row_full[i]), 1);
      ptx::barrier_init(ptx::shared_address(&shared.row_empty[i]), kConsumerWarps + 2 * C::Loaders - 1);
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
  __syncthreads();
  if (threadIdx.x < 128) {
    ptx::give_registers<56>();
    produce<C>(shared, maps, args);
  } else {
    ptx::take_registers<224>();
    consume<C>(shared, args, threadIdx.x / 128 - 1);
  }
}

}  // namespace

#define TESSERA_ATTENTION(NAME, ...)                                                                             \
  extern "C" __global__ void __launch_bounds__(kThreads, 1)                                                      \
      NAME(const __grid_constant__ Maps maps, const __grid_constant__ Args args) {                               \
    attend<Config<__VA_ARGS__>>(maps, args);                                                                     \
  }

#ifndef TESSERA_VARIANTS
TESSERA_ATTENTION(pyramid_bf16_d128, __nv_bfloat16, 128, 128, 3, false, true)
TESSERA_ATTENTION(pyramid_bf16_d64, __nv_bfloat16, 64, 128, 4, false, true)
TESSERA_ATTENTION(dense_bf16_d128, __nv_bfloat16, 128, 176, 2, true, true)
TESSERA_ATTENTION(dense_bf16_d64, __nv_bfloat16, 64, 176, 3, true, true)
#else
#include TESSERA_VARIANTS
#endif
