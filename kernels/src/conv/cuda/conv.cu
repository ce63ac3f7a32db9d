// The convolution as a product without a column matrix, on tensor cores (mma.sync, sm_80 and later).
//
// A block makes 8 × 16 pixels of one output frame for N outputs. For each frame of the kernel and each 32 input
// channels it brings the pixels that the tile sees into shared memory once, zeros around the frame, and all rows and
// columns of the kernel read them there: `ldmatrix` takes an address for each pixel, so a tap is an offset. Only the
// weights stream, a tap at a time, three taps ahead.
//
// F32 operands come as two 16-bit parts each, x = h + l, and give h·H + h·L + l·H: the slices of h are summed twice, with H and
// with L, then those of l with H. What is left out, l·L and the parts' roundings, is 2⁻¹⁷ of a product.

#include "../../cuda/chunk.cuh"
#include "../../cuda/mma.cuh"

namespace {

constexpr int kRows = 8, kColumns = 16, kPixels = kRows * kColumns;
constexpr int kSlice = 32;              // input channels at once
constexpr int kPixelBytes = kSlice * 2;
constexpr int kChunks = kPixelBytes / 16;
constexpr int kStages = 4;              // taps of weights in shared memory
constexpr int kThreads = 128;
constexpr int kParts = 8;

struct Args {
  const void* parts[kParts];  // [B, frames, H, W, I] each
  int part_ends[kParts];      // frames up to and with each part
  const void* weight;         // [tiles of N, kt, slices, kh·kw, N, 32], zeros where a channel is none
  const float* bias;          // [O]; null: none
  const void* added;          // as out; null: none
  void* out;                  // [B, T', scale·H', scale·W', O]
  int height, width, inputs;
  int slices, fold;  // slices of 32 channels; from `fold` on they begin anew
  int out_frames, out_height, out_width, outputs;  // pixels that are made, before `scale`
  int kernel[3], stride[3];
  int top, left;
  int scale, place_y, place_x;  // pixel (y, x) goes to (scale·y + place_y, scale·x + place_x)
  int tiles_x;                  // of an output row
  int tiles_n;
  int halo_columns, halo_pixels;
  int slabs;  // of input pixels in shared memory
};

__device__ __forceinline__ uint32_t swizzled(int row, int chunk) {
  return static_cast<uint32_t>(row * kPixelBytes + ((chunk ^ (row >> 1 & 3)) << 4));
}

template <class O, int N, int WARPS_M>
__device__ __forceinline__ void convolve(const Args& args) {
  using T = __nv_bfloat16;
  constexpr int WARPS_N = kThreads / 32 / WARPS_M;
  constexpr int WM = kPixels / WARPS_M / 16, WN = N / WARPS_N / 16;  // of a warp, in sixteens
  static_assert(WM * 16 * WARPS_M == kPixels && WN * 16 * WARPS_N == N);
  constexpr int kWeightBytes = N * kPixelBytes;
  extern __shared__ __align__(128) uint8_t shared[];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warp_m = warp % WARPS_M, warp_n = warp / WARPS_M;

  const int tile_n = blockIdx.x % args.tiles_n, tile = blockIdx.x / args.tiles_n;
  const int y0 = tile / args.tiles_x * kRows, x0 = tile % args.tiles_x * kColumns;
  const int sample = blockIdx.y / args.out_frames, frame = blockIdx.y % args.out_frames;
  const int taps = args.kernel[1] * args.kernel[2];
  const int steps = args.kernel[0] * args.slices * taps;
  const uint32_t weights_at = mma::shared_address(shared), slabs_at = weights_at + kStages * kWeightBytes;
  const int slab_bytes = args.halo_pixels * kPixelBytes;

  // The next tap to bring in.
  int to_tap = 0, to_slab = 0, to_step = 0, to_buffer = 0;
  const auto bring_pixels = [&] {
    const int from_frame = frame * args.stride[0] + to_slab / args.slices, slice = to_slab % args.slices;
    int part = 0, before = 0;
    while (from_frame >= args.part_ends[part]) before = args.part_ends[part++];
    const int64_t place = static_cast<int64_t>(sample) * (args.part_ends[part] - before) + from_frame - before;
    const T* const from =
        static_cast<const T*>(args.parts[part]) + place * args.height * args.width * args.inputs;
    const uint32_t slab = slabs_at + to_buffer * slab_bytes;
    for (int i = threadIdx.x; i < args.halo_pixels * kChunks; i += kThreads) {
      const int pixel = i / kChunks, chunk = i % kChunks;
      const int y = y0 * args.stride[1] - args.top + pixel / args.halo_columns;
      const int x = x0 * args.stride[2] - args.left + pixel % args.halo_columns;
      const int channel = (slice < args.fold ? slice : slice - args.fold) * kSlice + chunk * 8;
      const bool real = static_cast<unsigned>(y) < static_cast<unsigned>(args.height) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(args.width) && channel < args.inputs;
      const int64_t at = (static_cast<int64_t>(y) * args.width + x) * args.inputs + channel;
      mma::copy_chunk(slab + swizzled(pixel, chunk), from + (real ? at : 0), real);
    }
  };
  const T* weights = static_cast<const T*>(args.weight) + static_cast<int64_t>(tile_n) * steps * (N * kSlice);
  const auto bring = [&] {
    if (to_step < steps) {
      if (to_tap == 0) bring_pixels();
      const uint32_t to = weights_at + to_step % kStages * kWeightBytes;
      for (int i = threadIdx.x; i < N * kChunks; i += kThreads) {
        mma::copy_chunk(to + swizzled(i / kChunks, i % kChunks), weights + i * 8, true);
      }
      weights += N * kSlice;
      ++to_step;
      if (++to_tap == taps) {
        to_tap = 0;
        ++to_slab;
        if (++to_buffer == args.slabs) to_buffer = 0;
      }
    }
    mma::commit_copies();
  };

  float sums[WM][2 * WN][4] = {};
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) bring();
  // Lane l reads pixel l mod 16 of each sixteen, its lower or upper eight channels; of the weights output l mod 8 (+ 8).
  const int a_half = lane / 16, b_half = lane / 8 % 2;
  const int b_row = warp_n * WN * 16 + lane / 16 * 8 + lane % 8;
  int pixel0[WM];
#pragma unroll
  for (int i = 0; i < WM; ++i) {
    pixel0[i] = (warp_m * WM + i) * args.stride[1] * args.halo_columns + lane % 16 * args.stride[2];
  }
  int tap_y = 0, tap_x = 0, buffer = 0;
  for (int step = 0; step < steps; ++step) {
    mma::wait_copies_but<kStages - 2>();
    __syncthreads();
    bring();
    const uint32_t slab = slabs_at + buffer * slab_bytes, weight = weights_at + step % kStages * kWeightBytes;
    const int offset = tap_y * args.halo_columns + tap_x;
#pragma unroll
    for (int k = 0; k < kSlice / 16; ++k) {
      uint32_t a[WM][4], b[WN][4];
#pragma unroll
      for (int i = 0; i < WM; ++i) mma::load_four(a[i], slab + swizzled(pixel0[i] + offset, 2 * k + a_half));
#pragma unroll
      for (int j = 0; j < WN; ++j) mma::load_four(b[j], weight + swizzled(b_row + j * 16, 2 * k + b_half));
#pragma unroll
      for (int i = 0; i < WM; ++i) {
#pragma unroll
        for (int j = 0; j < WN; ++j) {
          mma::multiply<T>(sums[i][2 * j], a[i], b[j][0], b[j][1]);
          mma::multiply<T>(sums[i][2 * j + 1], a[i], b[j][2], b[j][3]);
        }
      }
    }
    if (++tap_x == args.kernel[2]) {
      tap_x = 0;
      if (++tap_y == args.kernel[1]) {
        tap_y = 0;
        if (++buffer == args.slabs) buffer = 0;
      }
    }
  }
  mma::wait_copies();
  __syncthreads();

  // Bias and residual in F32, one rounding, then whole pixels through shared memory.
  constexpr int kStride = N + 8;
  O* const staged = reinterpret_cast<O*>(shared);
  const int first_output = tile_n * N;
  const auto place_of = [&](int pixel) -> int64_t {  // −1: outside of the frame
    const int y = y0 + pixel / kColumns, x = x0 + pixel % kColumns;
    if (y >= args.out_height || x >= args.out_width) return -1;
    const int64_t row = static_cast<int64_t>(blockIdx.y) * args.out_height * args.scale + y * args.scale + args.place_y;
    return (row * args.out_width * args.scale + x * args.scale + args.place_x) * args.outputs + first_output;
  };
  const O* const added = static_cast<const O*>(args.added);
#pragma unroll
  for (int i = 0; i < WM; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int pixel = (warp_m * WM + i) * 16 + lane / 4 + 8 * half;
      const int64_t place = place_of(pixel);
#pragma unroll
      for (int j = 0; j < 2 * WN; ++j) {
        const int output = warp_n * WN * 16 + j * 8 + lane % 4 * 2;
        float pair[2] = {sums[i][j][2 * half], sums[i][j][2 * half + 1]};
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          if (first_output + output + e >= args.outputs) break;
          if (args.bias != nullptr) pair[e] += args.bias[first_output + output + e];
          if (added != nullptr && place >= 0) pair[e] += static_cast<float>(added[place + output + e]);
        }
        O* const to = staged + pixel * kStride + output;
        to[0] = static_cast<O>(pair[0]), to[1] = static_cast<O>(pair[1]);
      }
    }
  }
  __syncthreads();
  O* const out = static_cast<O*>(args.out);
  if (args.outputs % 8 == 0) {
    constexpr int kVector = 16 / sizeof(O);
    for (int i = threadIdx.x; i < kPixels * (N / kVector); i += kThreads) {
      const int pixel = i / (N / kVector), output = i % (N / kVector) * kVector;
      const int64_t place = place_of(pixel);
      if (place < 0 || first_output + output >= args.outputs) continue;
      *reinterpret_cast<uint4*>(out + place + output) = *reinterpret_cast<const uint4*>(staged + pixel * kStride + output);
    }
  } else {
    for (int i = threadIdx.x; i < kPixels * N; i += kThreads) {
      const int pixel = i / N, output = i % N;
      const int64_t place = place_of(pixel);
      if (place >= 0 && first_output + output < args.outputs) out[place + output] = staged[pixel * kStride + output];
    }
  }
}

struct SplitArgs {
  const float* x;  // [pixels, channels]
  void* out;       // [pixels, 2, padded]: h, then l, zeros beyond the channels
  int64_t chunks;  // pixels · padded / 8
  int channels, padded;
  int whole;  // whether chunks of eight are 16-byte aligned
};

}  // namespace

#define TESSERA_CONV(NAME, O, N, WARPS_M, BLOCKS)                                                          \
  extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS) NAME(const __grid_constant__ Args args) { \
    convolve<O, N, WARPS_M>(args);                                                                         \
  }

TESSERA_CONV(conv_bf16_n16, __nv_bfloat16, 16, 4, 4)
TESSERA_CONV(conv_bf16_n64, __nv_bfloat16, 64, 2, 3)
TESSERA_CONV(conv_bf16_n96, __nv_bfloat16, 96, 2, 3)
TESSERA_CONV(conv_bf16_n128, __nv_bfloat16, 128, 2, 2)
TESSERA_CONV(conv_f32_n16, float, 16, 4, 4)
TESSERA_CONV(conv_f32_n64, float, 64, 2, 3)
TESSERA_CONV(conv_f32_n96, float, 96, 2, 3)
TESSERA_CONV(conv_f32_n128, float, 128, 2, 2)

// A thread takes eight channels of a pixel.
extern "C" __global__ void __launch_bounds__(256) conv_split(const __grid_constant__ SplitArgs args) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= args.chunks) return;
  const int64_t pixel = index / (args.padded / 8);
  const int first = static_cast<int>(index % (args.padded / 8)) * 8;
  float x[8] = {}, low[8];
  const float* const from = args.x + pixel * args.channels + first;
  if (args.whole && first < args.channels) {
    chunk::load<8>(from, x);
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (first + i < args.channels) x[i] = from[i];
    }
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) low[i] = x[i] - static_cast<float>(static_cast<__nv_bfloat16>(x[i]));
  auto* const to = static_cast<__nv_bfloat16*>(args.out) + pixel * 2 * args.padded + first;
  chunk::store<8>(to, x);
  chunk::store<8>(to + args.padded, low);
}
