// The kernels for AVX-512 with the dot products of BF16 and VNNI. Built for it alone: vector headers and nothing else
// (see vec_scalar.h).
#include "kernels/vec_avx512.h"
//
#include "kernels/body_attention.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_matmul.h"
#include "kernels/body_train.h"

namespace dsmoe::kernels {

const KernelTable& avx512bf16_table() {
  static constexpr KernelTable kTable = {kRegisterBits,   kDotProducts, {matmul<float>, matmul<uint16_t>},
                                         attention,       rms_norm,     rope,
                                         softmax,         silu_mul,     add_scaled,
                                         exponential_row, kTrain};
  return kTable;
}

}  // namespace dsmoe::kernels
