// A real server on a socket: hostile, torn and hurried clients, while one stream goes on as if it were alone.
#include "serve/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "base/rng.h"
#include "serve/killers.h"
#include "serve/testing.h"

namespace dsmoe::serve {
namespace {

using std::chrono::milliseconds;
using testing::Client;
using ::testing::HasSubstr;
using testing::post;
using ::testing::StartsWith;

class OnASocket : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_byte_model(folder_.path() / "tiny");
    ServiceOptions options;
    options.log = [this](const std::string& line) {
      const std::lock_guard lock(mutex_);
      log_.push_back(base::parse_json(line, "log"));
    };
    service_ = std::make_unique<Service>(std::move(options));
    loading::ModelOptions opening;
    opening.engine.threads = 1;
    service_->open(std::make_shared<Backend>(loading::open_model(folder_.path() / "tiny", opening),
                                             BackendOptions{"tiny", "", {4, 300, 1 << 30, {}}}));
    http_.port = 0;
    start();
  }
  void start() {
    server_ =
        std::make_unique<HttpServer>(http_, [this](const HttpRequest& request, std::shared_ptr<ResponseWriter> writer) {
          service_->handle(request, std::move(writer));
        });
  }
  void TearDown() override {
    service_->drain(std::chrono::seconds(10));
    server_.reset();
    service_.reset();
  }
  std::string ask(const std::string& bytes) {
    Client client(server_->port());
    client.send(bytes);
    return client.read();
  }
  std::vector<base::Json> log() {
    const std::lock_guard lock(mutex_);
    return log_;
  }

  base::TestFolder folder_;
  std::unique_ptr<Service> service_;
  HttpOptions http_;
  std::unique_ptr<HttpServer> server_;
  std::mutex mutex_;
  std::vector<base::Json> log_;
};

constexpr const char* kClose = "Connection: close\r\n";
const std::string kCanary =
    R"({"prompt": "A long story", "max_tokens": 200, "temperature": 0, "stream": true, "ignore_eos": true})";

// The events of a stream, without what differs between two requests.
std::string told(const std::string& answer) {
  std::string text;
  for (size_t at = 0; (at = answer.find("\"text\":\"", at)) != std::string::npos;) {
    at += 8;
    text += answer.substr(at, answer.find("\",\"logprobs\"", at) - at);
  }
  return text;
}

TEST_F(OnASocket, AnswersAndKeepsTheConnection) {
  Client client(server_->port());
  for (int i = 0; i < 3; ++i) {
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const std::string answer = client.read("{\"status\":\"ok\"}");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("Connection: keep-alive"));
  }
  const std::string body = R"({"prompt": "x", "max_tokens": 3})";
  EXPECT_THAT(ask(post("/v1/completions", body, kClose)), HasSubstr("text_completion"));
  EXPECT_THAT(ask("GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n"), HasSubstr("Connection: close"));
}

TEST_F(OnASocket, PipelinedRequestsAreAnsweredInTurn) {
  std::string all;
  for (int i = 0; i < 100; ++i) all += "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  all += "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const std::string answers = ask(all);
  size_t count = 0;
  for (size_t at = 0; (at = answers.find("{\"status\":\"ok\"}", at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count, 100u);
  EXPECT_THAT(answers, HasSubstr("\"version\""));
}

TEST_F(OnASocket, BadHttpIsAnsweredWithItsStatus) {
  const std::string host = "Host: localhost\r\n";
  std::string fields;
  for (int i = 0; i < 101; ++i) fields += "X-" + std::to_string(i) + ": 1\r\n";
  const std::pair<std::string, std::string> cases[] = {
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", "414"},
      {"GET / HTTP/1.1\r\n" + host + "X: " + std::string(20000, 'a') + "\r\n\r\n", "431"},
      {"GET / HTTP/1.1\r\n" + host + fields + "\r\n", "431"},
      {"POST /tokenize HTTP/1.1\r\n" + host + "Content-Length: 5000000\r\n\r\n", "413"},
      {"POST /tokenize HTTP/1.1\r\n" + host + "Content-Length: 18446744073709551616\r\n\r\n", "400"},
      {"POST /tokenize HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", "400"},
      {"POST /tokenize HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST /tokenize HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n", "400"},
      {"POST /tokenize HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nab", "400"},
      {"nonsense\r\n\r\n", "400"},
      {"GET / HTTP/9.9\r\n" + host + "\r\n", "400"},
      {"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", "400"},
      {"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403"},
      {"DELETE /health HTTP/1.1\r\n" + host + kClose + "\r\n", "405"},
      {"GET /../etc/passwd HTTP/1.1\r\n" + host + kClose + "\r\n", "404"},
  };
  for (const auto& [request, status] : cases) {
    const std::string answer = ask(request);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + status + " ")) << request.substr(0, 100);
    EXPECT_THAT(answer, HasSubstr("\"error\"")) << request.substr(0, 100);
  }
}

TEST_F(OnASocket, WhatDoesNotComeInTimeIsNotWaitedFor) {
  server_.reset();
  http_.header_time = http_.body_time = milliseconds(300);
  start();
  EXPECT_THAT(ask("GET /health HTTP/1.1\r\nHost: loc"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(ask("POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{"),
              StartsWith("HTTP/1.1 408 "));
}

TEST_F(OnASocket, MoreConnectionsThanItTakesAreToldSo) {
  server_.reset();
  http_.connections = 2;
  start();
  Client one(server_->port()), two(server_->port());
  for (Client* client : {&one, &two}) {
    client->send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client->read("ok");
  }
  EXPECT_THAT(ask(""), StartsWith("HTTP/1.1 503 "));
  one.leave();
  std::string answer;
  for (int i = 0; i < 100 && answer.find(" 200 ") == std::string::npos; ++i) {
    answer = ask("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_THAT(answer, HasSubstr(" 200 ")) << "a place has become free";
}

// A connection whose answer has been read is gone with its client, not seconds later.
TEST_F(OnASocket, ShortConnectionsDoNotPileUp) {
  server_.reset();
  http_.connections = 20;
  start();
  const std::string ask_health = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    while (ask(ask_health).find(" 200 ") == std::string::npos && ++refused < 300) {
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  EXPECT_LT(refused, 300) << "a place has to become free within milliseconds";
}

// A body with up to three changes.
std::string changed(std::string body, base::Rng& rng) {
  for (uint64_t changes = rng.below(4); changes > 0; --changes) {
    const size_t at = rng.below(body.size());
    const auto kind = rng.below(3);
    if (kind == 0) body[at] = static_cast<char>(rng.below(256));
    if (kind == 1) body.erase(at, 1 + rng.below(8));
    if (kind == 2) body.insert(at, body.substr(rng.below(body.size()), rng.below(20)));
    if (body.empty()) body = "{";
  }
  return body;
}

// How many changed bodies a test sends: more where there is time (`make test-deep`).
int mutations() {
  const char* wish = std::getenv("DSMOE_MUTATIONS");
  return wish == nullptr ? 500 : std::atoi(wish);
}

// While strangers send whatever they like, torn at any byte, a stream says what it says alone, over and over, and
// nobody gets a 5xx.
TEST_F(OnASocket, NobodyDisturbsAStream) {
  const std::string alone = told(ask(post("/v1/completions", kCanary, kClose)));
  ASSERT_GT(alone.size(), 100u);
  std::atomic<bool> over{false};
  int songs = 0, disturbed = 0;
  std::thread canary([&] {
    do {
      disturbed += told(ask(post("/v1/completions", kCanary, kClose))) != alone;
      ++songs;
    } while (!over);
  });
  const auto require_answer = [&](const testing::Killer& killer, const std::string& answer) {
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 ")) << killer.path << " " << killer.body.substr(0, 200);
    if (answer.size() < 10) return;
    EXPECT_NE(answer[9], '5') << killer.path << " " << killer.body.substr(0, 200) << "\n" << answer;
    EXPECT_EQ(answer[9] == '4', answer.find("\"error\"") != std::string::npos) << answer;
  };
  const std::vector<testing::Killer> killers = testing::killers();
  EXPECT_GE(killers.size(), 80u);
  for (const testing::Killer& killer : killers) require_answer(killer, ask(post(killer.path, killer.body, kClose)));
  std::vector<testing::Killer> bodies = {
      {"/v1/completions", R"({"prompt": "x", "max_tokens": 40, "n": 3, "logprobs": 5, "echo": true})"},
      {"/v1/completions",
       R"({"prompt": [[1, 2, 3], [4]], "max_tokens": 5, "stop": ["a"], "logit_bias": {"5": 3}, "seed": 7})"},
      {"/v1/completions",
       R"({"prompt": "x", "max_tokens": 3, "stream": true, "stream_options": {"include_usage": true}})"},
      {"/v1/completions",
       R"({"prompt": "x", "max_tokens": 9, "response_format": {"type": "json_object", "schema": {"enum": [1, "a"]}}})"}};
  for (const testing::Killer& killer : killers) {
    if (killer.body.size() < 500) bodies.push_back(killer);
  }
  base::Rng rng(3);
  int answered = 0;
  for (int i = 0; i < mutations(); ++i) {
    testing::Killer killer = bodies[rng.below(2) == 0 ? rng.below(4) : rng.below(bodies.size())];
    killer.body = changed(killer.body.empty() ? "{" : killer.body, rng);
    std::string request = post(killer.path, killer.body, kClose);
    const bool torn = rng.below(4) == 0;
    if (torn) request.resize(rng.below(request.size()));
    Client client(server_->port());
    client.send(request);
    if (torn || rng.below(8) == 0) continue;  // it leaves without waiting
    require_answer(killer, client.read());
    ++answered;
  }
  over = true;
  canary.join();
  EXPECT_GT(answered, mutations() / 2);
  EXPECT_GE(songs, 2);
  EXPECT_EQ(disturbed, 0) << "of " << songs;
}

TEST_F(OnASocket, WhoLeavesFreesTheSlot) {
  for (const bool stream : {true, false}) {
    Client client(server_->port());
    const std::string body = R"({"prompt": "x", "max_tokens": 290, "ignore_eos": true, "stream": )" +
                             std::string(stream ? "true}" : "false}");
    client.send(post("/v1/completions", body));
    if (stream) client.read("data: ");
    client.leave();
  }
  service_->drain(std::chrono::seconds(20));
  for (const base::Json& line : log()) {
    if (line["status"] == 499) {
      EXPECT_LT(line["completion_tokens"], 290);
    }
  }
  EXPECT_THAT(log(),
              ::testing::Contains(::testing::Truly([](const base::Json& line) { return line["status"] == 499; })));
}

TEST_F(OnASocket, DrainingLetsAnswersEndAndCutsWhatTakesTooLong) {
  Client client(server_->port());
  client.send(post("/v1/completions", kCanary, kClose));
  client.read("data: ");
  service_->drain(milliseconds(0));
  EXPECT_THAT(ask(post("/v1/completions", kCanary, kClose)), StartsWith("HTTP/1.1 503 "));
  const std::string rest = client.read();
  EXPECT_TRUE(rest.find("[DONE]") != std::string::npos || rest.find("\"error\"") != std::string::npos) << rest;
  server_->drain(std::chrono::seconds(5));
}

TEST_F(OnASocket, APortInUseIsRefused) {
  HttpOptions same = http_;
  same.port = server_->port();
  EXPECT_THAT(base::message_of([&] { HttpServer(same, [](const auto&, auto) {}); }), HasSubstr("cannot listen"));
  same.host = "example.org";
  EXPECT_THAT(base::message_of([&] { HttpServer(same, [](const auto&, auto) {}); }), HasSubstr("address"));
}

}  // namespace
}  // namespace dsmoe::serve
