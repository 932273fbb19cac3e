// The kernels for AVX2 with FMA. Built for it alone: vector headers and nothing else (see vec_scalar.h).
#include "kernels/vec_avx2.h"
//
#include "kernels/body_attention.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_matmul.h"
#include "kernels/body_train.h"

namespace dsmoe::kernels {

const KernelTable& avx2_table() {
  static constexpr KernelTable kTable = {kRegisterBits,   kDotProducts, {matmul<float>, matmul<uint16_t>},
                                         attention,       rms_norm,     rope,
                                         softmax,         silu_mul,     add_scaled,
                                         exponential_row, kTrain};
  return kTable;
}

}  // namespace dsmoe::kernels
