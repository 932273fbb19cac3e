#include "kernels/slots.h"

#include <algorithm>

#include "kernels/isa.h"

namespace dsmoe::kernels {

void combine_slots(const base::ParallelFor& parallel_for, const SlotSum& sum) {
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(1, sum.width * (sum.slots + 1)));
  parallel_for(sum.tokens, grain, [&](int64_t begin, int64_t end) {
    kernels().combine_slots[static_cast<size_t>(sum.rows_type)][static_cast<size_t>(sum.out_type)](sum, begin, end);
  });
}

}  // namespace dsmoe::kernels
