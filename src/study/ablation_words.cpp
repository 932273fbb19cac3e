#include "study/ablation_words.h"

namespace dsmoe::study {
namespace {

constexpr AblationWords kWords[] = {
    {AblationKind::kDisable, "The best experts masked",
     "Each token's routed experts of highest affinity are masked, and it visits the best of those left (Figure 4 of "
     "the paper). Nothing is trained again. The steeper the rise, the less other experts can stand in.",
     "share of the routed experts masked"},
    {AblationKind::kShared, "Shared experts dropped",
     "The model without its shared experts, and with as many routed experts more in their place (section 4.5 of the "
     "paper). Nothing is trained again.",
     "routed experts a token"},
    {AblationKind::kFewer, "Fewer routed experts",
     "Each token visits fewer routed experts than in training (Figure 5 of the paper). Nothing is trained again.",
     "routed experts a token"}};

}  // namespace

std::span<const AblationWords> ablation_words() { return kWords; }

}  // namespace dsmoe::study
