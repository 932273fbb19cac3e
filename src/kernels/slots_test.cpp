// Rows of token slots back to tokens, against the reference, on every instruction set.
#include "kernels/slots.h"

#include "kernels/panels_testing.h"

namespace dsmoe::kernels {
namespace {

using testing::kept;
using testing::kNumbers;
using testing::kRound;
using testing::normal_values;
using testing::Numbers;

size_t at(int64_t i) { return static_cast<size_t>(i); }

class Slots : public testing::EveryIsa {};
DSMOE_ON_EVERY_ISA(Slots);

TEST_P(Slots, AreTheirDefinition) {
  base::Rng rng(5);
  base::ThreadPool pool(2);
  for (const Number type : kNumbers) {
    for (const auto& [tokens, slots, width] :
         {std::array<int64_t, 3>{5, 3, 33}, {70, 7, 16}, {3, 0, 5}, {0, 2, 4}, {2, 1, 1}}) {
      Numbers rows(type, normal_values(rng, (tokens * slots + 1) * width)),
          add(type, normal_values(rng, tokens * width));
      const std::vector<float> weights = normal_values(rng, tokens * slots + 1);
      std::vector<int32_t> place(at(tokens * slots + 1));
      for (int32_t& row : place) row = static_cast<int32_t>(rng.below(at(tokens * slots + 1))) - 1;
      for (const int options : {0, 1, 2, 3}) {
        Numbers got(type, tokens * width, -7), want = got;
        SlotSum sum{tokens,
                    slots,
                    width,
                    place.data(),
                    options & 1 ? weights.data() : nullptr,
                    type,
                    rows.data(),
                    type,
                    options & 2 ? add.data() : nullptr,
                    got.data()};
        combine_slots(pool.parallel_for(), sum);
        sum.out = want.data();
        combine_slots_ref(base::serial_for, sum);
        const std::vector<float> values = want.values();
        testing::expect_within(
            got.values(), values,
            [&](size_t i) {
              return kept(type, values[i]) +
                     2 * static_cast<double>(slots + 1) * kRound * 16 * static_cast<double>(slots + 1);
            },
            "slots");
      }
    }
  }
}

}  // namespace
}  // namespace dsmoe::kernels
