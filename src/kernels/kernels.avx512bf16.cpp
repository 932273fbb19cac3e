// The kernels for AVX-512 with the dot products of BF16 and VNNI. Built for it alone: vector headers and nothing else
// (see vec_scalar.h).
#include "kernels/ints_avx512.h"
//
#include "kernels/body_table.h"

namespace dsmoe::kernels {

const KernelTable& avx512bf16_table() { return kTable; }

}  // namespace dsmoe::kernels
