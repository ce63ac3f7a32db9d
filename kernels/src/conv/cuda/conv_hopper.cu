// The convolution on sm_90a: pixels and weights come by the copy engine, products are wgmma.
//
// A block makes tiles of 16 × 16 pixels of one output frame for N outputs, one after the other. A step is a frame of the
// kernel, 32 input channels and a column of the kernel: the pixels under that column, 16 + kh − 1 rows of 16, zeros
// around the frame (the copy engine's), and the weights of its kh taps. A row of the kernel is then an offset of whole rows
// of 16 pixels, which keeps the swizzle's period. One warp loads, two warpgroups multiply, half of the pixels each. F32 results
// come of operands in two 16-bit parts: see `conv.cu`.

#include "../../cuda/ptx.cuh"
#include "../../cuda/wgmma.cuh"

namespace {

constexpr int kSide = 16;
constexpr int kRowBytes = 64;              // 32 channels of a pixel or an output
constexpr int kLineBytes = kSide * kRowBytes;
constexpr int kAtomBytes = 8 * kRowBytes;
constexpr int kParts = 4;
constexpr int kThreads = 384;
constexpr int kConsumerWarps = 8;
constexpr int kMostStages = 8;

struct __align__(64) Map {
  uint8_t bytes[128];
};

// Weights {32, N, taps} in boxes of {32, N, kh}; parts {I, W, H, frames, 1} in boxes of {32, 16, 16 + kh − 1, 1, 1}.
struct Maps {
  Map weight;
  Map parts[kParts];
};

struct Args {
  const float* bias;  // [O]; null: none
  const void* added;  // as out; null: none
  void* out;          // [B, T', scale·H', scale·W', O]
  int part_ends[kParts];  // frames up to and with each part
  int slices, fold;  // slices of 32 channels; from `fold` on they begin anew
  int out_frames, out_height, out_width, outputs;  // pixels that are made, before `scale`
  int frames_of_kernel, columns_of_kernel, stride_t;
  int top, left;
  int scale, place_y, place_x;  // pixel (y, x) goes to (scale·y + place_y, scale·x + place_x)
  int tiles_x, tiles_y, tiles_n, tiles;
  int stages;
};

struct Tile {
  int n, x, y, frame;  // outputs from N·n; frame counts samples too

  __device__ __forceinline__ Tile(const Args& args, int index) {
    n = index % args.tiles_n, index /= args.tiles_n;
    x = index % args.tiles_x * kSide, index /= args.tiles_x;
    y = index % args.tiles_y * kSide;
    frame = index / args.tiles_y;
  }
};

// A place in the ring and the parity of its current round.
struct Place {
  int index = 0;
  uint32_t parity = 0;
  __device__ __forceinline__ void advance(int size) {
    if (++index == size) {
      index = 0;
      parity ^= 1;
    }
  }
};

template <int N, int KH>
struct Shape {
  static constexpr int kPixelBytes = (kSide + KH - 1) * kLineBytes;
  static constexpr int kWeightBytes = KH * N * kRowBytes;
  static constexpr int kStageBytes = kPixelBytes + kWeightBytes;
};

template <int N, int KH>
__device__ __forceinline__ void load(const Maps& maps, const Args& args, uint32_t ring, uint32_t full, uint32_t empty) {
  using S = Shape<N, KH>;
  Place place;
  for (int index = blockIdx.x; index < args.tiles; index += gridDim.x) {
    const Tile tile(args, index);
    const int sample = tile.frame / args.out_frames, frame = tile.frame % args.out_frames;
    int tap = tile.n * args.frames_of_kernel * args.slices * args.columns_of_kernel * KH;
    for (int t = 0; t < args.frames_of_kernel; ++t) {
      const int from = frame * args.stride_t + t;
      int part = 0, before = 0;
      while (from >= args.part_ends[part]) before = args.part_ends[part++];
      const int at = sample * (args.part_ends[part] - before) + from - before;
      for (int slice = 0; slice < args.slices; ++slice) {
        for (int column = 0; column < args.columns_of_kernel; ++column) {
          const uint32_t to = ring + place.index * S::kStageBytes, barrier = full + place.index * 8;
          ptx::wait(empty + place.index * 8, place.parity ^ 1);
          ptx::arrive_expecting(barrier, S::kStageBytes);
          const int channel = (slice < args.fold ? slice : slice - args.fold) * 32;
          ptx::load_box(to, &maps.parts[part], barrier, channel, tile.x - args.left + column, tile.y - args.top, at, 0);
          ptx::load_box(to + S::kPixelBytes, &maps.weight, barrier, 0, 0, tap);
          tap += KH;
          place.advance(args.stages);
        }
      }
    }
  }
}

// Four registers of each of four adjacent lanes, rows and columns exchanged.
__device__ __forceinline__ void transpose(uint32_t (&x)[4], int lane) {
#pragma unroll
  for (int step = 1; step <= 2; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i & step) continue;
      const uint32_t got = __shfl_xor_sync(~0u, lane & step ? x[i] : x[i | step], step);
      if (lane & step) x[i] = got; else x[i | step] = got;
    }
  }
}

__device__ __forceinline__ float2 widen(uint32_t pair) {
  return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&pair));
}

__device__ __forceinline__ uint32_t round(float x, float y) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(x, y);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// Bias and residual in F32, one rounding. In BF16 four lanes write 64 adjacent bytes of a pixel, in F32 32.
template <class O, int N>
__device__ __forceinline__ void store(const Args& args, const Tile& tile, int first_row, const float (&sums)[N / 2]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, quad = lane % 4;
  const O* const residuals = static_cast<const O*>(args.added);
  O* const out = static_cast<O*>(args.out);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int y = tile.y + first_row + warp, x = tile.x + lane / 4 + 8 * half;
    const bool real = y < args.out_height && x < args.out_width;
    const int64_t row = static_cast<int64_t>(tile.frame) * args.out_height * args.scale + y * args.scale + args.place_y;
    const int64_t pixel = row * args.out_width * args.scale + x * args.scale + args.place_x;
    const int64_t at = pixel * args.outputs + tile.n * N;
    const auto sum = [&](int g, float2 residual) {
      float2 bias = make_float2(0.0f, 0.0f);
      if (args.bias != nullptr) bias = *reinterpret_cast<const float2*>(args.bias + tile.n * N + g * 8 + quad * 2);
      return make_float2(sums[4 * g + 2 * half] + bias.x + residual.x, sums[4 * g + 2 * half + 1] + bias.y + residual.y);
    };
    if constexpr (sizeof(O) == 4) {
#pragma unroll
      for (int g = 0; g < N / 8; ++g) {
        if (!real) break;
        const int64_t place = at + g * 8 + quad * 2;
        float2 residual = make_float2(0.0f, 0.0f);
        if (residuals != nullptr) residual = *reinterpret_cast<const float2*>(residuals + place);
        *reinterpret_cast<float2*>(out + place) = sum(g, residual);
      }
    } else {
#pragma unroll
      for (int g = 0; g < N / 8; g += 4) {
        uint32_t added[4] = {}, packed[4];
        if (residuals != nullptr) {
          if (real) {
            const uint4 all = *reinterpret_cast<const uint4*>(residuals + at + (g + quad) * 8);
            added[0] = all.x, added[1] = all.y, added[2] = all.z, added[3] = all.w;
          }
          transpose(added, lane);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float2 pair = sum(g + i, widen(added[i]));
          packed[i] = round(pair.x, pair.y);
        }
        transpose(packed, lane);
        if (real) {
          *reinterpret_cast<uint4*>(out + at + (g + quad) * 8) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
        }
      }
    }
  }
}

template <class O, int N, int KH>
__device__ __forceinline__ void multiply(const Args& args, uint32_t ring, uint32_t full, uint32_t empty) {
  using S = Shape<N, KH>;
  // Of the block's sixteen rows of pixels, each warpgroup has eight, in two products of four.
  const int group = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
  const int steps = args.frames_of_kernel * args.slices * args.columns_of_kernel;
  Place place;
  for (int index = blockIdx.x; index < args.tiles; index += gridDim.x) {
    float sums[2][N / 2];
    int before = -1;
    for (int step = 0; step < steps; ++step) {
      ptx::wait(full + place.index * 8, place.parity);
      const uint32_t pixels = ring + place.index * S::kStageBytes + group * 8 * kLineBytes;
      const uint32_t weights = ring + place.index * S::kStageBytes + S::kPixelBytes;
      wgmma::pin(sums[0]);
      wgmma::pin(sums[1]);
      wgmma::fence();
#pragma unroll
      for (int row = 0; row < KH; ++row) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          const uint64_t b = wgmma::narrow_descriptor(weights + row * N * kRowBytes + k * 32, kAtomBytes);
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const uint64_t a = wgmma::narrow_descriptor(pixels + (row + 4 * i) * kLineBytes + k * 32, kAtomBytes);
            wgmma::Product<__nv_bfloat16, N>::shared(sums[i], a, b, step > 0 || row > 0 || k > 0);
          }
        }
      }
      wgmma::commit();
      // The step before is done when at most this one is under way.
      wgmma::wait<1>();
      if (before >= 0 && threadIdx.x % 32 == 0) ptx::arrive(empty + before * 8);
      before = place.index;
      place.advance(args.stages);
    }
    wgmma::wait<0>();
    wgmma::pin(sums[0]);
    wgmma::pin(sums[1]);
    if (threadIdx.x % 32 == 0) ptx::arrive(empty + before * 8);
    const Tile tile(args, index);
    store<O, N>(args, tile, group * 8, sums[0]);
    store<O, N>(args, tile, group * 8 + 4, sums[1]);
  }
}

template <class O, int N, int KH>
__device__ __forceinline__ void convolve(const Maps& maps, const Args& args) {
  extern __shared__ __align__(1024) uint8_t shared[];
  const uint32_t ring = ptx::shared_address(shared);
  const uint32_t full = ring + args.stages * Shape<N, KH>::kStageBytes, empty = full + kMostStages * 8;
  if (threadIdx.x == 0) {
    for (int i = 0; i < args.stages; ++i) {
      ptx::barrier_init(full + i * 8, 1);
      ptx::barrier_init(empty + i * 8, kConsumerWarps);
    }
    ptx::barrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    ptx::give_registers<24>();
    if (threadIdx.x == 0) load<N, KH>(maps, args, ring, full, empty);
  } else {
    ptx::take_registers<240>();
    multiply<O, N, KH>(args, ring, full, empty);
  }
}

}  // namespace

#define TESSERA_CONV(NAME, O, N, KH)                                               \
  extern "C" __global__ void __launch_bounds__(kThreads, 1)                        \
      NAME(const __grid_constant__ Maps maps, const __grid_constant__ Args args) { \
    convolve<O, N, KH>(maps, args);                                                \
  }

#define TESSERA_CONVS(NAME, O)                \
  TESSERA_CONV(NAME##_n96_rows1, O, 96, 1)    \
  TESSERA_CONV(NAME##_n96_rows2, O, 96, 2)    \
  TESSERA_CONV(NAME##_n96_rows3, O, 96, 3)    \
  TESSERA_CONV(NAME##_n192_rows1, O, 192, 1)  \
  TESSERA_CONV(NAME##_n192_rows2, O, 192, 2)  \
  TESSERA_CONV(NAME##_n192_rows3, O, 192, 3)

TESSERA_CONVS(conv_bf16, __nv_bfloat16)
TESSERA_CONVS(conv_f32, float)
