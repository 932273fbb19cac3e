// The kernels for any machine. The same bodies as the other units, and the same rules of inclusion.
#include "kernels/vec_scalar.h"
//
#include "kernels/body_attention.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_matmul.h"
#include "kernels/body_train.h"

namespace dsmoe::kernels {

const KernelTable& scalar_table() {
  static constexpr KernelTable kTable = {kRegisterBits,   kDotProducts, {matmul<float>, matmul<uint16_t>},
                                         attention,       rms_norm,     rope,
                                         softmax,         silu_mul,     add_scaled,
                                         exponential_row, kTrain};
  return kTable;
}

}  // namespace dsmoe::kernels
