#include "apps/study.h"

#include "apps/commands.h"

namespace dsmoe::apps {

void add_study(CLI::App& program) {
  CLI::App* group = program.add_subcommand("study", "What the experts of a model do");
  group->require_subcommand(1);
  add_study_routing(*group);
  add_study_ablations(*group);
  add_study_diff(*group);
}

}  // namespace dsmoe::apps
