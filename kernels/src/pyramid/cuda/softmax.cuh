// The arithmetic between and after the products: the running softmax of a tile's scores, and a row's end. Accumulators are
// as wgmma and mma.sync have them: d[4g + 2h + e] is row lane/4 + 8h of sixteen, column 8g + 2·(lane mod 4) + e.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "../../cuda/ptx.cuh"
#include "work.cuh"

namespace work {

// The maximum that exponents are relative to follows the scores only when they pass it by 2 to this.
constexpr float kSlack = 8.0f;

template <class T>
__device__ __forceinline__ uint32_t pack(float low, float high) {
  uint32_t packed;
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
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

  // Scores to weights in place. True if O has to be multiplied by `factor` (for the whole warp). `uniform` is the bias of
  // every key; NaN where they differ, and `biases` gives those of a group's two columns of this lane.
  template <int Groups, class Biases>
  __device__ __forceinline__ bool step(float (&s)[Groups * 4], float scale, float uniform, const Biases& biases) {
    if (__any_sync(~0u, uniform != uniform)) {
#pragma unroll
      for (int group = 0; group < Groups; ++group) {
        const float2 b = biases(group);
        s[group * 4 + 0] = fmaf(s[group * 4 + 0], scale, b.x);
        s[group * 4 + 1] = fmaf(s[group * 4 + 1], scale, b.y);
        s[group * 4 + 2] = fmaf(s[group * 4 + 2], scale, b.x);
        s[group * 4 + 3] = fmaf(s[group * 4 + 3], scale, b.y);
      }
      scale = 1.0f;
      uniform = 0.0f;
    }
    float highest[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float a = fmaxf(s[2 * h], s[2 * h + 1]), b = fmaxf(s[2 * h + 4], s[2 * h + 5]);
#pragma unroll
      for (int group = 2; group < Groups; group += 2) {
        a = fmaxf(a, fmaxf(s[group * 4 + 2 * h], s[group * 4 + 2 * h + 1]));
        b = fmaxf(b, fmaxf(s[group * 4 + 2 * h + 4], s[group * 4 + 2 * h + 5]));
      }
      a = fmaxf(a, b);
      a = fmaxf(a, __shfl_xor_sync(~0u, a, 1));
      a = fmaxf(a, __shfl_xor_sync(~0u, a, 2));
      highest[h] = fmaf(a, scale, uniform);
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
      const float from = max[h] == -INFINITY ? 0.0f : max[h] - uniform;
      float a = 0.0f, b = 0.0f;
#pragma unroll
      for (int group = 0; group < Groups; ++group) {
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

// Sixteen rows of a warp: O divided by the sums, and LSE. `first` is the first row's query.
template <class T, int D>
__device__ __forceinline__ void store(const Args& args, int head, int first, const float (&o)[D / 2],
                                      const Softmax& softmax) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = softmax.sum[h];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    const int query = first + lane / 4 + 8 * h;
    const bool real = query < args.queries;
    const int64_t place = static_cast<int64_t>(head) * args.queries + query;
    const float share = sum > 0.0f ? 1.0f / sum : 0.0f;
    if (real && lane % 4 == 0) {
      args.lse[place] = sum > 0.0f ? (softmax.max[h] + log2f(sum)) * 0.69314718056f : -INFINITY;
    }
    uint4* to = reinterpret_cast<uint4*>(static_cast<T*>(args.out) + place * D);
#pragma unroll
    for (int four = 0; four < D / 32; ++four) {
      uint32_t w[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &o[(four * 4 + i) * 4 + 2 * h];
        w[i] = pack<T>(pair[0] * share, pair[1] * share);
      }
      transpose_quad(w, lane);
      if (real) to[four * 4 + lane % 4] = make_uint4(w[0], w[1], w[2], w[3]);
    }
  }
}

}  // namespace work
