// Products of two matrices of rows, a·bᵀ, tile by tile: a block of threads keeps 128 rows of a and walks over tiles of 128 rows
// of b, whose products an epilogue reduces before the next. Nothing of the products' size is ever stored.
//
// Factors are BF16, or two BF16 parts of F32 values, of which three products are summed: high·high + high·low + low·high, which
// leaves out 2⁻¹⁶ of each.
#pragma once

#include "../../cuda/mma.cuh"

namespace tile {

constexpr int kRows = 128;    // of a, and of b
constexpr int kWidth = 64;    // elements of a row that are copied at once
constexpr int kThreads = 256;
constexpr int kPanelBytes = kRows * kWidth * 2;
// Tiles of 64 × 32 products to a warp: four by four of the instruction's 16 × 8.
constexpr int kM = 4, kN = 4;

struct Operand {
  const __nv_bfloat16* parts[2];  // high, and low or null
  int rows;                       // of a head
};

// Copies a panel of 128 rows × 64 elements, its 16-byte pieces swizzled; rows beyond the end are zeros.
template <int D>
__device__ __forceinline__ void copy_panel(uint32_t to, const __nv_bfloat16* from, int first, int rows, int panel) {
#pragma unroll
  for (int i = 0; i < kRows * 8 / kThreads; ++i) {
    const int at = threadIdx.x + i * kThreads, row = at / 8, piece = at % 8;
    const bool is_real = first + row < rows;
    const int64_t source = static_cast<int64_t>(is_real ? first + row : 0) * D + panel * kWidth + piece * 8;
    mma::copy_chunk(to + row * 128 + ((piece ^ (row & 7)) << 4), from + source, is_real);
  }
}

// Stages of b's ring, so that a block of threads has 96 KiB at most.
template <int D, int Parts>
__host__ __device__ constexpr int stages() {
  return 6 - Parts * (D / kWidth);
}

template <int D, int Parts>
__host__ __device__ constexpr int shared_bytes() {
  return (Parts * (D / kWidth) + stages<D, Parts>()) * kPanelBytes;
}

// Tiles [first, end) of b against the rows of a from `row` on; `reduce(tile, products)` of each.
template <int D, int Parts, class Reduce>
__device__ __forceinline__ void multiply(char* shared, const Operand& a, const Operand& b, int64_t head, int row, int first,
                                         int end, const Reduce& reduce) {
  constexpr int kPanels = D / kWidth, kStages = stages<D, Parts>();
  static_assert(kStages >= 2);
  const uint32_t of_a = mma::shared_address(shared), of_b = of_a + Parts * kPanels * kPanelBytes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warp_row = warp / 4 * 64, warp_column = warp % 4 * 32;
#pragma unroll
  for (int part = 0; part < Parts; ++part) {
#pragma unroll
    for (int panel = 0; panel < kPanels; ++panel) {
      copy_panel<D>(of_a + (part * kPanels + panel) * kPanelBytes, a.parts[part] + head * a.rows * D, row, a.rows, panel);
    }
  }
  const int steps = (end - first) * kPanels * Parts;
  // Step by step a panel of a tile, its high part before its low one.
  const auto fetch = [&](int step) {
    if (step < steps) {
      const int tile = first + step / (kPanels * Parts), panel = step / Parts % kPanels, part = step % Parts;
      copy_panel<D>(of_b + step % kStages * kPanelBytes, b.parts[part] + head * b.rows * D, tile * kRows, b.rows, panel);
    }
    mma::commit_copies();
  };
#pragma unroll
  for (int step = 0; step < kStages - 1; ++step) fetch(step);

  float products[kM][kN][4] = {};
  const int a_row = warp_row + lane % 16, a_piece = lane / 16;
  const int b_row = warp_column + lane % 8 + lane / 16 * 8, b_piece = lane / 8 % 2;
  for (int step = 0; step < steps; ++step) {
    mma::wait_copies_but<kStages - 2>();
    __syncthreads();
    fetch(step + kStages - 1);
    const int panel = step / Parts % kPanels, part = step % Parts;
    const uint32_t b_panel = of_b + step % kStages * kPanelBytes;
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
      uint32_t of_columns[2][4];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int at = b_row + n * 16;
        mma::load_four(of_columns[n], b_panel + at * 128 + (((2 * k + b_piece) ^ (at & 7)) << 4));
      }
      // Low·low is left out.
#pragma unroll
      for (int a_part = 0; a_part < Parts; ++a_part) {
        if (a_part + part > 1) continue;
        const uint32_t a_panel = of_a + (a_part * kPanels + panel) * kPanelBytes;
#pragma unroll
        for (int m = 0; m < kM; ++m) {
          uint32_t of_rows[4];
          const int at = a_row + m * 16;
          mma::load_four(of_rows, a_panel + at * 128 + (((2 * k + a_piece) ^ (at & 7)) << 4));
#pragma unroll
          for (int n = 0; n < kN; ++n) {
            mma::multiply<__nv_bfloat16>(products[m][n], of_rows, of_columns[n / 2][n % 2 * 2], of_columns[n / 2][n % 2 * 2 + 1]);
          }
        }
      }
    }
    if (step % (kPanels * Parts) == kPanels * Parts - 1) {
      reduce(first + step / (kPanels * Parts), products);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int n = 0; n < kN; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) products[m][n][i] = 0.0f;
        }
      }
    }
  }
}

// Where a thread's products lie: of [m][n] elements 0 and 1 are in row `row(m, 0)`, 2 and 3 in row `row(m, 1)`, columns
// `column(n)` and the next.
struct Place {
  int first_row, first_column;

  __device__ Place() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    first_row = warp / 4 * 64 + lane / 4;
    first_column = warp % 4 * 32 + lane % 4 * 2;
  }
  __device__ int row(int m, int half) const { return first_row + m * 16 + half * 8; }
  __device__ int column(int n) const { return first_column + n * 8; }
};

}  // namespace tile
