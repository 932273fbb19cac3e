// Bodies: what is read out of them, and that everything else is refused by name.
#include "serve/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/testing.h"
#include "serve/api_error.h"
#include "serve/fields.h"

namespace dsmoe::serve {
namespace {

using base::Json;

const spec::ModelConfig kConfig = engine::testing::small_config();
const RequestContext kContext = {"m", 100, {}, &kConfig};

GenerationRequest completion(const std::string& body) { return read_completion(parse_body(body), kContext); }
GenerationRequest chat(const std::string& body) { return read_chat(parse_body(body), kContext); }

struct Refusal {
  int status = 0;
  std::string param, code, message;
};
Refusal refusal(const std::string& body, bool is_chat) {
  try {
    is_chat ? chat(body) : completion(body);
  } catch (const ApiError& error) {
    const Json object = error.body()["error"];
    const auto text = [&](const char* key) { return object[key].is_null() ? "" : object[key].get<std::string>(); };
    return {error.status(), text("param"), text("code"), text("message")};
  }
  return {};
}

TEST(Completion, ReadsWhatClientsSend) {
  const auto request = completion(R"({"model": "m", "prompt": [[1, 2], [3]], "temperature": 0, "max_tokens": 1,
      "logprobs": 1, "seed": 1234, "echo": true, "unheard_of": {"a": 1}, "user": "x"})");
  ASSERT_EQ(request.prompts.size(), 2u);
  EXPECT_EQ(std::get<1>(request.prompts[0]), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(request.generate.sampling.temperature, 0);
  EXPECT_EQ(request.generate.sampling.seed, 1234u);
  EXPECT_EQ(request.generate.max_tokens, 1);
  EXPECT_TRUE(request.scores && request.echo);
  EXPECT_EQ(request.generate.scores, 1);
  EXPECT_EQ(completion(R"({"prompt": "x"})").generate.max_tokens, 16);
  EXPECT_EQ(completion(R"({"prompt": "x", "seed": -1, "stop": null, "logit_bias": null})").generate.sampling.seed,
            static_cast<uint64_t>(-1));
  EXPECT_EQ(completion(R"({"prompt": ["a", "b"], "stop": "x"})").generate.stop, (std::vector<std::string>{"x"}));
  EXPECT_EQ(completion(R"({"prompt": "x", "top_k": -1})").generate.sampling.top_k, 0);
  EXPECT_EQ(completion(R"({"prompt": "x", "max_tokens": 0, "echo": true})").generate.max_tokens, 0);
}

TEST(Chat, ReadsWhatClientsSend) {
  const auto request = chat(R"({"model": "m", "messages": [
      {"role": "developer", "content": "be kind"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "n"},
      {"role": "assistant", "content": "c"}], "max_completion_tokens": 7, "max_tokens": 3, "logprobs": true,
      "top_logprobs": 5, "stream": true, "stream_options": {"include_usage": true}, "tools": [],
      "response_format": {"type": "text"}, "logit_bias": {"7": -100, "8": 1.5}})");
  ASSERT_EQ(request.messages.size(), 3u);
  EXPECT_EQ(request.messages[0].role, tokenizer::ChatRole::kSystem);
  EXPECT_EQ(request.messages[1].content, "ab");
  EXPECT_EQ(request.generate.max_tokens, 7);
  EXPECT_EQ(request.generate.scores, 5);
  EXPECT_TRUE(request.stream && request.include_usage);
  EXPECT_EQ(request.generate.sampling.bias[1].added, 1.5);
  EXPECT_EQ(chat(R"({"messages": [{"role": "user", "content": "x"}], "logprobs": true})").generate.scores, 0);
  EXPECT_EQ(chat(R"({"messages": [{"role": "user", "content": "x"}]})").generate.scores, -1);
}

// One wrong member each: 400, and the answer names it.
TEST(Bodies, AreRefusedByName) {
  const std::string long_stop(257, 'x');
  const std::pair<const char*, std::string> members[] = {
      {"n", "0"},
      {"n", "17"},
      {"n", "1000000"},
      {"n", "1.5"},
      {"n", "\"2\""},
      {"n", "18446744073709551616"},
      {"n", "18446744073709551615"},
      {"n", "-9223372036854775808"},
      {"temperature", "-0.1"},
      {"temperature", "2.1"},
      {"temperature", "\"hot\""},
      {"temperature", "true"},
      {"top_p", "0"},
      {"top_p", "1.1"},
      {"top_k", "-2"},
      {"min_p", "-1"},
      {"presence_penalty", "2.5"},
      {"frequency_penalty", "-3"},
      {"repetition_penalty", "0"},
      {"seed", "1.5"},
      {"seed", "\"x\""},
      {"stop", "[\"a\", \"b\", \"c\", \"d\", \"e\"]"},
      {"stop", "\"\""},
      {"stop", "[1]"},
      {"stop", "{}"},
      {"stop", "\"" + long_stop + "\""},
      {"stream", "1"},
      {"stream_options", "{\"include_usage\": true}"},
      {"stream_options", "[]"},
      {"logit_bias", "{\"100\": 1}"},
      {"logit_bias", "{\"-1\": 1}"},
      {"logit_bias", "{\"x\": 1}"},
      {"logit_bias", "[1]"},
      {"stop_token_ids", "[100]"},
      {"stop_token_ids", "5"},
      {"max_tokens", "-1"},
      {"max_tokens", "1e9"},
      {"max_tokens", "\"all\""},
      {"ignore_eos", "\"no\""},
      {"best_of", "2"},
      {"tools", "[{}]"},
      {"response_format", "{\"type\": \"xml\"}"},
      {"tool_choice", "\"required\""},
      {"response_format", "5"},
      {"response_format", "{}"},
      {"response_format", "{\"type\": \"json_schema\"}"},
      {"response_format", "{\"type\": \"json_schema\", \"json_schema\": 5}"},
      {"response_format", "{\"type\": \"json_schema\", \"json_schema\": {\"name\": \"x\"}}"},
      {"response_format", "{\"type\": \"json_object\", \"schema\": {\"pattern\": \"(\"}}"},
      {"response_format", "{\"type\": \"json_schema\", \"json_schema\": {\"schema\": {\"$ref\": \"#\"}}}"},
      {"suffix", "\"x\""},
      {"guided_json", "{\"a\": 1}"},
      {"grammar", "\"root\""},
      {"chat_template", "\"{{x}}\""},
      {"routed_experts", "1"},
      {"intervention", "5"},
      {"intervention", "{\"masked\": {\"0\": [6]}}"},
      {"intervention", "{\"masked\": {\"9\": [1]}}"},
      {"intervention", "{\"masked\": {\"first\": [1]}}"},
      {"intervention", "{\"masked\": {\"0\": [0, 1, 2, 3, 4]}}"},
      {"intervention", "{\"experts_per_tok\": 3}"},
      {"intervention", "{\"forced\": {\"0\": [1, 2, 3]}}"},
      {"intervention", "{\"shared\": 0}"},
      {"intervention", "{\"mask\": {}}"}};
  for (const auto& [member, value] : members) {
    for (const bool is_chat : {false, true}) {
      const std::string body =
          std::string(is_chat ? R"({"messages": [{"role": "user", "content": "x"}], ")" : R"({"prompt": "x", ")") +
          member + "\": " + value + "}";
      const Refusal refused = refusal(body, is_chat);
      EXPECT_EQ(refused.status, 400) << body;
      EXPECT_EQ(refused.param.substr(0, refused.param.find('.')), member) << body << "\n" << refused.message;
    }
  }
}

TEST(Bodies, AreRefusedWhereTheyBelongToTheOther) {
  EXPECT_EQ(refusal(R"({"prompt": "x", "logprobs": true})", false).param, "logprobs");
  EXPECT_EQ(refusal(R"({"prompt": "x", "logprobs": 21})", false).param, "logprobs");
  EXPECT_EQ(refusal(R"({"prompt": "x", "logprobs": "5"})", false).param, "logprobs");
  EXPECT_EQ(refusal(R"({"prompt": "x", "max_tokens": 0})", false).param, "max_tokens");
  const std::string user = R"({"messages": [{"role": "user", "content": "x"}], )";
  EXPECT_EQ(refusal(user + R"("logprobs": 5})", true).param, "logprobs");
  EXPECT_EQ(refusal(user + R"("top_logprobs": 5})", true).param, "top_logprobs");
  EXPECT_EQ(refusal(user + R"("logprobs": true, "top_logprobs": 21})", true).param, "top_logprobs");
  EXPECT_EQ(refusal(user + R"("max_tokens": 0})", true).param, "max_tokens");
}

TEST(Bodies, PromptsAndMessagesAreValidated) {
  for (const char* prompt : {"[]", "[[]x", "5", "null", "{}", "[1, \"a\"]", "[[1], 2]", "[100]", "[-1]", "[1.0]",
                             "[18446744073709551615]", "[[1], [100]]", "[[\"a\"]]", "true"}) {
    EXPECT_EQ(refusal(std::string(R"({"prompt": )") + prompt + "}", false).status, 400) << prompt;
  }
  EXPECT_EQ(refusal("{}", false).param, "prompt");
  std::string many = "[";
  for (int i = 0; i < 65; ++i) many += i ? ",\"a\"" : "\"a\"";
  EXPECT_EQ(refusal(R"({"prompt": )" + many + "]}", false).param, "prompt");
  EXPECT_EQ(refusal(R"({"n": 16, "prompt": )" + many.substr(0, 4 * 17) + "]}", false).param, "n");
  for (const char* messages :
       {"[]", "5", "[5]", "[{}]", R"([{"role": "user"}])", R"([{"role": "tool", "content": "x"}])",
        R"([{"role": 5, "content": "x"}])", R"([{"role": "user", "content": 5}])",
        R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])",
        R"([{"role": "user", "content": [{"type": "text"}]}])",
        R"([{"role": "assistant", "content": null, "tool_calls": []}])"}) {
    const Refusal refused = refusal(std::string(R"({"messages": )") + messages + "}", true);
    EXPECT_EQ(refused.status, 400) << messages;
    EXPECT_THAT(refused.param, ::testing::StartsWith("messages")) << messages;
  }
}

// What many prompts, choices and figures for each token would take together.
TEST(Bodies, OneRequestHasItsShareOfMemory) {
  spec::ModelConfig deep = kConfig;
  deep.num_hidden_layers = 20;
  const RequestContext context = {"m", 100, {}, &deep};
  const auto param = [&](const std::string& body, const std::vector<int64_t>& lengths) -> std::string {
    try {
      require_share(completion(body), lengths, context);
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 400);
      return error.body()["error"]["param"];
    }
    return "";
  };
  const std::vector<int64_t> one = {4000}, many(64, 4000);
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 96, "n": 16})", one), "");
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 1, "echo": true, "logprobs": 1})", many), "");
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 1, "n": 2})", many), "n");
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 1, "echo": true, "logprobs": 20})", many), "logprobs");
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 1, "logprobs": 20})", many), "") << "prompts are not scored";
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 96, "n": 4, "routed_experts": true})", one), "");
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 96, "n": 4, "routed_experts": true})", many), "n");
  EXPECT_EQ(param(R"({"prompt": "x", "max_tokens": 9, "routed_experts": true})", many), "routed_experts");
}

TEST(Bodies, BrokenJsonIsRefused) {
  for (const std::string body : {"", "{", "[]", "5", "{\"a\": 1, \"a\": 2}", "{\"a\": NaN}", "\xff",
                                 "{\"a\": \"\xe4\xb8\"}", "{} {}", "{\"prompt\": \"x\", \"n\": 1e999}"}) {
    EXPECT_EQ(refusal(body, false).status, 400) << body;
  }
  EXPECT_EQ(refusal(R"({"prompt": )" + std::string(100000, '[') + std::string(100000, ']') + "}", false).status, 400);
}

TEST(Bodies, AnotherModelIsNotHere) {
  const Refusal refused = refusal(R"({"model": "gpt-4", "prompt": "x"})", false);
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(refused.code, "model_not_found");
  EXPECT_THAT(refused.message, ::testing::HasSubstr("\"m\""));
}

}  // namespace
}  // namespace dsmoe::serve
