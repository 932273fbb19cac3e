// The kernels for AVX2 with FMA. Built for it alone: vector headers and nothing else (see vec_scalar.h).
#include "kernels/ints_avx2.h"
//
#include "kernels/body_table.h"

namespace dsmoe::kernels {

const KernelTable& avx2_table() { return kTable; }

}  // namespace dsmoe::kernels
