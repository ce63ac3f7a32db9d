// Pyramid attention for sm_90a: TMA, wgmma, warp specialisation.
//
// A block is persistent and has three warpgroups. One warp of the first fetches rows of the level map and loads what
// they name: the queries once, then K and V tiles of N pooled keys, gathered from boxes of one item each, through rings
// of `Stages`. The other two own 64 queries each: S = Q·Kᵀ of a tile is under way while the softmax of the tile before
// runs, and named barriers let one warpgroup's products run under the other's softmax.
//
// The maximum that exponents are relative to follows the scores only when they pass it by 2⁸ (`kSlack`): rescaling
// O is rare, and P stays far from overflow. Rows, tiles and sums have a fixed order, so results do not depend on which
// block takes which row.

#include "../../cuda/ptx.cuh"
#include "../../cuda/wgmma.cuh"
#include "work.cuh"

namespace {

using work::Args;

constexpr int kThreads = 384;
constexpr int kConsumerWarps = 8;
constexpr int kRowBytes = 128;  // of a tile in shared memory: 64 elements, one swizzle atom wide
constexpr float kSlack = 8.0f;

struct __align__(64) Map {
  uint8_t bytes[128];
};

// What the copy engine needs, [heads, keys, D] as {D, keys, heads} in boxes of {64, keys of an item, 1}; by class of
// items. `blank` has boxes of eight keys.
struct Maps {
  Map q;
  Map blank;
  Map k[work::kLevels];
  Map v[work::kLevels];
};

template <class Element, int Width, int Tile, int RingStages, bool IsDense, bool InTurn, int Polynomials>
struct Config {
  using T = Element;
  static constexpr int D = Width;
  static constexpr int N = Tile;
  static constexpr int Stages = RingStages;
  static constexpr bool Dense = IsDense;         // every key at level 1, without lists
  static constexpr bool Turns = InTurn;          // named barriers order the two warpgroups
  static constexpr int Polynomial = Polynomials; // of eight exponentials so many by polynomial instead of the MUFU
  static constexpr int Halves = D / 64;
  static constexpr int TileBytes = N * D * 2;
  static constexpr int QueryBytes = work::kQueryBlock * D * 2;
  // One more than tiles: a tile of K is released before its biases are used.
  static constexpr int Biases = Stages + 1;
};

template <class C>
struct Shared {
  alignas(1024) uint8_t q[C::QueryBytes];
  alignas(1024) uint8_t k[C::Stages][C::TileBytes];
  alignas(1024) uint8_t v[C::Stages][C::TileBytes];
  alignas(16) float bias[C::Biases][C::N];
  int biased[C::Biases];
  int row;
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

__device__ __forceinline__ Unit find(const work::Counts& counts, const uint16_t* items, int unit) {
  Unit found;
  int base = 0;
#pragma unroll
  for (int c = 0; c < work::kLevels; ++c) {
    const int count = counts.items[c] * work::units_of(c);
    if (found.item_class < 0) {
      if (unit < count) {
        found.item_class = c;
        found.within = unit % work::units_of(c);
        found.first = items[base + unit / work::units_of(c)] * work::units_of(c) * work::kUnit;
      } else {
        unit -= count;
        base += counts.items[c];
      }
    }
  }
  return found;
}

// Biases of four adjacent keys of a unit.
__device__ __forceinline__ float4 biases(const Args& args, const uint8_t* levels, const Unit& unit, int offset) {
  const float hidden = -INFINITY;
  if (unit.item_class < 0) return make_float4(hidden, hidden, hidden, hidden);
  const int level = work::level_of(unit.item_class);
  const int key = unit.first + unit.within * work::kUnit + offset;
  if (level == 1 && !args.masked && key + 4 <= args.keys) return make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float4 bias = *reinterpret_cast<const float4*>(args.bias[level - 1] + key);
  if (level > 4) {
    float* each = &bias.x;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = (key + i) >> (7 - level);
      if (column >= args.columns || levels[column] != level) each[i] = hidden;
    }
  }
  return bias;
}

template <class C>
__device__ __forceinline__ void load_units(uint32_t to, const Map* maps, const Map* blank, const Args& args,
                                           uint32_t barrier, const Unit& unit, int lane, int head) {
  if (lane >= C::N / work::kUnit || (unit.item_class >= 0 && unit.within > 0)) return;
  const bool none = unit.item_class < 0;
  const Map* map = none ? blank : &maps[unit.item_class];
#pragma unroll
  for (int half = 0; half < C::Halves; ++half) {
    ptx::load_box(to + half * C::N * kRowBytes + lane * work::kUnit * kRowBytes, map, barrier, half * 64,
                  none ? args.keys : unit.first, head);
  }
}

template <class C>
__device__ __forceinline__ void produce(Shared<C>& shared, const Maps& maps, const Args& args) {
  const int lane = threadIdx.x % 32;
  const int total = args.heads * args.rows;
  Ring<C::Stages> k_ring, v_ring;
  k_ring.parity = v_ring.parity = 1;  // everything is empty
  uint32_t q_parity = 1;
  int bias_index = 0;

  const auto load_v = [&](const Unit& unit, int tile, int head) {
    ptx::wait(ptx::shared_address(&shared.v_empty[v_ring.index]), v_ring.parity);
    const uint32_t full = ptx::shared_address(&shared.v_full[v_ring.index]);
    const uint32_t to = ptx::shared_address(shared.v[v_ring.index]);
    if (lane == 0) ptx::arrive_expecting(full, C::TileBytes);
    __syncwarp();
    if constexpr (C::Dense) {
      if (lane < C::Halves) {
        ptx::load_box(to + lane * C::N * kRowBytes, &maps.v[1], full, lane * 64, tile * C::N, head);
      }
    } else {
      load_units<C>(to, maps.v, &maps.blank, args, full, unit, lane, head);
    }
    v_ring.advance();
  };

  int next = blockIdx.x;
  while (next < total) {
    const int row = C::Dense ? next : static_cast<int>(args.order[next]);
    if (lane == 0) next = static_cast<int>(atomicAdd(args.counter, 1u) + gridDim.x);
    const int head = row / args.rows;
    work::Counts counts = {};
    const uint16_t* items = nullptr;
    const uint8_t* levels = nullptr;
    if constexpr (!C::Dense) {
      counts = args.counts[row];
      items = args.items + static_cast<int64_t>(row) * args.columns;
      levels = args.levels + static_cast<int64_t>(row) * args.columns;
    }
    const int tiles = tiles_of<C>(args, row);

    // The row's number travels under the barrier of its queries.
    ptx::wait(ptx::shared_address(&shared.q_empty), q_parity);
    q_parity ^= 1;
    if (lane == 0) {
      shared.row = row;
      const uint32_t full = ptx::shared_address(&shared.q_full);
      ptx::arrive_expecting(full, C::QueryBytes);
#pragma unroll
      for (int half = 0; half < C::Halves; ++half) {
        ptx::load_box(ptx::shared_address(shared.q) + half * work::kQueryBlock * kRowBytes, &maps.q, full, half * 64,
                      row % args.rows * work::kQueryBlock, head);
      }
    }
    __syncwarp();

    constexpr int kUnits = C::N / work::kUnit;
    Unit before, current, after;
    if constexpr (!C::Dense) current = find(counts, items, lane);
    for (int tile = 0; tile < tiles; ++tile) {
      if constexpr (!C::Dense) after = find(counts, items, (tile + 1) * kUnits + lane);
      // Biases: four keys a lane at a time.
      bool biased = false;
      float4 bias[(C::N + 127) / 128];
      if constexpr (C::Dense) {
        if (args.masked || (tile + 1) * C::N > args.keys) {
#pragma unroll
          for (int i = 0; i < (C::N + 127) / 128; ++i) {
            Unit unit;
            unit.item_class = 1;
            unit.first = tile * C::N + i * 128;
            bias[i] = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
            if (unit.first + lane * 4 < args.keys) bias[i] = biases(args, levels, unit, lane * 4);
          }
          biased = true;
        }
      } else {
        static_assert(C::Dense || C::N <= 128);
        Unit unit;
        unit.item_class = __shfl_sync(~0u, current.item_class, lane / 2);
        unit.first = __shfl_sync(~0u, current.first, lane / 2);
        unit.within = __shfl_sync(~0u, current.within, lane / 2);
        bias[0] = biases(args, levels, unit, lane % 2 * 4);
        const bool any = bias[0].x != 0.0f || bias[0].y != 0.0f || bias[0].z != 0.0f || bias[0].w != 0.0f;
        biased = __any_sync(~0u, any && lane * 4 < C::N);
      }

      ptx::wait(ptx::shared_address(&shared.k_empty[k_ring.index]), k_ring.parity);
      if (biased) {
#pragma unroll
        for (int i = 0; i < (C::N + 127) / 128; ++i) {
          const int column = i * 128 + lane * 4;
          if (column < C::N) *reinterpret_cast<float4*>(&shared.bias[bias_index][column]) = bias[i];
        }
      }
      if (lane == 0) shared.biased[bias_index] = biased;
      if (++bias_index == C::Biases) bias_index = 0;
      __syncwarp();
      const uint32_t full = ptx::shared_address(&shared.k_full[k_ring.index]);
      const uint32_t to = ptx::shared_address(shared.k[k_ring.index]);
      if (lane == 0) ptx::arrive_expecting(full, C::TileBytes);
      __syncwarp();
      if constexpr (C::Dense) {
        if (lane < C::Halves) {
          ptx::load_box(to + lane * C::N * kRowBytes, &maps.k[1], full, lane * 64, tile * C::N, head);
        }
      } else {
        load_units<C>(to, maps.k, &maps.blank, args, full, current, lane, head);
      }
      k_ring.advance();
      if (tile > 0) load_v(before, tile - 1, head);
      before = current;
      current = after;
    }
    if (tiles > 0) load_v(before, tiles - 1, head);
    next = __shfl_sync(~0u, next, 0);
  }

  // The last of all blocks to find nothing leaves the counter as it was.
  if (lane == 0) {
    if (next == total + static_cast<int>(gridDim.x) - 1) *args.counter = 0;
    ptx::wait(ptx::shared_address(&shared.q_empty), q_parity);
    shared.row = -1;
    ptx::arrive(ptx::shared_address(&shared.q_full));
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

// 2^x for x ≤ 2⁶ by a cubic on [−½, ½], relative error 1e-4: far below the rounding of P.
__device__ __forceinline__ float exp2_cubic(float x) {
  constexpr float kRound = 12582912.0f;
  x = fmaxf(x, -126.0f);
  const float shifted = x + kRound;
  const float fraction = x - (shifted - kRound);
  float y = fmaf(fraction, 0.05550410866f, 0.24022650696f);
  y = fmaf(y, fraction, 0.69314718056f);
  y = fmaf(y, fraction, 1.0f);
  return __int_as_float(__float_as_int(y) + (__float_as_int(shifted) << 23));
}

// The running softmax of two rows a thread (lane/4 and lane/4 + 8 of its warp's), in log₂ units.
struct Softmax {
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0f, 0.0f};
  float factor[2] = {1.0f, 1.0f};

  // Scores to weights in place. True if O has to be multiplied by `factor` (for the whole warp).
  template <class C>
  __device__ __forceinline__ bool step(float (&s)[C::N / 2], const float* bias, bool biased, float scale, int lane) {
    if (biased) {
#pragma unroll
      for (int group = 0; group < C::N / 8; ++group) {
        const float2 b = *reinterpret_cast<const float2*>(bias + group * 8 + lane % 4 * 2);
        s[group * 4 + 0] = fmaf(s[group * 4 + 0], scale, b.x);
        s[group * 4 + 1] = fmaf(s[group * 4 + 1], scale, b.y);
        s[group * 4 + 2] = fmaf(s[group * 4 + 2], scale, b.x);
        s[group * 4 + 3] = fmaf(s[group * 4 + 3], scale, b.y);
      }
      scale = 1.0f;
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
      highest[h] = a * scale;
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
      const float from = max[h] == -INFINITY ? 0.0f : max[h];
      float a = 0.0f, b = 0.0f;
#pragma unroll
      for (int group = 0; group < C::N / 8; ++group) {
        float& x = s[group * 4 + 2 * h];
        float& y = s[group * 4 + 2 * h + 1];
        x = fmaf(x, scale, -from);
        y = fmaf(y, scale, -from);
        x = (group * 2) % 8 < C::Polynomial ? exp2_cubic(x) : ptx::exp2(x);
        y = (group * 2 + 1) % 8 < C::Polynomial ? exp2_cubic(y) : ptx::exp2(y);
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
                                                k + ((half * C::N * kRowBytes + within) >> 4), step > 0);
  }
}

template <class C>
__device__ __forceinline__ void multiply_values(float (&o)[C::D / 2], const uint32_t (&p)[C::N / 4], uint64_t v) {
#pragma unroll
  for (int step = 0; step < C::N / 16; ++step) {
    wgmma::Product<typename C::T, C::D>::registers(o, &p[step * 4], v + ((step * 16 * kRowBytes) >> 4));
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
  const uint64_t q = wgmma::descriptor(ptx::shared_address(shared.q) + consumer * 64 * kRowBytes, 0);
  Ring<C::Stages> k_ring, v_ring;
  uint32_t q_parity = 0;
  int bias_index = 0;
  if (C::Turns && consumer == 1) ptx::named_arrive(kMine, kBoth);

  const auto release = [&](uint64_t& barrier) {
    if (lane == 0) ptx::arrive(ptx::shared_address(&barrier));
  };
  const auto k_tile = [&] { return wgmma::descriptor(ptx::shared_address(shared.k[k_ring.index]), 0); };
  const auto v_tile = [&] {
    return wgmma::descriptor(ptx::shared_address(shared.v[v_ring.index]), C::N * kRowBytes);
  };
  const auto weigh = [&](Softmax& softmax, float(&s)[C::N / 2]) {
    const bool biased = shared.biased[bias_index] != 0;
    const bool rescale = softmax.step<C>(s, shared.bias[bias_index], biased, args.scale, lane);
    if (++bias_index == C::Biases) bias_index = 0;
    return rescale;
  };

  for (;;) {
    ptx::wait(ptx::shared_address(&shared.q_full), q_parity);
    q_parity ^= 1;
    const int row = shared.row;
    if (row < 0) break;
    const int tiles = tiles_of<C>(args, row);

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
    ptx::barrier_init(ptx::shared_address(&shared.q_full), 1);
    ptx::barrier_init(ptx::shared_address(&shared.q_empty), kConsumerWarps);
    for (int i = 0; i < C::Stages; ++i) {
      ptx::barrier_init(ptx::shared_address(&shared.k_full[i]), 1);
      ptx::barrier_init(ptx::shared_address(&shared.v_full[i]), 1);
      ptx::barrier_init(ptx::shared_address(&shared.k_empty[i]), kConsumerWarps);
      ptx::barrier_init(ptx::shared_address(&shared.v_empty[i]), kConsumerWarps);
    }
    ptx::barrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    ptx::give_registers<40>();
    if (threadIdx.x < 32) produce<C>(shared, maps, args);
  } else {
    ptx::take_registers<232>();
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
TESSERA_ATTENTION(pyramid_bf16_128, __nv_bfloat16, 128, 128, 3, false, true, 0)
TESSERA_ATTENTION(pyramid_bf16_64, __nv_bfloat16, 64, 128, 4, false, true, 0)
TESSERA_ATTENTION(dense_bf16_128, __nv_bfloat16, 128, 176, 2, true, true, 0)
TESSERA_ATTENTION(dense_bf16_64, __nv_bfloat16, 64, 128, 4, true, true, 0)
#else
#include TESSERA_VARIANTS
#endif
