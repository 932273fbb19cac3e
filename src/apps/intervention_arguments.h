// The options that change what a pass does with its experts: engine/intervention.h on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/intervention.h"

namespace dsmoe::apps {

struct InterventionArguments {
  double masked_top_fraction = 0;
  int64_t experts_per_tok = 0;
  bool drop_shared = false;
  std::vector<std::string> masked, forced;  ///< "LAYER:ID,ID", or "ID,ID" for every mixture layer

  /// --masked-top-fraction, --experts-per-tok, --drop-shared, --mask-experts, --force-experts; each behind `prefix`,
  /// such as "first-", where a command has them for two models.
  void add_to(CLI::App& command, const std::string& prefix = "");
  /// Throws Error(kUsage) for lists that cannot be read; whether a model can do it is checked when it runs.
  engine::Intervention intervention() const;
  /// What was asked for, for records; empty where nothing was.
  base::Json json() const;
};

}  // namespace dsmoe::apps
