// Causal attention of some queries over a key/value cache kept in blocks (matrix.h has the argument, kCacheBlock and
// kAttentionRows): out = sum_j softmax_j(scale q . k_j) v_j over the positions that a row sees, blocks in ascending
// order. The rows of one call may be several heads of a group and several tokens; none changes another's bits.
#pragma once

#include "kernels/matrix.h"

namespace dsmoe::kernels {

void attention(const Attention& arguments);
void attention_ref(const Attention& arguments);

}  // namespace dsmoe::kernels
