// Answers in any pieces, times against a clock that is given, addresses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"
#include "traffic/answer_reader.h"
#include "traffic/figures.h"
#include "traffic/load.h"

namespace dsmoe::traffic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Read {
  int status = 0;
  bool complete = false;
  std::string body;
  std::vector<std::string> events;
};

Read read(const std::string& answer, size_t piece, bool closes = false) {
  Read out;
  AnswerReader reader([&](std::string_view data) { out.events.emplace_back(data); });
  for (size_t at = 0; at < answer.size(); at += piece) reader.take(std::string_view(answer).substr(at, piece));
  if (closes) reader.close();
  out.status = reader.status(), out.complete = reader.complete(), out.body = reader.body();
  return out;
}

TEST(AnswerReader, TakesAnAnswerInAnyPieces) {
  const std::string events = "data: {\"a\": 1}\n\n: ping\n\ndata:{\"b\": 2}\r\n\r\ndata: [DONE]\n\n";
  std::string chunks = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < events.size(); at += 7) {
    const std::string piece = events.substr(at, 7);
    chunks += std::to_string(piece.size()) + ";x=y\r\n" + piece + "\r\n";
  }
  chunks += "0\r\nTrailer: 1\r\n\r\n";
  for (const size_t piece : {1, 2, 3, 10, 1000}) {
    const Read whole = read("HTTP/1.1 404 Not Found\r\ncontent-length:  5 \r\n\r\nhello", piece);
    EXPECT_EQ(whole.status, 404);
    EXPECT_TRUE(whole.complete);
    EXPECT_EQ(whole.body, "hello");
    const Read stream = read(chunks, piece);
    EXPECT_TRUE(stream.complete);
    EXPECT_THAT(stream.events, ElementsAre("{\"a\": 1}", "{\"b\": 2}", "[DONE]"));
    const Read to_the_end = read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nall of it", piece, true);
    EXPECT_TRUE(to_the_end.complete);
    EXPECT_EQ(to_the_end.body, "all of it");
  }
}

TEST(AnswerReader, RefusesWhatIsNoneOrNotWhole) {
  const auto fault = [](const std::string& answer) {
    return base::message_of([&] { read(answer, answer.size(), true); });
  };
  EXPECT_THAT(fault("SSH-2.0-OpenSSH_9\r\n\r\n"), HasSubstr("must begin with HTTP/1.1"));
  EXPECT_THAT(fault("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"), HasSubstr("before the answer was whole"));
  EXPECT_THAT(fault("HTTP/1.1 200 OK\r\nContent-Length: -9\r\n\r\n"), HasSubstr("a length must be a number"));
  EXPECT_THAT(fault("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n"), HasSubstr("chunk"));
  EXPECT_THAT(fault("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HasSubstr("before the answer was whole"));
  EXPECT_THAT(fault(""), HasSubstr("before the answer was whole"));
}

TEST(Figures, CountFromWhenARequestWasDue) {
  const std::vector<Served> all = {
      {0, 2, {0.5, 1, 2}, 6, 200, Outcome::kComplete, ""},  // two tokens to a piece
      {1, 5, {3, 4, 5}, 3, 200, Outcome::kComplete, ""},    // a piece of it in time
      {1, 4, {2}, 1, 200, Outcome::kLate, ""},              //
      {2, 2.01, {}, 0, 429, Outcome::kRefused, ""},         //
      {2, 3, {}, 0, 500, Outcome::kFailed, "x"},
  };
  const LoadFigures f = figures_of(all, 3);
  EXPECT_THAT((std::vector<int64_t>{f.asked, f.complete, f.refused, f.late, f.failed}), ElementsAre(5, 2, 1, 1, 1));
  EXPECT_NEAR(f.requests_per_second, 1 / 3.0, 1e-12);
  EXPECT_NEAR(f.tokens_per_second, (6 + 1 + 1) / 3.0, 1e-12);
  EXPECT_NEAR(f.goodput, (6 + 1) / 3.0, 1e-12);
  EXPECT_EQ(f.first_token.p50, 0.5);
  EXPECT_EQ(f.first_token.most, 2);
  EXPECT_EQ(f.between_tokens.most, 1);
  EXPECT_EQ(f.whole.most, 4);
  EXPECT_NEAR(f.refusal.p99, 0.01, 1e-12);
  EXPECT_EQ(figures_of({}, 3).tokens_per_second, 0);
}

TEST(Server, IsAnAddressOverHttp) {
  for (const char* url : {"", "localhost:80", "https://localhost", "http://", "http://a/b", "http://u@localhost",
                          "http://localhost:80/v2", "http://a b"}) {
    EXPECT_THAT(base::message_of([&] { Server(url, ""); }), HasSubstr("is written http://HOST:PORT")) << url;
  }
  const std::string asked = Server("http://127.0.0.1:8080/v1/", "secret").request("GET", "/health", "");
  EXPECT_THAT(asked, HasSubstr("\r\nHost: 127.0.0.1:8080\r\n"));
  EXPECT_THAT(asked, HasSubstr("\r\nAuthorization: Bearer secret\r\n"));
  EXPECT_THAT(base::message_of([] { Server("http://127.0.0.1:1", "").ask("GET", "/", ""); }), HasSubstr("refused"));
}

TEST(SaysTextAlone, OnlyWhereNothingElseMustBeRead) {
  EXPECT_TRUE(says_text_alone(R"({"choices":[{"index":0,"text":" a","finish_reason":null}]})"));
  EXPECT_TRUE(says_text_alone(R"({"choices":[{"index":0,"text":"\"error\":\"usage\":1"}],"usage":null})"));
  EXPECT_FALSE(says_text_alone(R"({"choices":[{"index":0,"text":""}]})")) << "no text";
  EXPECT_FALSE(says_text_alone(R"({"choices":[{"index":0,"text":"a"}],"usage":{"completion_tokens":3}})"));
  EXPECT_FALSE(says_text_alone(R"({"error":{"message":"x"},"choices":[{"text":"a"}]})"));
  EXPECT_FALSE(says_text_alone(R"({"choices":[{"delta":{"content":"a"}}]})")) << "a chat's event is parsed";
  EXPECT_FALSE(says_text_alone(R"({"choices":[],"note":"\"text\":\"a"})")) << "a name within a text is none";
}

}  // namespace
}  // namespace dsmoe::traffic
