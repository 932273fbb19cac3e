// Multiple choice scored over HTTP, as lm-evaluation-harness does it with local-completions, beside `dsmoe eval
// choice`.
#include <gtest/gtest.h>

#include <fstream>

#include "apps/served_model.h"
#include "base/json.h"
#include "traffic/server.h"

namespace dsmoe::apps {
namespace {

using base::Json;

class ServeScores : public ::testing::TestWithParam<const char*> {
 protected:
  Json ask(const std::string& path, const Json& body) const {
    const auto answer = server_.ask("POST", path, base::dump_json(body));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return base::parse_json(answer.body, path);
  }
  std::vector<int32_t> tokenize(const std::string& text) const {
    return ask("/tokenize", {{"prompt", text}})["tokens"].get<std::vector<int32_t>>();
  }
  /// The request for a log-likelihood, and what the client sums: the numbers of the tokens behind the context, without
  /// that of the one which was generated. "True" where each of them is the likeliest in its place.
  std::pair<double, std::string> score(const std::string& context, const std::string& continuation) const {
    const std::vector<int32_t> whole = tokenize(context + continuation);
    const size_t begin = tokenize(context).size();
    const Json answer = ask("/v1/completions", {{"model", "bytes"},
                                                {"prompt", {whole}},
                                                {"temperature", 0},
                                                {"max_tokens", 1},
                                                {"logprobs", 1},
                                                {"seed", 1234},
                                                {"echo", true}});
    const Json& scores = answer["choices"][0]["logprobs"];
    EXPECT_EQ(scores["token_logprobs"].size(), whole.size() + 1);
    double sum = 0;
    bool greedy = true;
    for (size_t t = begin; t < whole.size(); ++t) {
      const double own = scores["token_logprobs"][t].get<double>();
      sum += own;
      for (const auto& [name, other] : scores["top_logprobs"][t].items()) greedy = greedy && other.get<double>() <= own;
    }
    return {sum, greedy ? "True" : "False"};
  }

  ServedModel served_{{}, 8192};
  traffic::Server server_{served_.url(), ""};
  base::TestFolder folder_;
};

TEST_P(ServeScores, AreThoseOfEvalToTheLastDigit) {
  const std::string task = DSMOE_SOURCE_DIR "/tests/tasks/" + std::string(GetParam());
  const Outcome scored =
      run({"eval", "choice", "-m", served_.model(), "-t", "1", task, "-o", (folder_ / "out").string()});
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  std::ifstream samples(folder_ / "out" / "samples.jsonl");
  int choices = 0;
  for (std::string line; std::getline(samples, line);) {
    const Json sample = base::parse_json(line, "samples");
    for (size_t c = 0; c < sample["resps"].size(); ++c, ++choices) {
      const Json& asked = sample["arguments"]["gen_args_" + std::to_string(c)];
      const auto [sum, greedy] = score(asked["arg_0"].get<std::string>(), asked["arg_1"].get<std::string>());
      const Json& expected = sample["resps"][c][0];
      EXPECT_EQ(sum, std::stod(expected[0].get<std::string>())) << sample["id"] << ", choice " << c;
      EXPECT_EQ(greedy, expected[1].get<std::string>());
    }
  }
  EXPECT_EQ(choices, 32) << "eight items of four choices";
}

INSTANTIATE_TEST_SUITE_P(Tasks, ServeScores, ::testing::Values("exams", "continuation"));

}  // namespace
}  // namespace dsmoe::apps
