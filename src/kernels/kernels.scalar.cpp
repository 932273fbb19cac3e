// The kernels for any machine. The same bodies as the other units, and the same rules of inclusion.
#include "kernels/ints_scalar.h"
//
#include "kernels/body_table.h"

namespace dsmoe::kernels {

const KernelTable& scalar_table() { return kTable; }

}  // namespace dsmoe::kernels
