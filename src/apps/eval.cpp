#include "apps/eval.h"

#include "apps/commands.h"

namespace dsmoe::apps {

void add_eval(CLI::App& program) {
  CLI::App* group = program.add_subcommand("eval", "Measure a model");
  group->require_subcommand(1);
  add_eval_perplexity(*group);
  add_eval_choice(*group);
  add_eval_generate(*group);
}

}  // namespace dsmoe::apps
