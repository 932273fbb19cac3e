// Any bytes as the body of a request: read as a completion or a chat within the limits, or refused with a client's
// status and an error object that is valid JSON.
#include "base/utf8.h"
#include "fuzz.h"
#include "serve/api_error.h"
#include "serve/fields.h"
#include "serve/request.h"

using namespace dsmoe;

namespace {

spec::ModelConfig small_mixture() {
  spec::ModelConfig config;
  config.vocab_size = 300;
  config.num_hidden_layers = 3;
  config.first_k_dense_replace = 1;
  config.n_routed_experts = 8;
  config.num_experts_per_tok = 2;
  config.n_shared_experts = 1;
  return config;
}

void check(const serve::GenerationRequest& request, const serve::RequestContext& context) {
  fuzz_check(request.n >= 1 && request.n <= context.limits.n, "n is within its limits");
  fuzz_check(std::ssize(request.generate.stop) <= context.limits.stops, "so are stop strings");
  fuzz_check(std::ssize(request.prompts) <= context.limits.prompts, "and prompts");
  for (const serve::TextOrIds& prompt : request.prompts) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
      for (const int32_t id : *ids) fuzz_check(id >= 0 && id < context.vocab_size, "ids are of the vocabulary");
    }
  }
  for (const engine::TokenBias& bias : request.generate.sampling.bias) {
    fuzz_check(bias.token >= 0 && bias.token < context.vocab_size, "biases are of the vocabulary");
  }
  engine::validate(request.generate.sampling);
  request.intervention.validate(*context.config);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const spec::ModelConfig config = small_mixture();
  static const serve::RequestContext context = {"m", config.vocab_size, {}, &config};
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  for (const auto read : {serve::read_completion, serve::read_chat}) {
    try {
      check(read(serve::parse_body(text), context), context);
    } catch (const serve::ApiError& error) {
      fuzz_check(error.status() == 400 || error.status() == 404, "a bad body is the client's fault");
      const std::string body = base::dump_json(error.body());
      fuzz_check(base::first_invalid_utf8(body) == std::string::npos, "the answer is valid UTF-8");
      base::parse_json(body, "answer");
    }
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"model":"m","prompt":[[1,2],[299]],"temperature":0,"max_tokens":1,"logprobs":1,"seed":1234,"echo":true})",
      R"({"prompt":["a","b"],"n":2,"stop":["x","y"],"logit_bias":{"5":-100,"299":1.5},"stop_token_ids":[3],"top_k":-1,)"
      R"("top_p":0.9,"min_p":0.1,"presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.1})",
      R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"\u4e2d"}]},)"
      R"({"role":"assistant","content":"a"}],"stream":true,"stream_options":{"include_usage":true},"logprobs":true,)"
      R"("top_logprobs":20,"max_completion_tokens":5,"tools":[],"response_format":{"type":"text"}})",
      R"({"prompt":"x","routed_experts":true,"intervention":{"masked":{"1":[0,7],"all":[3]},"experts_per_tok":1,)"
      R"("shared":false,"forced":{"2":[4]}}})",
      R"({"prompt":"x","n":1000000,"best_of":2,"suffix":"y"})",
  };
}
