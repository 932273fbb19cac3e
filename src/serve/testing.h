// For this room's tests: a model of bytes on disk, listeners and writers that remember, and a client on a socket.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/test_files.h"
#include "engine/testing.h"
#include "formats/model_folder_writer.h"
#include "serve/http.h"
#include "serve/service.h"
#include "tokenizer/bpe_alphabet.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::serve::testing {

/// Bytes, <s> before every text and </s>; random weights.
inline void write_byte_model(const base::fs::path& folder, int64_t positions = 300) {
  spec::ModelConfig config = engine::testing::small_config();
  config.vocab_size = 260;
  config.max_position_embeddings = positions;
  config.bos_token_id = 256, config.eos_token_id = 257;
  const auto tensors = engine::testing::random_tensors(config, 1);
  base::fs::create_directories(folder);
  formats::ModelFolderWriter writer(folder, config, {.dtype = formats::Dtype::kF32}, base::unsynced_files);
  for (const auto& tensor : spec::tensors_of(config)) writer.append_f32(tensors.at(tensor.name).values);
  writer.finish();
  tokenizer::TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(tokenizer::bytes_to_alphabet(std::string(1, static_cast<char>(byte))));
  }
  for (const char* name : {"<s>", "</s>"}) {
    spec.added_tokens.push_back({.id = static_cast<int32_t>(spec.tokens.size()), .content = name, .special = true});
    spec.tokens.emplace_back(name);
  }
  spec.pre_tokenizer = {tokenizer::ByteLevelStep{}};
  spec.prefix = {256};
  spec.bos = 256, spec.eos = 257;
  tokenizer::save_tokenizer(spec, folder);
}

/// Remembers what it hears.
class Ear : public Listener {
 public:
  void on_start(size_t) override { ++started; }
  void on_prompt(size_t sequence, int64_t cached, std::vector<engine::TokenScore> scores) override {
    cached_tokens[sequence] = cached;
    prompt_scores[sequence] = std::move(scores);
  }
  void on_routing(size_t sequence, RoutedTokens more) override {
    EXPECT_EQ(more.first, routed[sequence].tokens()) << "without a gap";
    RoutedTokens& all = routed[sequence];
    all.layers = more.layers, all.slots = more.slots;
    all.experts.insert(all.experts.end(), more.experts.begin(), more.experts.end());
    all.affinities.insert(all.affinities.end(), more.affinities.begin(), more.affinities.end());
  }
  void on_step(size_t sequence, const engine::Step& step) override { tokens[sequence].push_back(step.token); }
  void on_finish(size_t sequence, engine::Finish finish) override { finishes[sequence] = finish; }
  void on_end() override { ended = true; }
  void on_failure(const ApiError& error) override { failure = error.status(); }

  int started = 0, failure = 0;
  bool ended = false;
  std::map<size_t, std::vector<int32_t>> tokens;
  std::map<size_t, int64_t> cached_tokens;
  std::map<size_t, std::vector<engine::TokenScore>> prompt_scores;
  std::map<size_t, engine::Finish> finishes;
  std::map<size_t, RoutedTokens> routed;
};

/// Remembers an answer, and waits for it.
class Letters : public ResponseWriter {
 public:
  void respond(HttpResponse response) override { take(std::move(response), true); }
  void begin(HttpResponse head) override { take(std::move(head), false); }
  void write(std::string piece) override {
    const std::lock_guard lock(mutex_);
    response_.body += piece;
  }
  void end(bool) override {
    const std::lock_guard lock(mutex_);
    whole_ = true;
    came_.notify_all();
  }
  void on_gone(std::function<void()>) override {}
  HttpResponse wait() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return whole_; });
    return response_;
  }

 private:
  void take(HttpResponse response, bool whole) {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(response_.status, 0) << "one answer a request";
    response_ = std::move(response);
    whole_ = whole;
    came_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable came_;
  HttpResponse response_{0};
  bool whole_ = false;
};

inline base::Json json_of(const HttpResponse& response) { return base::parse_json(response.body, "answer"); }

/// The objects of a stream of events; the last event must be [DONE].
inline std::vector<base::Json> events_of(const std::string& stream) {
  std::vector<base::Json> events;
  size_t at = 0;
  bool done = false;
  for (size_t end; (end = stream.find("\n\n", at)) != std::string::npos; at = end + 2) {
    const std::string line = stream.substr(at, end - at);
    EXPECT_TRUE(line.starts_with("data: ")) << line;
    done = line == "data: [DONE]";
    if (!done) events.push_back(base::parse_json(line.substr(6), "event"));
  }
  EXPECT_TRUE(done) << stream;
  return events;
}

/// A client that writes bytes and reads what comes, at most a minute long.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Client() { leave(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  void leave() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  /// False once the other side takes nothing more.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// All until the other side closes, or until `mark` has come.
  std::string read(std::string_view mark = {}) {
    char piece[4096];
    while (mark.empty() || read_.find(mark) == std::string::npos) {
      const ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
      if (got <= 0) break;
      read_.append(piece, static_cast<size_t>(got));
    }
    return std::exchange(read_, {});
  }

 private:
  int fd_;
  std::string read_;
};

inline std::string post(const std::string& path, const std::string& body, const std::string& more = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + more +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace dsmoe::serve::testing
