#include "train/same_run.h"

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::train {
namespace {

using base::Json;

// What a rank with `mine` says to the first rank's, or nothing where they agree.
std::string difference(const Json& first, const Json& mine) {
  if (first["build"] != mine["build"]) return "build " + mine["build"].get<std::string>();
  const auto config = [](const Json& said) {
    return spec::resolve_toml(said["config"].get<std::string>(), "another process").config;
  };
  if (first["config"] != mine["config"]) return spec::differences(config(first), config(mine)).front();
  if (first["data"] != mine["data"]) return "data " + mine["data"].get<std::string>();
  return {};
}

}  // namespace

void require_agreement(const comm::Group& group, const spec::RunConfig& config, const std::string& data_hash,
                       const std::string& build) {
  if (group.alone()) return;
  const Json mine = {{"build", build}, {"config", spec::to_toml(config)}, {"data", data_hash}};
  const std::vector<std::string> all = group.all_gather(base::dump_json(mine));
  const Json first = base::parse_json(all.front(), "rank 0");
  for (size_t rank = 1; rank < all.size(); ++rank) {
    const std::string other = difference(first, base::parse_json(all[rank], "rank " + std::to_string(rank)));
    if (other.empty()) continue;
    base::fail_invalid("train", "all processes must be of one build, configuration and data",
                       "rank " + std::to_string(rank) + " differs from rank 0: " + other,
                       "start them with the same words; nothing was written");
  }
}

void require_whole_shares(const spec::TrainConfig& t, int ranks) {
  if (t.micro_batches() % ranks == 0) return;
  base::fail_invalid(
      "train", "train.global_batch must be a multiple of train.micro_batch times the processes",
      std::to_string(t.global_batch) + ", " + std::to_string(t.micro_batch) + " and " + std::to_string(ranks),
      "every process takes as many micro-batches of a step");
}

void share_plan(const RunPlan& plan, const comm::Group& group) {
  const Json said = {{"steps", plan.config.config.train.steps},
                     {"checkpoint", plan.checkpoint ? plan.checkpoint->path.string() : ""}};
  group.broadcast(base::dump_json(said));
}

RunPlan follow_plan(spec::ResolvedConfig config, RunData data, const comm::Group& group) {
  const Json said = base::parse_json(group.broadcast(""), "rank 0");
  RunPlan plan;
  plan.config = std::move(config);
  plan.data = std::move(data);
  const base::fs::path checkpoint = said["checkpoint"].get<std::string>();
  if (!checkpoint.empty()) plan.checkpoint = open_checkpoint(checkpoint);
  take_from_checkpoint(plan);
  plan.config.config.train.steps = said["steps"].get<int64_t>();
  return plan;
}

}  // namespace dsmoe::train
