#include "apps/model_arguments.h"

#include <charconv>
#include <limits>
#include <random>

#include "apps/model_option.h"
#include "apps/real_number.h"
#include "apps/whole_number.h"
#include "base/error.h"

namespace dsmoe::apps {

void ModelArguments::add_to(CLI::App& command) {
  add_model(command, path, "-m,--model",
            "a model folder, as dsmoe train and Hugging Face leave it, the folder of a run (its newest checkpoint), "
            "or a GGUF file")
      ->required();
  command
      .add_option("--adapter", adapters,
                  "a LoRA adapter that runs beside the model, unmerged: a PEFT folder or a run's, or DIR=SCALE for a "
                  "part of it; may be given again")
      ->allow_extra_args(false);
  add_threads(command, threads, "-t,--threads", "0: as many as this process may use; results do not depend on it");
  command
      .add_option("--cache-type", cache_type,
                  "how keys and values are kept: f32 (exact), f16 (half the memory) or q8_0 (a quarter)")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}))
      ->capture_default_str();
  add_whole_number(command, "--ubatch-size", chunk, "tokens of a prompt computed together; memory grows with it",
                   {1, int64_t{1} << 20})
      ->default_str("512");
  command.add_option("-q,--quantize", quantise,
                     "quantise a folder's weights as it is opened: q4_0, q4_k_m, ...; dsmoe quantize lists the types");
  add_no_verify(command, no_verify);
}

void ModelArguments::add_context(CLI::App& command) {
  add_whole_number(command, "-c,--ctx-size", context,
                   "the most tokens of prompt and answer together; 0: all that the model can",
                   {0, std::numeric_limits<int64_t>::max()});
}

void add_no_verify(CLI::App& command, bool& no_verify) {
  command.add_flag("--no-verify", no_verify,
                   "do not compare a folder with the checksums of its manifest.json, if it has one");
}

namespace {

// Where nobody chooses a seed one is drawn. It stays below 2^32: short to type again, and whole in every JSON reader.
void add_seed(CLI::App& command, uint64_t& seed) {
  seed = std::random_device()();
  command
      .add_option_function<std::string>(
          "-s,--seed",
          [&seed](const std::string& text) {
            if (text != "-1") read_whole_number("--seed, unless it is -1,", text, Bounds<uint64_t>{}, seed);
          },
          "the same seed gives the same text; -1: another text every time, and the seed taken is printed")
      ->type_name("N")
      ->default_str("-1");
}

}  // namespace

void add_sampling(CLI::App& command, engine::GenerateOptions& generate) {
  engine::SamplingOptions& sampling = generate.sampling;
  add_whole_number(command, "-n,--predict,--n-predict", generate.max_tokens,
                   "tokens to generate at most; -1: until the context is full", {-1, int64_t{1} << 40});
  add_real_number(command, "--temp,--temperature", sampling.temperature, "0: always the likeliest token");
  add_whole_number(command, "--top-k", sampling.top_k, "keep the k likeliest tokens; 0: all");
  add_real_number(command, "--top-p", sampling.top_p, "keep the fewest with this probability together; 1: all");
  add_real_number(command, "--min-p", sampling.min_p,
                  "keep those with this share of the best one's probability; 0: all");
  add_real_number(command, "--repeat-penalty", sampling.repeat_penalty, "weakens recent tokens; 1: off");
  add_whole_number(command, "--repeat-last-n", sampling.repeat_last_n, "how many tokens are recent; -1: all",
                   {-1, std::numeric_limits<int64_t>::max()});
  add_seed(command, sampling.seed);
  command.add_option("--stop", generate.stop, "text that ends the answer and is not shown; may be given again")
      ->allow_extra_args(false);
  command.add_flag("--ignore-eos", generate.ignore_eos, "never choose a token that ends the answer");
}

std::vector<int32_t> parse_token_ids(std::string_view text) {
  std::vector<int32_t> ids;
  const auto refuse = [&] {
    base::fail(base::ErrorKind::kUsage, "tokens", "token ids are written 1,2,3", base::in_quotes(text));
  };
  const char *at = text.data(), *end = at + text.size();
  const auto skip_spaces = [&] {
    while (at < end && *at == ' ') ++at;
  };
  for (;;) {
    skip_spaces();
    int32_t id = 0;
    const auto [next, fault] = std::from_chars(at, end, id);
    if (fault != std::errc() || id < 0) refuse();
    ids.push_back(id);
    at = next;
    skip_spaces();
    if (at == end) return ids;
    if (*at++ != ',') refuse();
  }
}

}  // namespace dsmoe::apps
