#include "moe/registry.h"

#include <algorithm>

#include "base/error.h"
#include "moe/gshard_gate.h"
#include "moe/hash_gate.h"
#include "moe/topk_gate.h"

namespace dsmoe::moe {
namespace {

using spec::ModelConfig;
using spec::RouterType;
using spec::ScoringFunc;
using spec::TopkMethod;

void limit_groups(ModelConfig& c, TopkMethod method) {
  c.topk_method = method;
  c.topk_group = (c.n_group + 1) / 2;
}
bool topk(const ModelConfig& c, TopkMethod method) {
  return c.router_type == RouterType::kTopk && c.topk_method == method;
}
template <class Kind>
std::unique_ptr<Gate> of_config(const ModelConfig& c, const TrainingOptions&, const GateTensors& tensors) {
  return std::make_unique<Kind>(c, tensors);
}
std::unique_ptr<Gate> gshard(const ModelConfig& c, const TrainingOptions& training, const GateTensors& tensors) {
  return std::make_unique<GshardGate>(c, tensors, training.random_second_expert);
}
std::unique_ptr<Gate> hash(const ModelConfig&, const TrainingOptions&, const GateTensors& tensors) {
  return std::make_unique<HashGate>(tensors);
}

std::unique_ptr<Dispatcher> make_dispatcher(const Placement& placement) {
  if (placement.group().alone()) return std::make_unique<LocalDispatcher>(placement.experts());
  return std::make_unique<RankDispatcher>(placement);
}

}  // namespace

const std::vector<GateKind>& gate_kinds() {
  static const std::vector<GateKind> kinds = {
      {"topk", [](ModelConfig&) {}, [](const ModelConfig& c) { return topk(c, TopkMethod::kGreedy); },
       of_config<TopkGate>},
      {"group_limited_greedy", [](ModelConfig& c) { limit_groups(c, TopkMethod::kGroupLimitedGreedy); },
       [](const ModelConfig& c) { return topk(c, TopkMethod::kGroupLimitedGreedy); }, of_config<GroupLimitedGate>},
      {"noaux_tc",
       [](ModelConfig& c) {
         limit_groups(c, TopkMethod::kNoauxTc);
         c.scoring_func = ScoringFunc::kSigmoid;
         c.norm_topk_prob = true;
       },
       [](const ModelConfig& c) { return topk(c, TopkMethod::kNoauxTc); }, of_config<BiasedGate>},
      {"gshard",
       [](ModelConfig& c) {
         c.router_type = RouterType::kGshard;
         c.num_experts_per_tok = 2;
       },
       [](const ModelConfig& c) { return c.router_type == RouterType::kGshard; }, gshard},
      {"hash", [](ModelConfig& c) { c.router_type = RouterType::kHash; },
       [](const ModelConfig& c) { return c.router_type == RouterType::kHash; }, hash},
      {"hash_balanced", [](ModelConfig& c) { c.router_type = RouterType::kHashBalanced; },
       [](const ModelConfig& c) { return c.router_type == RouterType::kHashBalanced; }, hash},
  };
  return kinds;
}

std::unique_ptr<Gate> make_gate(const spec::ModelConfig& config, const TrainingOptions& training,
                                const GateTensors& tensors) {
  for (const GateKind& kind : gate_kinds()) {
    if (kind.matches(config)) return kind.make(config, training, tensors);
  }
  throw base::BrokenPromise("a valid configuration has no gate");
}

std::vector<std::unique_ptr<BalanceTerm>> make_balance_terms(const spec::ModelConfig& config,
                                                             const TrainingOptions& training) {
  const int64_t devices = training.n_device_groups;
  if (config.is_moe() && (devices < 1 || config.n_routed_experts % devices != 0)) {
    base::fail_invalid("train", "n_device_groups must divide n_routed_experts",
                       std::to_string(devices) + " and " + std::to_string(config.n_routed_experts));
  }
  const auto scope = training.seq_aux ? BalanceScope::kSequence : BalanceScope::kPooled;
  std::vector<std::unique_ptr<BalanceTerm>> terms;
  if (training.aux_loss_alpha > 0) {
    terms.push_back(std::make_unique<ExpertBalance>(training.aux_loss_alpha, scope, training.first_choice_aux));
  }
  if (training.device_aux_loss_alpha > 0) {
    terms.push_back(std::make_unique<DeviceBalance>(training.device_aux_loss_alpha, scope, devices));
  }
  if (training.comm_aux_loss_alpha > 0) {
    // M: the groups a token may pick from where they are the devices, else as many as its experts can lie on.
    const bool limited = config.topk_method != TopkMethod::kGreedy && config.n_group == devices;
    const int64_t reach = limited ? config.topk_group : std::min(config.num_experts_per_tok, devices);
    terms.push_back(std::make_unique<CommunicationBalance>(training.comm_aux_loss_alpha, scope, devices, reach));
  }
  if (training.z_loss_alpha > 0) terms.push_back(std::make_unique<ZLoss>(training.z_loss_alpha));
  return terms;
}

MoeLayer make_moe_layer(const spec::ModelConfig& config, const TrainingOptions& training, const MoeWeights& weights,
                        const comm::Group& ranks) {
  std::optional<SharedBank> shared;
  if (weights.shared_gate_up) shared.emplace(weights.shared_gate_up, weights.shared_down);
  return MoeLayer({.gate = make_gate(config, training, weights.gate),
                   .balance = make_balance_terms(config, training),
                   .dispatcher = make_dispatcher(Placement(config.n_routed_experts, ranks)),
                   .routed = {weights.gate_up, weights.down},
                   .shared = std::move(shared),
                   .experts = config.n_routed_experts,
                   .capacity_factor = training.capacity_factor});
}

}  // namespace dsmoe::moe
