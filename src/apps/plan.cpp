// dsmoe plan: what a model costs before anything is spent.
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/configuration.h"
#include "apps/familiar_options.h"
#include "base/error.h"
#include "spec/counts.h"
#include "spec/enum_names.h"
#include "spec/presets.h"
#include "spec/settings.h"

namespace dsmoe::apps {
namespace {

using base::Json;

struct PlanOptions {
  std::string model;
  std::vector<std::string> overrides;
  bool json = false, list = false, settings = false, print_config = false;
};

/// All figures once, for both faces of the command.
struct Plan {
  spec::ResolvedConfig resolved;
  spec::ParameterCount total, activated;
  double flops, nominal_flops;  ///< nominal: 0 where nominal_ffn is unknown
  int64_t weight_bytes, kv_bytes_per_token;
  spec::TrainingBytes training;
  spec::CommunicationBytes communication;
  double seconds_per_step;
};

Plan make_plan(const PlanOptions& options) {
  Plan plan;
  plan.resolved = configuration_of(options.model, options.overrides);
  const spec::RunConfig& config = plan.resolved.config;
  const int64_t length = config.train.sequence_length;
  plan.total = spec::count_parameters(config.model);
  plan.activated = spec::count_activated(config.model);
  plan.flops = spec::flops_per_sequence(config.model, length);
  const double nominal_ffn = config.plan.nominal_ffn;
  plan.nominal_flops = nominal_ffn > 0 ? spec::nominal_flops_per_sequence(config.model, length, nominal_ffn) : 0;
  plan.weight_bytes = spec::weight_bytes(config.model, config.train.precision);
  plan.kv_bytes_per_token = spec::kv_bytes_per_token(config.model, config.train.precision);
  plan.training = spec::training_bytes(config.model, config.train);
  plan.communication = spec::communication_bytes(config);
  plan.seconds_per_step = spec::seconds_per_step(config);
  return plan;
}

/// Whole where that is exact, so that 2900948090880 is not printed as a fraction.
Json number(double value) {
  return value == std::floor(value) && value < 0x1p53 ? Json(static_cast<int64_t>(value)) : Json(value);
}

Json parts_json(const spec::ParameterCount& count) {
  return {{"embedding", count.embedding},
          {"head", count.head},
          {"attention", count.attention},
          {"dense_ffn", count.dense_ffn},
          {"routed_experts", count.routed_experts},
          {"shared_experts", count.shared_experts},
          {"router", count.router},
          {"norms", count.norms}};
}

void print_json(const Plan& plan, const std::string& name) {
  const spec::RunConfig& config = plan.resolved.config;
  const spec::TrainingBytes& training = plan.training;
  const double steps = static_cast<double>(config.train.steps);
  const bool timed = plan.seconds_per_step > 0;
  const Json out = {
      {"name", name},
      {"params_total", plan.total.total()},
      {"params_activated", plan.activated.total()},
      {"sequence_length", config.train.sequence_length},
      {"flops_per_sequence", number(plan.flops)},
      {"flops_per_sequence_nominal", plan.nominal_flops > 0 ? number(plan.nominal_flops) : Json()},
      {"weight_bytes", plan.weight_bytes},
      {"kv_bytes_per_token", plan.kv_bytes_per_token},
      {"training_bytes", training.total()},
      {"params_total_parts", parts_json(plan.total)},
      {"params_activated_parts", parts_json(plan.activated)},
      {"training_bytes_parts",
       {{"master_weights", training.master_weights},
        {"gradients", training.gradients},
        {"moments", training.moments},
        {"compute_weights", training.compute_weights},
        {"activations", training.activations},
        {"logits", training.logits}}},
      {"tokens_per_step", config.train.tokens_per_step()},
      {"tokens_total", config.train.tokens_per_step() * config.train.steps},
      {"flops_total", number(plan.flops * static_cast<double>(config.train.global_batch) * steps)},
      {"communication_bytes_per_step",
       {{"data_parallel", plan.communication.data_parallel}, {"expert_parallel", plan.communication.expert_parallel}}},
      {"seconds_per_step", timed ? Json(plan.seconds_per_step) : Json()},
      {"seconds_total", timed ? Json(plan.seconds_per_step * steps) : Json()},
  };
  std::cout << base::dump_json(out, 2) << "\n";
}

/// 16375728128 as 16,375,728,128.
std::string grouped(int64_t value) {
  std::string digits = std::to_string(value);
  for (size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, ",");
  return digits;
}

/// Four digits with a unit: 75.82 T, 30.5 GiB.
std::string scaled(double value, double step, const std::vector<const char*>& units) {
  size_t unit = 0;
  while (value >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.4g %s", value, units[unit]);
  return text;
}
std::string flops_text(double value) { return scaled(value, 1000, {"", "k", "M", "G", "T", "P", "E", "Z", "Y"}); }
std::string bytes_text(int64_t value) {
  return scaled(static_cast<double>(value), 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"});
}
std::string time_text(double seconds) {
  if (seconds < 120) return scaled(seconds, 1e9, {"s"});
  if (seconds < 7200) return scaled(seconds / 60, 1e9, {"minutes"});
  return seconds < 172800 ? scaled(seconds / 3600, 1e9, {"hours"}) : scaled(seconds / 86400, 1e9, {"days"});
}

void heading(const std::string& text) { std::cout << "\n" << text << "\n"; }

void row(const char* label, const std::string& value, const std::string& more = {}) {
  std::cout << "  " << std::left << std::setw(24) << label << std::right << std::setw(21) << value
            << (more.empty() ? "" : "   ") << more << "\n";
}

void print_parameters(const Plan& plan) {
  std::cout << std::left << std::setw(26) << "parameters" << std::right << std::setw(21) << "total" << std::setw(21)
            << "activated\n";
  const auto line = [](const char* label, int64_t total, int64_t activated) {
    if (total > 0)
      std::cout << "  " << std::left << std::setw(24) << label << std::right << std::setw(21) << grouped(total)
                << std::setw(20) << grouped(activated) << "\n";
  };
  const spec::ParameterCount &a = plan.total, &b = plan.activated;
  line("embedding and head", a.embedding + a.head, b.embedding + b.head);
  line("attention", a.attention, b.attention);
  line("dense FFN", a.dense_ffn, b.dense_ffn);
  line("routed experts", a.routed_experts, b.routed_experts);
  line("shared experts", a.shared_experts, b.shared_experts);
  line("router", a.router, b.router);
  line("norms", a.norms, b.norms);
  line("all", a.total(), b.total());
}

void print_memory(const Plan& plan) {
  const spec::TrainConfig& train = plan.resolved.config.train;
  const spec::TrainingBytes& memory = plan.training;
  const std::string precision = spec::enum_text(train.precision);
  const int64_t longest = plan.resolved.config.model.max_position_embeddings;
  heading("memory");
  row("weights", bytes_text(plan.weight_bytes), precision);
  row("KV cache of a token", bytes_text(plan.kv_bytes_per_token), precision);
  row("KV cache of a sequence", bytes_text(plan.kv_bytes_per_token * longest), grouped(longest) + " tokens");
  row("training", bytes_text(memory.total()),
      precision + ", micro-batch " + std::to_string(train.micro_batch) + (train.recompute ? ", recomputing" : ""));
  row("  weights and gradients", bytes_text(memory.master_weights + memory.gradients + memory.compute_weights));
  row("  moments", bytes_text(memory.moments));
  row("  activations", bytes_text(memory.activations + memory.logits), "an estimate");
}

void print_run(const Plan& plan) {
  const spec::RunConfig& config = plan.resolved.config;
  const spec::TrainConfig& train = config.train;
  const double steps = static_cast<double>(train.steps);
  heading("the run");
  if (train.minutes > 0) {
    row("minutes", scaled(train.minutes, 1e9, {""}), "steps follow from the speed measured at the start");
  } else {
    row("tokens", grouped(train.tokens_per_step() * train.steps),
        grouped(train.steps) + " steps of " + grouped(train.global_batch) + " sequences");
    row("FLOPs", flops_text(plan.flops * static_cast<double>(train.global_batch) * steps));
  }
  if (config.plan.ranks > 1) {
    row("sent a step and rank", bytes_text(plan.communication.data_parallel), "data parallel");
    row("", bytes_text(plan.communication.expert_parallel), "expert parallel");
  }
  if (plan.seconds_per_step > 0) {
    row("time of a step", time_text(plan.seconds_per_step));
    if (train.minutes == 0) row("time", time_text(plan.seconds_per_step * steps));
  } else {
    row("time", "unknown", "plan.flops_per_second=1e12 would tell, say");
  }
}

void print_table(const Plan& plan, const std::string& name) {
  const int64_t length = plan.resolved.config.train.sequence_length;
  const std::string& description = plan.resolved.description;
  std::cout << name << (description.empty() ? "" : ": ") << description << "\n\n";
  print_parameters(plan);
  heading("compute, training one sequence of " + grouped(length) + " tokens");
  row("FLOPs", flops_text(plan.flops), "forward alone is a third");
  if (plan.nominal_flops > 0) row("nominal FLOPs", flops_text(plan.nominal_flops), "as the paper counts");
  print_memory(plan);
  print_run(plan);
}

void list_presets() {
  for (const spec::Preset& preset : spec::presets()) {
    const std::string name(preset.name);
    std::cout << std::left << std::setw(26) << name << "  " << spec::resolve(name).description << "\n";
  }
}

void run_plan(const PlanOptions& options) {
  if (options.list) return list_presets();
  if (options.settings) {
    std::cout << spec::settings_markdown();
    return;
  }
  if (options.model.empty()) {
    base::fail(base::ErrorKind::kUsage, "plan", "a preset or a configuration file is required", "",
               "dsmoe plan --list shows the presets");
  }
  const Plan plan = make_plan(options);
  if (options.print_config) {
    std::cout << spec::to_toml(plan.resolved.config, &plan.resolved.origins);
  } else if (options.json) {
    print_json(plan, options.model);
  } else {
    print_table(plan, options.model);
  }
}

}  // namespace

void add_plan(CLI::App& program) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = program.add_subcommand("plan", "Parameters, FLOPs, memory, communication, time of a model");
  command->add_option("CONFIG", options->model, "a preset's name, a .toml file, or a model folder");
  command->add_option(kSettings, options->overrides, "section.key=value, e.g. train.micro_batch=4 train.precision=f32");
  command->add_flag("--json", options->json, "one JSON object on standard output");
  command->add_flag("--list", options->list, "list the presets");
  command->add_flag("--settings", options->settings, "list every section.key with its type, default and meaning");
  command->add_flag("--print-config", options->print_config, "the resolved configuration and where each value is from");
  command->callback([options] { run_plan(*options); });
}

}  // namespace dsmoe::apps
