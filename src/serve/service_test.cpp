// The routes on a real model, without a socket: what clients read out of answers, and who gets none.
#include "serve/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/generate.h"
#include "serve/testing.h"

namespace dsmoe::serve {
namespace {

using base::Json;
using testing::events_of;
using testing::json_of;
using testing::Letters;

int64_t moe_layers(const spec::ModelConfig& config) {
  int64_t count = 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) count += config.is_moe_layer(layer) ? 1 : 0;
  return count;
}

class Served : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<base::TestFolder>();
    testing::write_byte_model(folder_->path() / "tiny");
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static loading::Model open() {
    loading::ModelOptions options;
    options.engine.threads = 1;
    return loading::open_model(folder_->path() / "tiny", options);
  }
  /// A prompt of 25 tokens whose answer takes a while; the caller waits for it.
  std::shared_ptr<Letters> begin_long_answer() {
    auto letters = std::make_shared<Letters>();
    service_->handle({"POST",
                      "/v1/completions",
                      {{"host", "localhost"}},
                      R"({"prompt": "aaaaaaaaaaaaaaaaaaaaaaaa", "max_tokens": 250, "ignore_eos": true})"},
                     letters);
    return letters;
  }
  void SetUp() override { make({}); }
  void make(ServiceOptions options) {
    service_ = std::make_unique<Service>(std::move(options));
    service_->open(std::make_shared<Backend>(open(), BackendOptions{"tiny", "", {4, 300, 1 << 30, {}}}));
  }
  HttpResponse ask(const std::string& method, const std::string& path, const std::string& body = "",
                   std::map<std::string, std::string> headers = {}) {
    headers.emplace("host", "localhost:8080");
    if (method == "POST") headers.emplace("content-type", "application/json");
    const auto letters = std::make_shared<Letters>();
    service_->handle({method, path, headers, body}, letters);
    return letters->wait();
  }
  Json post(const std::string& path, const Json& body, int status = 200) {
    const HttpResponse response = ask("POST", path, base::dump_json(body));
    EXPECT_EQ(response.status, status) << response.body;
    return json_of(response);
  }

  static std::unique_ptr<base::TestFolder> folder_;
  std::unique_ptr<Service> service_;
};
std::unique_ptr<base::TestFolder> Served::folder_;

// Whatever a model without any sense would say: JSON of the form that was asked for, or cut off by max_tokens and said
// so. The schema's place differs among clients.
TEST_F(Served, ResponseFormatsAreHeldTo) {
  const Json schema = base::parse_json(
      R"({"type": "object", "properties": {"ok": {"type": "boolean"}, "size": {"enum": [1, "two"]}, "name": {"type": "string",
          "maxLength": 4}}, "required": ["ok", "size", "name"], "additionalProperties": false})",
      "schema");
  const Json formats[] = {
      {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"strict", true}, {"schema", schema}}}},
      {{"type", "json_schema"}, {"schema", schema}},
      {{"type", "json_object"}, {"schema", schema}}};
  int whole = 0;
  for (int seed = 0; seed < 12; ++seed) {
    Json body = {{"prompt", "x"}, {"max_tokens", 250}, {"seed", seed}, {"response_format", formats[seed % 3]}};
    const Json choice = post("/v1/completions", body)["choices"][0];
    const std::string text = choice["text"];
    if (choice["finish_reason"] == "length") continue;
    ++whole;
    EXPECT_EQ(choice["finish_reason"], "stop");
    const Json value = base::parse_json(text, "answer");
    EXPECT_TRUE(value["ok"].is_boolean()) << text;
    EXPECT_TRUE(value["size"] == 1 || value["size"] == "two") << text;
    EXPECT_TRUE(value["name"].is_string()) << text;
    EXPECT_EQ(value.size(), 3u);
    body["stream"] = true;
    std::string streamed;
    for (const Json& event : events_of(ask("POST", "/v1/completions", base::dump_json(body)).body)) {
      streamed += event["choices"][0]["text"];
    }
    EXPECT_EQ(streamed, text);
  }
  EXPECT_GT(whole, 3);
  const Json cut =
      post("/v1/completions", {{"prompt", "x"}, {"max_tokens", 3}, {"response_format", formats[0]}, {"n", 3}});
  for (const Json& choice : cut["choices"]) EXPECT_EQ(choice["finish_reason"], "length") << choice;
  const Json refused =
      post("/v1/completions", {{"prompt", "x"}, {"stop", "a"}, {"response_format", {{"type", "json_object"}}}}, 400);
  EXPECT_EQ(refused["error"]["param"], "stop");
  EXPECT_EQ(post("/v1/completions",
                 {{"prompt", "x"}, {"response_format", {{"type", "json_schema"}, {"schema", {{"pattern", "("}}}}}},
                 400)["error"]["param"],
            "response_format");
}

// lm-evaluation-harness's request for a log-likelihood, and what it takes out of the answer: one entry for each token
// of the prompt and one for the token that was generated, the first without a number; a token is greedy where its
// number is the largest of those beside it.
TEST_F(Served, LogLikelihoodsAreWhatTheEngineSays) {
  std::vector<std::vector<int32_t>> prompts = {{256, 72, 101, 108, 108, 111}, {257, 3, 200, 255, 0}};
  const Json answer = post("/v1/completions", {{"model", "tiny"},
                                               {"prompt", prompts},
                                               {"temperature", 0},
                                               {"max_tokens", 1},
                                               {"logprobs", 1},
                                               {"seed", 1234},
                                               {"echo", true}});
  loading::Model model = open();
  for (size_t p = 0; p < prompts.size(); ++p) {
    const Json& choice = answer["choices"][p];
    EXPECT_EQ(choice["index"], p);
    const Json& scores = choice["logprobs"];
    for (const char* list : {"tokens", "token_logprobs", "top_logprobs", "text_offset"}) {
      ASSERT_EQ(scores[list].size(), prompts[p].size() + 1) << list;
    }
    EXPECT_TRUE(scores["token_logprobs"][0].is_null() && scores["top_logprobs"][0].is_null());
    engine::Session session(model.engine());
    const auto logits = session.append_all(prompts[p]);
    for (size_t t = 0; t < prompts[p].size(); ++t) {
      const auto row = logits.subspan(t * 260, 260);
      const auto likeliest = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
      const int32_t token = t + 1 < prompts[p].size() ? prompts[p][t + 1] : likeliest;
      const double value = engine::score_token(row, token, 0).chosen.value;
      EXPECT_EQ(scores["token_logprobs"][t + 1].get<double>(), value);
      double most = -1e9;
      for (const auto& [name, other] : scores["top_logprobs"][t + 1].items())
        most = std::max(most, other.get<double>());
      EXPECT_EQ(value == most, token == likeliest);
    }
  }
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 11);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 2);
}

TEST_F(Served, EchoWithoutGeneration) {
  const Json answer =
      post("/v1/completions", {{"prompt", "a\u4e2db"}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}});
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["text"], "a\u4e2db");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["logprobs"]["tokens"], (Json{"<s>", "a", "bytes:\\xe4", "bytes:\\xb8", "bytes:\\xad", "b"}));
  EXPECT_EQ(choice["logprobs"]["text_offset"], (Json{0, 0, 1, 2, 2, 2})) << "in code points; <s> is none of the text";
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1].size(), 1u);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 0);
}

// A stream says what the whole answer says, in both dialects.
TEST_F(Served, StreamsSayWhatWholeAnswersSay) {
  const Json completion = {{"prompt", {"Hello", "x"}}, {"seed", 5},     {"n", 2},
                           {"max_tokens", 20},         {"logprobs", 2}, {"stop", {"zq"}}};
  const Json chat = {{"messages", {{{"role", "user"}, {"content", "Hello"}}}},
                     {"seed", 6},
                     {"n", 2},
                     {"max_tokens", 20},
                     {"logprobs", true},
                     {"top_logprobs", 2}};
  for (const bool is_chat : {false, true}) {
    const std::string path = is_chat ? "/v1/chat/completions" : "/v1/completions";
    Json body = is_chat ? chat : completion;
    const Json whole = post(path, body);
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    const HttpResponse response = ask("POST", path, base::dump_json(body));
    EXPECT_EQ(response.content_type, "text/event-stream");
    const std::vector<Json> events = events_of(response.body);
    std::map<size_t, std::string> texts;
    std::map<size_t, Json> finishes, scores;
    for (size_t e = 0; e + 1 < events.size(); ++e) {
      EXPECT_TRUE(events[e].at("usage").is_null());
      EXPECT_EQ(events[e]["id"], events[0]["id"]);
      const Json& choice = events[e]["choices"][0];
      const size_t index = choice["index"];
      texts[index] += is_chat ? choice["delta"].value("content", "") : choice["text"].get<std::string>();
      if (!choice["finish_reason"].is_null()) finishes[index] = choice["finish_reason"];
      if (choice["logprobs"].is_null()) continue;
      const Json& list = is_chat ? choice["logprobs"]["content"] : choice["logprobs"]["token_logprobs"];
      for (const Json& one : list) scores[index].push_back(one);
    }
    EXPECT_EQ(events.back()["choices"], Json::array());
    EXPECT_EQ(events.back()["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
    EXPECT_EQ(whole["choices"].size(), is_chat ? 2u : 4u);
    for (const Json& choice : whole["choices"]) {
      const size_t index = choice["index"];
      EXPECT_EQ(texts[index], is_chat ? choice["message"]["content"] : choice["text"]);
      EXPECT_EQ(finishes[index], choice["finish_reason"]);
      EXPECT_EQ(scores[index], is_chat ? choice["logprobs"]["content"] : choice["logprobs"]["token_logprobs"]);
    }
  }
}

TEST_F(Served, ChatScoresHaveBytes) {
  const Json answer = post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "Hello"}}}},
                                                    {"max_tokens", 3},
                                                    {"temperature", 0},
                                                    {"logprobs", true},
                                                    {"top_logprobs", 2}});
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  for (const Json& entry : choice["logprobs"]["content"]) {
    EXPECT_EQ(entry["top_logprobs"].size(), 2u);
    EXPECT_EQ(entry["logprob"], entry["top_logprobs"][0]["logprob"]) << "greedy takes the likeliest";
    EXPECT_EQ(entry["bytes"], entry["top_logprobs"][0]["bytes"]);
  }
}

// Whole answers have files of NumPy's, streams the same as lists.
TEST_F(Served, RoutingOfEachToken) {
  Json body = {{"prompt", "Hello"},  {"max_tokens", 4},        {"temperature", 0},
               {"ignore_eos", true}, {"routed_experts", true}, {"intervention", {{"masked", {{"all", {1}}}}}}};
  const Json whole = post("/v1/completions", body)["choices"][0];
  body["stream"] = true;
  RoutedTokens all;
  for (const Json& event : events_of(ask("POST", "/v1/completions", base::dump_json(body)).body)) {
    const Json routed = event["choices"][0].value("routed_experts", Json());
    if (routed.is_null()) continue;
    EXPECT_EQ(routed["first"], all.tokens());
    all.layers = routed["layers"], all.slots = routed["slots"];
    for (const Json& expert : routed["experts"]) all.experts.push_back(expert);
    for (const Json& affinity : routed["affinities"]) all.affinities.push_back(affinity);
  }
  EXPECT_EQ(all.tokens(), 6 + 4 - 1);
  EXPECT_THAT(all.experts, ::testing::Not(::testing::Contains(1)));
  EXPECT_EQ(whole["routed_experts"], all.experts_npy(6));
  EXPECT_EQ(whole["routed_affinities"], all.affinities_npy());
  EXPECT_EQ(json_of(ask("GET", "/v1/models"))["data"][0]["mixture"]["layers"], (Json{0, 1}));
}

TEST_F(Served, ThePageIsOpenAndShutIn) {
  for (const auto& [path, type] :
       {std::pair("/", "text/html"), std::pair("/page.js", "text/javascript"), std::pair("/style.css", "text/css")}) {
    const HttpResponse response = ask("GET", path);
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.content_type, ::testing::StartsWith(type));
    EXPECT_THAT(response.headers, ::testing::Contains(::testing::Pair("Content-Security-Policy",
                                                                      ::testing::HasSubstr("default-src 'none'"))));
    EXPECT_GT(response.body.size(), 1000u);
  }
}

TEST_F(Served, GenerationIsWhatTheCommandSays) {
  loading::Model model = open();
  engine::GenerateOptions options;
  options.max_tokens = 30;
  options.sampling = {1.0, 0, 1.0, 0.0, 1.0, -1, 77};
  options.ends = model.end_tokens();
  engine::Session session(model.engine());
  const auto expected = engine::generate(session, model.config(), model.prompt("Once").ids, options, model.tokenizer(),
                                         [](int32_t, std::string_view) { return true; });
  const Json answer = post("/v1/completions", {{"prompt", "Once"}, {"seed", 77}, {"max_tokens", 30}});
  EXPECT_EQ(answer["choices"][0]["text"], expected.text);
}

TEST_F(Served, TokensThereAndBack) {
  const Json ids = post("/tokenize", {{"prompt", "Hi"}, {"add_special_tokens", false}})["tokens"];
  EXPECT_EQ(ids, (Json{72, 105}));
  EXPECT_EQ(post("/tokenize", {{"prompt", "Hi"}})["tokens"], (Json{256, 72, 105}));
  EXPECT_EQ(post("/tokenize", {{"content", "Hi"}})["tokens"], ids) << "as llama.cpp names it";
  EXPECT_EQ(post("/detokenize", {{"tokens", ids}})["prompt"], "Hi");
  EXPECT_EQ(post("/detokenize", {{"tokens", {0xe4}}})["prompt"], "\ufffd");
  EXPECT_EQ(post("/detokenize", {{"tokens", {260}}}, 400)["error"]["param"], "tokens");
  EXPECT_EQ(json_of(ask("GET", "/tokenizer_info"))["eos_token"], "</s>");
}

TEST_F(Served, TooMuchIsRefused) {
  const Json longer = post("/v1/completions", {{"prompt", std::string(250, 'x')}, {"max_tokens", 50}}, 400);
  EXPECT_EQ(longer["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(longer["error"]["param"], "prompt");
  post("/v1/completions", {{"prompt", std::string(249, 'x')}, {"max_tokens", 50}});
  EXPECT_EQ(post("/v1/completions", {{"prompt", {Json::array({1}), Json::array()}}}, 400)["error"]["param"], "prompt");
}

TEST_F(Served, WhoMayAsk) {
  ServiceOptions options;
  options.gate = {{"secret-1", "secret-2"}, {"box.local"}};
  make(std::move(options));
  const std::map<std::string, std::string> none,
      wrong = {{"authorization", "Bearer secret-3"}}, shorter = {{"authorization", "Bearer secret-"}},
      empty = {{"authorization", "Bearer "}}, right = {{"authorization", "Bearer secret-2"}};
  for (const Service::Route& route : Service::routes()) {
    std::string path = route.path;
    if (path.ends_with('*')) path.back() = 'x';
    for (const char* method : {"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"}) {
      for (const auto& headers : {none, wrong, shorter, empty}) {
        const int status = ask(method, path, "{}", headers).status;
        if (route.open) {
          EXPECT_EQ(status, std::string(method) == "GET" ? 200 : 405);
        } else {
          EXPECT_EQ(status, 401) << method << " " << path;
        }
      }
      EXPECT_NE(ask(method, path, "{}", right).status, 401) << method << " " << path;
    }
  }
  EXPECT_EQ(ask("GET", "/nowhere", "", none).status, 401);
  EXPECT_EQ(ask("GET", "/nowhere", "", right).status, 404);
  EXPECT_EQ(ask("GET", "/health", "", {{"host", "evil.example"}}).status, 403) << "its name may lead here";
  EXPECT_EQ(ask("GET", "/health", "", {{"host", "BOX.local:99"}}).status, 200);
  EXPECT_EQ(ask("GET", "/health", "", {{"host", "[::1]:99"}}).status, 200);
  EXPECT_EQ(ask("GET", "/health", "", {{"origin", "http://evil.example"}}).status, 403);
  EXPECT_EQ(ask("GET", "/health", "", {{"origin", "null"}}).status, 403);
  EXPECT_EQ(ask("GET", "/health", "", {{"origin", "http://localhost:8080"}}).status, 200);
}

TEST_F(Served, WhatIsLeftOutIsRefusedByName) {
  for (const auto& [path, word] : {std::pair("/v1/embeddings", "no embeddings"),
                                   {"/v1/responses", "/v1/chat/completions"},
                                   {"/v1/images/generations", "no images"},
                                   {"/v1/fine_tuning/jobs", "dsmoe sft"}}) {
    const HttpResponse refused = ask("POST", path, "{}");
    EXPECT_EQ(refused.status, 404) << path;
    EXPECT_EQ(json_of(refused)["error"]["code"], "unsupported_path");
    EXPECT_THAT(json_of(refused)["error"]["message"].get<std::string>(), ::testing::HasSubstr(word));
  }
  EXPECT_EQ(json_of(ask("GET", "/v1/filesystem"))["error"]["code"], "unknown_path")
      << "another word, not below /v1/files";
}

TEST_F(Served, BodiesMustSayThatTheyAreJson) {
  EXPECT_EQ(ask("POST", "/tokenize", "{}", {{"content-type", "text/plain"}}).status, 415);
  EXPECT_EQ(ask("POST", "/tokenize", "{}", {{"content-encoding", "gzip"}}).status, 415);
  EXPECT_EQ(ask("POST", "/tokenize", R"({"prompt": ""})", {{"content-type", "application/json; charset=utf-8"}}).status,
            200);
}

TEST_F(Served, IsLoadingThenReadyThenDraining) {
  service_ = std::make_unique<Service>(ServiceOptions{});
  EXPECT_EQ(ask("GET", "/health").status, 503);
  EXPECT_EQ(ask("POST", "/v1/completions", R"({"prompt": "x"})").status, 503);
  SetUp();
  EXPECT_EQ(ask("GET", "/health").status, 200);
  service_->drain(std::chrono::seconds(5));
  EXPECT_EQ(ask("GET", "/health").status, 503);
  const HttpResponse refused = ask("POST", "/v1/completions", R"({"prompt": "x"})");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.headers, ::testing::Contains(::testing::Pair("Retry-After", ::testing::_)));
}

TEST_F(Served, AFullHouseRefusesAtOnce) {
  ServiceOptions options;
  options.admission = {.requests = 1, .tokens = 10, .slots = 1};
  make(std::move(options));
  const auto first = begin_long_answer();
  const HttpResponse refused = ask("POST", "/v1/completions", "not even JSON");
  EXPECT_EQ(refused.status, 429) << "before it is looked at";
  EXPECT_EQ(json_of(refused)["error"]["code"], "queue_full");
  EXPECT_THAT(refused.headers, ::testing::Contains(::testing::Pair("Retry-After", ::testing::_)));
  EXPECT_EQ(first->wait().status, 200);
}

// Four answers that keep their routing read a prompt four times, and four others once.
TEST_F(Served, APromptThatIsReadAgainCountsAgain) {
  ServiceOptions options;
  options.admission = {.requests = 3, .tokens = 40, .slots = 1};
  make(std::move(options));
  const auto first = begin_long_answer();
  const auto status = [&](const std::string& more) {
    return ask("POST", "/v1/completions", R"({"prompt": "aaaaa", "max_tokens": 1, "n": 4)" + more + "}").status;
  };
  EXPECT_EQ(status(R"(, "routed_experts": true)"), 429);
  EXPECT_EQ(status(R"(, "echo": true, "logprobs": 1)"), 429);
  EXPECT_EQ(status(R"(, "intervention": {"shared": false})"), 429);
  EXPECT_EQ(status(""), 200);
  EXPECT_EQ(first->wait().status, 200);
}

// Every token that is read goes to as many experts of each mixture layer as the model has it.
TEST_F(Served, ExpertsAreCountedWhereThatIsAskedFor) {
  EXPECT_THAT(ask("GET", "/metrics").body, ::testing::Not(::testing::HasSubstr("dsmoe_expert_tokens_total")));
  BackendOptions counting{"tiny", "", {4, 300, 1 << 30, {}}};
  counting.scheduler.count_experts = true;
  service_->open(std::make_shared<Backend>(open(), counting));
  post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 5}, {"ignore_eos", true}});
  post("/v1/completions", {{"prompt", {256, 7}}, {"max_tokens", 1}, {"routed_experts", true}});
  service_->drain(std::chrono::seconds(5));  // figures follow an answer
  const std::string metrics = ask("GET", "/metrics").body;
  const spec::ModelConfig config = engine::testing::small_config();
  std::map<std::string, int64_t> by_layer;
  std::istringstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("dsmoe_expert_tokens_total{")) continue;
    by_layer[line.substr(0, line.find(','))] += std::stoll(line.substr(line.rfind(' ')));
  }
  EXPECT_EQ(static_cast<int64_t>(by_layer.size()), moe_layers(config));
  for (const auto& [layer, tokens] : by_layer) EXPECT_EQ(tokens, (4 + 4 + 2) * config.num_experts_per_tok) << layer;
}

TEST_F(Served, MetricsAndLogCountWithoutText) {
  std::vector<std::string> lines;
  std::mutex mutex;
  ServiceOptions options;
  options.log = [&](const std::string& line) {
    const std::lock_guard lock(mutex);
    lines.push_back(line);
  };
  make(std::move(options));
  post("/v1/completions", {{"prompt", "a secret"}, {"max_tokens", 3}, {"ignore_eos", true}});
  post("/v1/completions", {{"prompt", "a secret"}, {"n", 0}}, 400);
  service_->drain(std::chrono::seconds(5));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], ::testing::Not(::testing::HasSubstr("secret")));
  const Json line = base::parse_json(lines[0], "log");
  EXPECT_EQ(line["prompt_tokens"], 9);
  EXPECT_EQ(line["completion_tokens"], 3);
  EXPECT_EQ(line["finish_reason"], (Json{"length"}));
  const std::string metrics = ask("GET", "/metrics").body;
  EXPECT_THAT(metrics, ::testing::HasSubstr("\ndsmoe_generation_tokens_total 3\n"));
  EXPECT_THAT(metrics, ::testing::HasSubstr("dsmoe_http_answers_total{status=\"400\"} 1\n"));
  EXPECT_THAT(metrics, ::testing::HasSubstr("dsmoe_time_to_first_token_seconds_count 1\n"));
}

TEST(Keys, AreComparedWholeAndReadFromAPrivateFile) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  for (const char* other : {"", "a", "ab", "abd", "abcabc", "abca", "Abc"}) {
    EXPECT_FALSE(equal_in_constant_time("abc", other)) << other;
  }
  EXPECT_FALSE(equal_in_constant_time("", "a"));
  const base::TestFolder folder;
  const auto file = folder.write("keys", "# mine\nalpha\r\n\nbeta\n");
  base::fs::permissions(file, base::fs::perms::owner_read | base::fs::perms::owner_write);
  EXPECT_EQ(read_key_file(file), (std::vector<std::string>{"alpha", "beta"}));
  base::fs::permissions(file, base::fs::perms::group_read, base::fs::perm_options::add);
  EXPECT_THAT(base::message_of([&] { read_key_file(file); }), ::testing::HasSubstr("only its owner"));
}

}  // namespace
}  // namespace dsmoe::serve
