#include "serve/request.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <random>

#include "base/error.h"
#include "serve/api_error.h"
#include "serve/fields.h"
#include "serve/intervention_field.h"
#include "serve/response_format.h"

namespace dsmoe::serve {
namespace {

using base::Json;

// Members that ask for what this server does not do, unless they have one of these values (or none, or an empty one).
struct Unsupported {
  const char* key;
  std::vector<Json> harmless = {};
};

const std::vector<Unsupported>& unsupported() {
  static const std::vector<Unsupported> all = {
      {"best_of", {1}},
      {"suffix"},
      {"tools"},
      {"tool_choice", {"none", "auto"}},
      {"functions"},
      {"function_call", {"none", "auto"}},
      {"modalities", {Json::array({"text"})}},
      {"audio"},
      {"prediction"},
      {"web_search_options"},
      {"reasoning_effort", {"none"}},
      {"chat_template"},
      {"chat_template_kwargs"},
      {"continue_final_message"},
      {"min_tokens"},
      {"use_beam_search"},
      {"length_penalty", {1}},
      {"prompt_logprobs"},
      {"truncate_prompt_tokens"},
      {"allowed_token_ids"},
      {"bad_words"},
      {"logits_processors"},
      {"guided_json"},
      {"guided_regex"},
      {"guided_choice"},
      {"guided_grammar"},
      {"structured_outputs"},
      {"json_schema"},
      {"grammar"},
      {"mirostat"},
      {"typical_p", {1}},
      {"tfs_z", {1}},
      {"dynatemp_range"},
      {"xtc_probability"},
      {"dry_multiplier"},
      {"id_slot", {-1}},
      {"lora"},
      {"prompt_embeds"},
      {"return_token_ids"},
  };
  return all;
}

bool says_nothing(const Json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == 0;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();
}

void refuse_unsupported(const Fields& fields) {
  for (const auto& [key, harmless] : unsupported()) {
    const Json* found = fields.find(key);
    if (found == nullptr || says_nothing(*found)) continue;
    if (std::find(harmless.begin(), harmless.end(), *found) != harmless.end()) continue;
    throw bad_request(key, std::string(key) + " is not supported by this server").code("unsupported_parameter");
  }
}

std::vector<std::string> read_stops(const Fields& fields, const RequestLimits& limits) {
  const Json* found = fields.find("stop");
  if (found == nullptr) return {};
  const Json list = found->is_array() ? *found : Json::array({*found});
  if (std::ssize(list) > limits.stops) {
    fields.refuse("stop", "may be at most " + std::to_string(limits.stops) + " strings");
  }
  std::vector<std::string> stops;
  for (const Json& entry : list) {
    if (!entry.is_string()) fields.refuse("stop", "must be a string or a list of strings");
    stops.push_back(entry.get<std::string>());
    if (stops.back().empty() || std::ssize(stops.back()) > limits.stop_bytes) {
      fields.refuse("stop", "must have from 1 to " + std::to_string(limits.stop_bytes) + " bytes each");
    }
  }
  return stops;
}

std::vector<engine::TokenBias> read_biases(const Fields& fields, const RequestContext& context) {
  const Json* found = fields.find("logit_bias");
  if (found == nullptr) return {};
  const Fields biases(*found, "logit_bias");
  if (std::ssize(*found) > context.limits.biases) {
    fields.refuse("logit_bias", "may have at most " + std::to_string(context.limits.biases) + " entries");
  }
  std::vector<engine::TokenBias> all;
  for (const auto& [key, value] : found->items()) {
    engine::TokenBias bias;
    const auto [end, fault] = std::from_chars(key.data(), key.data() + key.size(), bias.token);
    if (fault != std::errc() || end != key.data() + key.size() || bias.token < 0 || bias.token >= context.vocab_size) {
      throw bad_request("logit_bias", "logit_bias must name token ids from 0 to " +
                                          std::to_string(context.vocab_size - 1) + ": " + base::in_quotes(key));
    }
    bias.added = biases.number(key, -100, 100, 0);
    all.push_back(bias);
  }
  return all;
}

engine::SamplingOptions read_sampling(const Fields& fields, const RequestContext& context) {
  engine::SamplingOptions sampling;
  sampling.temperature = fields.number("temperature", 0, 2, 1);
  sampling.top_p = fields.number("top_p", 0, 1, 1);
  if (sampling.top_p == 0) fields.refuse("top_p", "must be above 0");
  const int64_t top_k = fields.integer("top_k", -1, INT32_MAX, 0);
  sampling.top_k = std::max<int64_t>(0, top_k);  // -1 is another way to say all
  sampling.min_p = fields.number("min_p", 0, 1, 0);
  sampling.presence_penalty = fields.number("presence_penalty", -2, 2, 0);
  sampling.frequency_penalty = fields.number("frequency_penalty", -2, 2, 0);
  sampling.repeat_penalty = fields.number("repetition_penalty", 0, 10, 1);
  if (sampling.repeat_penalty == 0) fields.refuse("repetition_penalty", "must be above 0");
  sampling.repeat_last_n = -1;
  sampling.bias = read_biases(fields, context);
  const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX);
  sampling.seed = seed ? static_cast<uint64_t>(*seed) : uint64_t{std::random_device()()} << 32 | std::random_device()();
  return sampling;
}

// What both kinds of bodies have.
GenerationRequest read_common(const Fields& fields, const RequestContext& context) {
  const auto model = fields.text("model");
  if (model && *model != context.model) {
    throw ApiError(
        404, "the model " + base::in_quotes(*model) + " is not here; this server has " + base::in_quotes(context.model))
        .param("model")
        .code("model_not_found");
  }
  refuse_unsupported(fields);
  GenerationRequest request;
  request.n = fields.integer("n", 1, context.limits.n, 1);
  request.generate.sampling = read_sampling(fields, context);
  request.generate.stop = read_stops(fields, context.limits);
  request.generate.ignore_eos = fields.boolean("ignore_eos", false);
  if (const Json* ids = fields.find("stop_token_ids")) {
    if (!ids->is_array()) fields.refuse("stop_token_ids", "must be a list of token ids");
    request.generate.ends = token_ids(*ids, context.vocab_size, "stop_token_ids");
  }
  request.stream = fields.boolean("stream", false);
  if (const Json* options = fields.find("stream_options")) {
    request.include_usage = Fields(*options, "stream_options").boolean("include_usage", false);
    if (!request.stream) fields.refuse("stream_options", "may be given only when stream is true");
  }
  request.routed_experts = fields.boolean("routed_experts", false);
  request.intervention = read_intervention(fields, *context.config);
  request.form = read_response_format(fields);
  request.tokens_as_ids = fields.boolean("return_tokens_as_token_ids", false);
  request.generate.max_tokens = fields.integer("max_tokens", 0, INT32_MAX, -1);
  return request;
}

bool is_list_of(const Json& value, bool (*holds)(const Json&)) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), holds);
}

// A text, a list of texts, ids, or a list of lists of ids.
std::vector<TextOrIds> read_prompts(const Fields& fields, const RequestContext& context) {
  const Json& prompt = fields.require("prompt");
  const auto is_text = [](const Json& value) { return value.is_string(); };
  const auto is_number = [](const Json& value) { return value.is_number(); };
  const auto is_list = [](const Json& value) { return value.is_array(); };
  std::vector<TextOrIds> prompts;
  if (prompt.is_string()) {
    prompts.emplace_back(prompt.get<std::string>());
  } else if (is_list_of(prompt, is_number)) {
    prompts.emplace_back(token_ids(prompt, context.vocab_size, "prompt"));
  } else if (is_list_of(prompt, is_text)) {
    for (const Json& text : prompt) prompts.emplace_back(text.get<std::string>());
  } else if (is_list_of(prompt, is_list)) {
    for (const Json& ids : prompt) prompts.emplace_back(token_ids(ids, context.vocab_size, "prompt"));
  } else {
    fields.refuse("prompt", "must be a string, a list of strings, a list of token ids or a list of such lists");
  }
  if (std::ssize(prompts) > context.limits.prompts) {
    throw bad_request("prompt", "prompt may be at most " + std::to_string(context.limits.prompts) +
                                    " at once: " + std::to_string(prompts.size()));
  }
  return prompts;
}

std::string read_content(const Fields& message) {
  const Json* content = message.find("content");
  if (content == nullptr) message.refuse("content", "is required");
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) message.refuse("content", "must be a string or a list of parts");
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const Fields part((*content)[i], message.name("content") + "[" + std::to_string(i) + "]");
    const std::string type = part.text("type").value_or("");
    if (type != "text") {
      throw bad_request(part.name("type"),
                        part.name("type") + " must be \"text\"; this server reads no " + base::in_quotes(type))
          .code("unsupported_parameter");
    }
    const Json& value = part.require("text");
    if (!value.is_string()) part.refuse("text", "must be a string");
    text += value.get<std::string>();
  }
  return text;
}

}  // namespace

std::vector<tokenizer::ChatMessage> read_messages(const Json& list) {
  if (!list.is_array() || list.empty()) {
    throw bad_request("messages", "messages must be a list of at least one message");
  }
  std::vector<tokenizer::ChatMessage> messages;
  for (size_t i = 0; i < list.size(); ++i) {
    const Fields message(list[i], "messages[" + std::to_string(i) + "]");
    const Json& role = message.require("role");
    if (message.find("tool_calls") != nullptr || message.find("function_call") != nullptr) {
      throw bad_request(message.name("tool_calls"), "tools are not supported by this server")
          .code("unsupported_parameter");
    }
    if (role == "system" || role == "developer") {
      messages.push_back({tokenizer::ChatRole::kSystem, read_content(message)});
    } else if (role == "user") {
      messages.push_back({tokenizer::ChatRole::kUser, read_content(message)});
    } else if (role == "assistant") {
      messages.push_back({tokenizer::ChatRole::kAssistant, read_content(message)});
    } else {
      message.refuse("role", "must be system, developer, user or assistant");
    }
  }
  return messages;
}

GenerationRequest read_completion(const Json& body, const RequestContext& context) {
  const Fields fields(body);
  GenerationRequest request = read_common(fields, context);
  request.prompts = read_prompts(fields, context);
  if (std::ssize(request.prompts) * request.n > context.limits.sequences) {
    throw bad_request("n", "prompts times n may be at most " + std::to_string(context.limits.sequences));
  }
  if (request.generate.max_tokens < 0) request.generate.max_tokens = 16;
  if (const auto scores = fields.integer("logprobs", 0, context.limits.scores)) {
    request.scores = true;
    request.generate.scores = *scores;
  }
  request.echo = fields.boolean("echo", false);
  request.add_special = fields.boolean("add_special_tokens", true);
  if (request.generate.max_tokens == 0 && !request.echo) {
    fields.refuse("max_tokens", "must be at least 1 unless echo is true");
  }
  return request;
}

void require_share(const GenerationRequest& request, std::span<const int64_t> prompt_lengths,
                   const RequestContext& context) {
  const int64_t read = request.n * std::accumulate(prompt_lengths.begin(), prompt_lengths.end(), int64_t{0});
  const int64_t written = request.n * std::ssize(prompt_lengths) * std::max<int64_t>(0, request.generate.max_tokens);
  const auto require = [](const char* param, const char* what, int64_t found, int64_t most) {
    if (found <= most) return;
    throw bad_request(param, std::string(what) + " of one request may be at most " + std::to_string(most) + ": " +
                                 std::to_string(found));
  };
  require("n", "tokens of all choices", read + written, context.limits.tokens);
  const int64_t scored = written + (request.echo ? read : 0);
  const int64_t best = std::max<int64_t>(0, request.generate.scores);
  require("logprobs", "log-probabilities", request.scores ? scored * (1 + best) : 0, context.limits.figures);
  const spec::ModelConfig& config = *context.config;
  const int64_t slots = config.is_moe() ? config.num_hidden_layers * config.num_experts_per_tok : 0;
  require("routed_experts", "experts of tokens", request.routed_experts ? (read + written) * slots : 0,
          context.limits.figures);
}

GenerationRequest read_chat(const Json& body, const RequestContext& context) {
  const Fields fields(body);
  GenerationRequest request = read_common(fields, context);
  request.chat = true;
  request.messages = read_messages(fields.require("messages"));
  request.answers = fields.boolean("add_generation_prompt", true);
  if (const auto most = fields.integer("max_completion_tokens", 1, INT32_MAX)) request.generate.max_tokens = *most;
  if (request.generate.max_tokens == 0) fields.refuse("max_tokens", "must be at least 1");
  request.scores = fields.boolean("logprobs", false);
  const auto best = fields.integer("top_logprobs", 0, context.limits.scores);
  if (best && !request.scores && *best > 0) fields.refuse("top_logprobs", "may be given only when logprobs is true");
  if (request.scores) request.generate.scores = best.value_or(0);
  if (fields.boolean("echo", false)) fields.refuse("echo", "is for completions");
  return request;
}

}  // namespace dsmoe::serve
