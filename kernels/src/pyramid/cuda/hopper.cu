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
#include "hopper_load.cuh"
#include "hopper_tile.cuh"
#include "softmax.cuh"

namespace hopper {

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
  for (int i = 0; i < C::N / 4; ++i) p[i] = work::pack<typename C::T>(s[2 * i], s[2 * i + 1]);
}

template <class C>
__device__ __forceinline__ void consume(Shared<C>& shared, const Args& args, int consumer) {
  const int lane = threadIdx.x % 32;
  constexpr int kMine = 1, kBoth = 256;
  const uint64_t q = wgmma::descriptor(ptx::shared_address(shared.q) + consumer * 64 * kRowBytes, kAtomBytes, 0);
  Ring<kRows> row_ring;
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
  float parts[C::Loaders];
  const auto read_parts = [&] {
#pragma unroll
    for (int part = 0; part < C::Loaders; ++part) parts[part] = shared.uniform[bias_index][part];
  };
  const auto weigh = [&](work::Softmax& softmax, float(&s)[C::N / 2]) {
    float uniform = parts[0];
#pragma unroll
    for (int part = 1; part < C::Loaders; ++part) uniform = parts[part] == uniform ? uniform : NAN;
    const float* const biases = shared.bias[bias_index] + lane % 4 * 2;
    const bool rescale = softmax.step<C::N / 8>(s, args.scale, uniform, [&](int group) {
      const float part = parts[group / C::PartUnits];
      return part == part ? make_float2(part, part) : *reinterpret_cast<const float2*>(biases + group * 8);
    });
    if (++bias_index == C::Biases) bias_index = 0;
    return rescale;
  };

  for (;;) {
    ptx::wait(ptx::shared_address(&shared.row_full[row_ring.index]), row_ring.parity);
    const int row = uniform(*static_cast<volatile int*>(&shared.row[row_ring.index]));
    release(shared.row_empty[row_ring.index]);
    row_ring.advance();
    if (row < 0) break;
    const int tiles = uniform(tiles_of<C>(args, row));
    ptx::wait(ptx::shared_address(&shared.q_full), q_parity);
    q_parity ^= 1;

    float o[C::D / 2];
#pragma unroll
    for (int i = 0; i < C::D / 2; ++i) o[i] = 0.0f;
    work::Softmax softmax;
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
        // Never so; but the branch keeps the assembler from moving the wait before the exponentials.
        if (softmax.sum[0] + softmax.sum[1] < 0.0f) __trap();
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
    const int first = row % args.rows * work::kQueryBlock + consumer * 64 + threadIdx.x / 32 % 4 * 16;
    work::store<typename C::T, C::D>(args, row / args.rows, first, o, softmax);
  }
}

template <class C>
__device__ __forceinline__ void attend(const Maps& maps, const Args& args) {
  extern __shared__ __align__(1024) uint8_t memory[];
  Shared<C>& shared = *reinterpret_cast<Shared<C>*>(memory);
  static_assert(sizeof(Shared<C>) <= 227 * 1024);
  if (threadIdx.x == 0) {
    ptx::prefetch_map(&maps.q);
    init_barriers(shared);
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    ptx::give_registers<56>();
    produce<C>(shared, maps, args);
  } else {
    ptx::take_registers<224>();
    consume<C>(shared, args, uniform(threadIdx.x / 128) - 1);
  }
}

}  // namespace hopper

#define TESSERA_ATTENTION(NAME, ...)                                                                             \
  extern "C" __global__ void __launch_bounds__(hopper::kThreads, 1)                                                    \
      NAME(const __grid_constant__ hopper::Maps maps, const __grid_constant__ work::Args args) {                 \
    hopper::attend<hopper::Config<__VA_ARGS__>>(maps, args);                                                     \
  }

#ifndef TESSERA_VARIANTS
TESSERA_ATTENTION(pyramid_bf16_d64, __nv_bfloat16, 64, 128, 4, false, true)
TESSERA_ATTENTION(pyramid_bf16_d128, __nv_bfloat16, 128, 128, 3, false, true)
TESSERA_ATTENTION(pyramid_f16_d64, __half, 64, 128, 4, false, true)
TESSERA_ATTENTION(pyramid_f16_d128, __half, 128, 128, 3, false, true)
TESSERA_ATTENTION(dense_bf16_d64, __nv_bfloat16, 64, 192, 3, true, true)
TESSERA_ATTENTION(dense_bf16_d128, __nv_bfloat16, 128, 176, 2, true, true)
TESSERA_ATTENTION(dense_f16_d64, __half, 64, 192, 3, true, true)
TESSERA_ATTENTION(dense_f16_d128, __half, 128, 176, 2, true, true)
#else
#include TESSERA_VARIANTS
#endif
