// Tokens moved into their orders: rows of whole 16-byte pieces.

#include <cstdint>

// x [samples, heads, tokens, pieces], its first three strides in pieces, to [samples, heads, tokens, pieces] with row p of a
// head the row `orders[head or 0][p]` of x. Grid: (rows of a head ÷ rows of a block, samples · heads).
extern "C" __global__ void gather(const uint4* x, uint4* to, const uint32_t* orders, int heads, int tokens, int pieces,
                                  int each, int64_t of_sample, int64_t of_head, int64_t of_token) {
  const int rows = blockDim.x / pieces;
  const int row = blockIdx.x * rows + threadIdx.x / pieces, piece = threadIdx.x % pieces;
  if (row >= tokens || static_cast<int>(threadIdx.x) >= rows * pieces) return;
  const int head = blockIdx.y % heads;
  const int64_t token = orders[(each ? static_cast<int64_t>(head) * tokens : 0) + row];
  const int64_t from = blockIdx.y / heads * of_sample + head * of_head + token * of_token;
  to[(static_cast<int64_t>(blockIdx.y) * tokens + row) * pieces + piece] = x[from + piece];
}
