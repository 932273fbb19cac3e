// A comparison as its author wrote it down before anything ran: which arms, on how many tokens, from which seeds, and
// which claims are to be tested by which smallest effect. docs/comparing.md describes the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "compare/figure.h"

namespace dsmoe::compare {

/// `section.key=value`, as on the command line of dsmoe train.
using Settings = std::vector<std::string>;

/// One recipe of the comparison.
struct Arm {
  std::string name;    ///< letters, digits, and . _ + - only: it names folders
  std::string label;   ///< for people; the name where the file gives none
  std::string family;  ///< the arm of the file this one comes from; differs from name where a grid spread it
  std::string preset;
  Settings settings;            ///< beyond the preset and the plan's own
  std::optional<double> paper;  ///< the paper's loss of the model this arm stands for, shown beside
  int64_t tokens = 0;           ///< of a run, where not the plan's; 0: the plan's
  std::string group;            ///< of one size and budget, where grids spread those: arms must be equal within it
};

/// What a claim expects of an arm's loss beside another's.
enum class Expectation {
  kLower,     ///< lower than the other's
  kNoHigher,  ///< not higher than the other's by `margin` or more
};

struct Claim {
  std::string text;
  std::string arm, against;
  Expectation expects = Expectation::kLower;
  double margin = 0;  ///< nats per token, of kNoHigher
  /// What of either arm is compared; their losses by default. `against` may be `arm` itself where they differ.
  Figure figure, against_figure;
};

struct Plan {
  std::string title, question;
  int64_t tokens = 0;  ///< a run of an arm that says no other number; steps follow from it
  double warmup = 0;   ///< share of a run's steps
  std::vector<int64_t> seeds;
  std::string data;                          ///< folder of dsmoe data build; the command line may name another
  double smallest_effect = 0;                ///< nats per token: what would matter, decided beforehand
  double tolerance = 0.03;                   ///< share by which arms may differ in what `unequal` does not name
  std::vector<std::string> unequal;          ///< total_parameters, activated_parameters, flops, tokens
  std::vector<study::AblationKind> studies;  ///< of every finished model that can be studied so
  int64_t study_tokens = 0;                  ///< validation tokens for each point of a study; 0: all
  std::vector<std::string> tasks;            ///< folders of evaluation tasks, scored with every finished model
  Settings settings;                         ///< of every arm
  std::vector<Arm> arms;                     ///< in the order of the tables, grids spread
  std::vector<Claim> claims;
};

/// Throws Error(kInvalid) naming `where` and the key: unknown keys, arms or claims without what they need, two arms of
/// one name, claims on what no study measures, settings that the plan derives itself (train.steps, train.warmup_steps,
/// train.seed, output.dir, data.path).
Plan parse_plan(std::string_view toml, std::string_view where);
Plan read_plan(const base::fs::path& file);

/// The arm of that name; throws Error(kInvalid) naming the nearest.
const Arm& arm_named(const Plan& plan, const std::string& name);

}  // namespace dsmoe::compare
