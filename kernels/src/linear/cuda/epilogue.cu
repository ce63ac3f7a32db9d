// What follows a product where cuBLASLt does not: bias and activation, in place.

#include "../../cuda/chunk.cuh"

namespace {

struct EpilogueArgs {
  const float* bias;  // null: none
  void* y;
  int64_t rows;
  int width;
  int activation;  // 0 none, 1 GELU (tanh), 2 SiLU
};

__device__ __forceinline__ float activated(float x, int activation) {
  if (activation == 1) return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
  if (activation == 2) return x / (1.0f + expf(-x));
  return x;
}

template <class T, int N>
__device__ __forceinline__ void epilogue(const EpilogueArgs& args) {
  T* const row = static_cast<T*>(args.y) + static_cast<int64_t>(blockIdx.x) * args.width;
  for (int first = threadIdx.x * N; first < args.width; first += blockDim.x * N) {
    float y[N], bias[N] = {};
    chunk::load<N>(row + first, y);
    if (args.bias != nullptr) chunk::load<N>(args.bias + first, bias);
#pragma unroll
    for (int i = 0; i < N; ++i) y[i] = activated(y[i] + bias[i], args.activation);
    chunk::store<N>(row + first, y);
  }
}

}  // namespace

#define TESSERA_EPILOGUE(NAME, T, N) \
  extern "C" __global__ void __launch_bounds__(256) NAME(const __grid_constant__ EpilogueArgs args) { epilogue<T, N>(args); }

TESSERA_EPILOGUE(epilogue_f32_e8, float, 8)
TESSERA_EPILOGUE(epilogue_f32_e2, float, 2)
TESSERA_EPILOGUE(epilogue_f32_e1, float, 1)
TESSERA_EPILOGUE(epilogue_bf16_e8, __nv_bfloat16, 8)
TESSERA_EPILOGUE(epilogue_bf16_e2, __nv_bfloat16, 2)
TESSERA_EPILOGUE(epilogue_bf16_e1, __nv_bfloat16, 1)
