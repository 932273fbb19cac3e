// dsmoe bench serve against a server in this process, through real sockets.
#include <gmock/gmock.h>

#include "apps/served_model.h"
#include "base/json.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

class BenchServe : public ::testing::Test {
 protected:
  void serve(serve::ServiceOptions options) { served_ = std::make_unique<ServedModel>(std::move(options), 300); }
  Outcome bench(std::vector<std::string> more, const std::string& tokens = "5") {
    std::vector<std::string> words = {"bench", "serve", served_->url(), "-p", "40", "-n", tokens};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }

  std::unique_ptr<ServedModel> served_;
};

TEST_F(BenchServe, CountsWhatAServerAnswers) {
  serve({});
  const Outcome outcome = bench({"--streams", "1,3", "--requests", "6", "--rate", "50", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const base::Json json = base::parse_json(outcome.out, "bench serve");
  EXPECT_EQ(json["model"], "bytes");
  ASSERT_EQ(json["rows"].size(), 3u);
  for (const base::Json& row : json["rows"]) {
    EXPECT_EQ(row["asked"], 6);
    EXPECT_EQ(row["complete"], 6) << row << outcome.err;
    EXPECT_GT(row["tokens_per_s"], 0);
    EXPECT_EQ(row["tokens_per_s"], row["goodput_tokens_per_s"]);
    EXPECT_GT(row["first_token_s"]["p50"], 0);
    EXPECT_GE(row["whole_s"]["max"], row["first_token_s"]["max"]);
  }
  EXPECT_EQ(json["rows"][1]["load"], "3 streams");
}

TEST_F(BenchServe, TellsRefusalsFromAnswers) {
  serve::ServiceOptions options;
  options.admission.requests = 1;
  serve(std::move(options));
  const Outcome outcome = bench({"--streams", "1", "--rate", "2000", "--requests", "40", "--json"}, "60");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const base::Json row = base::parse_json(outcome.out, "bench serve")["rows"][1];
  EXPECT_EQ(row["asked"], 40);
  EXPECT_GE(row["complete"], 1);
  EXPECT_GE(row["refused"], 1) << "a house of one, asked by forty at once";
  EXPECT_EQ(row["failed"], 0);
  EXPECT_EQ(row["complete"].get<int>() + row["refused"].get<int>(), 40);
}

TEST_F(BenchServe, IsATableForPeople) {
  serve({});
  const Outcome outcome = bench({"--streams", "2", "--requests", "2", "--load", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("| load | asked |"));
  EXPECT_THAT(outcome.out, HasSubstr("| 2 streams | 2 | 2 | 0 |"));
  EXPECT_THAT(outcome.out, HasSubstr("| 1 x capacity, "));
}

TEST(BenchServeArguments, AreRefusedByName) {
  const auto refused = [](std::vector<std::string> more, int code, const std::string& what) {
    std::vector<std::string> words = {"bench", "serve", "http://127.0.0.1:1"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(what));
  };
  refused({}, 4, "cannot");
  refused({"--rate", "0"}, 2, "--rate takes numbers above 0");
  refused({"--rate", "1,x"}, 2, "--rate takes numbers above 0");
  refused({"--load", "nan"}, 2, "--load takes numbers above 0");
  refused({"--streams", "0"}, 2, "from 1 to 1000");
  refused({"--seconds", "0"}, 2, "--seconds must be above 0");
  refused({"--deadline", "-1"}, 2, "--deadline must be above 0");
  refused({"-p", "10", "--shared-prefix", "10"}, 2, "less than -p");
  EXPECT_EQ(run({"bench", "serve"}).exit_code, 2);
  EXPECT_EQ(run({"bench", "serve", "https://example.org"}).exit_code, 2);
}

}  // namespace
}  // namespace dsmoe::apps
