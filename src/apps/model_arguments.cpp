#include "apps/model_arguments.h"

#include <charconv>

#include "base/error.h"

namespace dsmoe::apps {

void ModelArguments::add_to(CLI::App& command) {
  command.add_option("-m,--model", path, "a model folder, as dsmoe train and Hugging Face leave it, or a GGUF file")
      ->required();
  command.add_option("-t,--threads", threads, "0: as many as this process may use; results do not depend on it")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command
      .add_option("--cache-type", cache_type,
                  "how keys and values are kept: f32 (exact), f16 (half the memory) or q8_0 (a quarter)")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}))
      ->capture_default_str();
  command.add_option("--ubatch-size", chunk, "tokens of a prompt computed together; memory grows with it")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  command.add_option("-q,--quantize", quantise,
                     "quantise a folder's weights as it is opened: q4_0, q4_k_m, ...; dsmoe quantize lists the types");
  add_no_verify(command, no_verify);
}

void add_no_verify(CLI::App& command, bool& no_verify) {
  command.add_flag("--no-verify", no_verify,
                   "do not compare a folder with the checksums of its manifest.json, if it has one");
}

void add_sampling(CLI::App& command, engine::GenerateOptions& generate) {
  engine::SamplingOptions& sampling = generate.sampling;
  command.add_option("-n,--predict", generate.max_tokens, "tokens to generate at most; -1: until the context is full")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 40))
      ->capture_default_str();
  command.add_option("--temp", sampling.temperature, "0: always the likeliest token")->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "keep the k likeliest tokens; 0: all")->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "keep the fewest with this probability together; 1: all")
      ->capture_default_str();
  command.add_option("--min-p", sampling.min_p, "keep those with this share of the best one's probability; 0: all")
      ->capture_default_str();
  command.add_option("--repeat-penalty", sampling.repeat_penalty, "weakens recent tokens; 1: off")
      ->capture_default_str();
  command.add_option("--repeat-last-n", sampling.repeat_last_n, "how many tokens are recent; -1: all")
      ->capture_default_str();
  command.add_option("-s,--seed", sampling.seed, "the same seed gives the same text")->capture_default_str();
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
