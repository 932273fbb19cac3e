// Any text as a configuration file and as overrides: refused by a one-line Error of kind kInvalid (or kIo, where
// `extends` names a file), or accepted, and then counted without overflow and written and read back as the same.
#include <sstream>

#include "base/error.h"
#include "fuzz.h"
#include "spec/counts.h"
#include "spec/settings.h"

using namespace dsmoe;

namespace {

void check_accepted(const spec::RunConfig& config) {
  fuzz_check(spec::resolve_toml(spec::to_toml(config), "again").config == config, "TOML reads back as the same");
  spec::count_parameters(config.model);
  spec::flops_per_sequence(config.model, config.train.sequence_length);
  spec::weight_bytes(config.model, config.train.precision);
  spec::training_bytes(config.model, config.train);
  spec::communication_bytes(config);
  spec::seconds_per_step(config);
}

template <class Action>
void check(const Action& action) {
  try {
    check_accepted(action().config);
  } catch (const base::Error& error) {
    const bool input = error.kind() == base::ErrorKind::kInvalid || error.kind() == base::ErrorKind::kIo;
    fuzz_check(input, "bad input has exit code 3 or 4");
    fuzz_check(std::string(error.what()).find('\n') == std::string::npos, "an error is one line");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check([&] { return spec::resolve_toml(text, "input"); });
  std::vector<std::string> overrides;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && overrides.size() < 64;) overrides.push_back(line);
  check([&] { return spec::resolve("tiny", overrides); });
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      "extends = \"tiny\"\n[train]\nseed = 3\nlearning_rate = 1e-3\ndecay_points = [0.5, 0.9]\n",
      "description = \"\\u00e9\"\n[model]\nrouter_type = \"hash\"\nn_routed_experts = 4\nnum_experts_per_tok = 1\n"
      "moe_intermediate_size = 9223372036854775807\n[data]\nweights = {a = 1.0, \"b c\" = 0.5}\n",
      "[plan]\nranks = 4\nflops_per_second = 1e30\nlink_bytes_per_second = 1e-300\n[train]\nmicro_batch = 16777216\n"
      "global_batch = 16777216\n",
      "train.seed=9223372036854775808\nmodel.hidden_size=1000000000000000000\n",
      "train.precision=f32\ntrain.recompute=true\ndata.weights.code=2\ntrain.decay_points=[0.1]\n",
      "model.max_position_embeddings=16777216\ntrain.sequence_length=16777216\ntrain.steps=1\n",
      "model.hidden_size=1048576\nmodel.num_attention_heads=65536\nmodel.num_hidden_layers=10000\n",
      "train.learning_rate=nan\noutput.dir=\x01\xff\ndata.path=a\"b\\\n",
  };
}
