// What a page shows of the records that `study routing` leaves in a run's folder.
#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"
#include "base/test_files.h"
#include "charts/testing.h"
#include "corpus/test_corpus.h"
#include "study/expert_order.h"
#include "study/report.h"
#include "study/routing_study.h"
#include "study/routing_testing.h"

namespace dsmoe::study {
namespace {

using base::Json;
using charts::cells_of, charts::data_of, charts::hatched_of, charts::marks_of, charts::matches;
using ::testing::Contains, ::testing::ElementsAre, ::testing::HasSubstr, ::testing::IsEmpty, ::testing::Not;

/// Experts 0 to 3 read the first two domains, 4 to 7 the others, and token 1 goes to expert 0 where it can.
RoutingStudy two_halves() {
  const testing::TraceShape shape{};
  RoutingStudy study = examine(testing::make_trace(shape, [&](base::Rng& rng, size_t domain, size_t) {
    std::vector<double> weights(8, 0.01);
    for (size_t e = domain < 2 ? 0 : 4; e < (domain < 2 ? 4u : 8u); ++e) weights[e] = 1;
    return testing::draw(rng, shape, weights);
  }));
  ExpertSimilarity similarity{8, std::vector<int64_t>(64, 0), std::vector<double>(64, 0)};
  similarity.counts[similarity.at(0, 1)] = 20;
  similarity.cosines[similarity.at(0, 1)] = 15;
  similarity.counts[similarity.at(0, 2)] = 3;
  similarity.cosines[similarity.at(0, 2)] = 3;
  study.similarity = {similarity};
  return study;
}

/// Tokens "a", "<b>" and a line's end, in layers 1 and 2, two of five experts each.
TextRouting three_tokens() {
  return {{1, 2},
          5,
          2,
          {7, 8, 9},
          {{4, 0, 4, 1, 2, 3}, {1, 0, 1, 2, 1, 3}},
          {{.5, .25, .75, .125, .5, .5}, {1, 0, 1, 0, 1, 0}}};
}

RouterSaturation settling() {
  return {{1, 2},
          8,
          2,
          100,
          {{0, {0.25, 0.25}, {0.25, 0.25}}, {50, {0.75, 0.5}, {0.25, 0.25}}, {100, {1, 1}, {0.25, 0.25}}}};
}

class RoutingPage : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.write("metrics.jsonl", "{\"step\":1,\"tokens\":100,\"loss\":9.0}\n");
    const tokenizer::Tokenizer tokenizer(corpus::byte_tokenizer());
    write("routing.json", to_json(two_halves(), &tokenizer));
    Json text = to_json(three_tokens(), nullptr, kLongestRecord);
    text["texts"] = {"a", "<b>", "\n"};
    write("routing_text.json", text);
    write("routing_checkpoints.json", to_json(settling()));
  }
  void write(const std::string& name, const Json& json) { folder_.write(name, base::dump_json(json)); }
  Json read(const std::string& name) const { return base::parse_json(base::read_file(folder_ / name), name); }
  RunReport run() const { return read_run(folder_.path()); }
  std::string page() const { return render_report({run()}, "t"); }
  /// The part of the page from a figure's title to its end.
  static std::string figure(const std::string& page, const std::string& title) {
    const size_t at = page.find("<figcaption>" + title);
    EXPECT_NE(at, std::string::npos) << title;
    return at == std::string::npos ? "" : page.substr(at, page.find("</figure>", at) - at);
  }
  base::TestFolder folder_;
};

TEST_F(RoutingPage, EveryFigureIsThereWithItsNumbers) {
  std::vector<std::string> titles;
  const std::string html = page();
  const Json data = data_of(html);
  for (const Json& figure : data.at("figures")) {
    titles.push_back(figure.at("title"));
    EXPECT_FALSE(figure.at("rows").empty()) << titles.back();
  }
  const std::string name = folder_.path().filename();
  for (const std::string& title :
       {std::string("What a token\u2019s experts tell of its domain"), std::string("What one pick tells of the domain"),
        "Which tokens each expert takes, " + name, "Experts picked together, " + name + ", layer 0",
        "How alike experts are, " + name + ", layer 0", "A text by its experts, " + name,
        "Choices that the last checkpoint makes too, " + name}) {
    EXPECT_THAT(titles, Contains(title));
  }
  EXPECT_EQ(matches(html, "<script").size(), 1u) << "only the data block";
}

TEST_F(RoutingPage, ARecordOfCountsAloneIsEnough) {
  Json counts = read("routing.json");
  for (const char* key : {"by_layer", "experts", "pairs", "cut"}) counts.erase(key);
  write("routing.json", counts);
  const std::string html = page();
  EXPECT_THAT(html, HasSubstr("bits an expert tells of the domain"));
  EXPECT_THAT(html, Not(HasSubstr("Experts picked together")));
}

TEST_F(RoutingPage, PairsSayHowOftenAndHowAlikeTheyAre) {
  const std::string html = page();
  const auto together = cells_of(figure(html, "Experts picked together"));
  EXPECT_EQ(together.size(), 8u * 7u) << "none against itself";
  const double lift = run().findings.pairs.at(0).lifts[0][1];
  EXPECT_GT(lift, 1.5);
  EXPECT_LT(run().findings.pairs.at(0).lifts[0][4], 0.5);
  const auto alike = cells_of(figure(html, "How alike experts are"));
  EXPECT_EQ(alike.at("0, expert 1: cosine 0.75").strength, 0.75);
  EXPECT_EQ(alike.at("1, expert 0: cosine 0.75").strength, 0.75);
  EXPECT_EQ(alike.size(), 2u) << "three tokens say nothing of a pair";
  EXPECT_EQ(hatched_of(figure(html, "How alike experts are")).size(), 54u);
}

TEST_F(RoutingPage, ATokenHasTheColourOfItsFirstExpertInEachLayer) {
  const std::string text = figure(page(), "A text by its experts");
  EXPECT_EQ(matches(text, "<input type=\"radio\"").size(), 2u) << "a layer each";
  EXPECT_EQ(matches(text, "<input[^>]* checked>").size(), 1u);
  const auto tokens = matches(text, "<span style=\"--c:([^\"]*)\" title=\"([^\"]*)\">([^<]*)</span>");
  ASSERT_EQ(tokens.size(), 6u);
  EXPECT_EQ(tokens[0][2].str(), "4: 0.50, 0: 0.25");
  EXPECT_EQ(tokens[0][3].str(), "a");
  EXPECT_EQ(tokens[1][3].str(), "&lt;b&gt;");
  EXPECT_EQ(tokens[0][1].str(), tokens[1][1].str()) << "both have expert 4 first";
  EXPECT_NE(tokens[0][1].str(), tokens[2][1].str());
  EXPECT_EQ(tokens[3][1].str(), tokens[5][1].str()) << "layer 2 has expert 1 everywhere";
}

TEST_F(RoutingPage, CurvesOfCheckpointsAreTheRecords) {
  const std::string chart = figure(page(), "Choices that the last checkpoint makes too");
  const Json data = data_of(page());
  for (const Json& figure : data.at("figures")) {
    if (!figure.at("title").get<std::string>().starts_with("Choices")) continue;
    EXPECT_EQ(figure.at("rows").size(), 9u);
  }
  EXPECT_THAT(chart, HasSubstr("by chance"));
  EXPECT_THAT(chart, HasSubstr("layer 2"));
}

TEST_F(RoutingPage, DamagedRecordsAreNamed) {
  const auto refused = [&](const char* file, const std::function<void(Json&)>& damage) {
    const Json whole = read(file);
    Json json = whole;
    damage(json);
    write(file, json);
    EXPECT_THAT(base::message_of([&] { run(); }), HasSubstr(file)) << base::dump_json(json).substr(0, 300);
    write(file, whole);
  };
  refused("routing.json", [](Json& json) { json["pairs"][0]["lifts"].erase(0); });
  refused("routing.json", [](Json& json) { json["pairs"][0]["cosines"][0][0] = "x"; });
  refused("routing.json", [](Json& json) { json["pairs"] = 3; });
  refused("routing.json", [](Json& json) { json["experts"][0]["experts"].erase(0); });
  refused("routing.json", [](Json& json) { json["experts"][0]["experts"][0]["picks"] = -1; });
  refused("routing.json", [](Json& json) { json["by_layer"][0].erase("max_violation"); });
  refused("routing.json", [](Json& json) { json["by_layer"][0]["domain_of_pick"] = "x"; });
  refused("routing_text.json", [](Json& json) { json["experts"][0][0][0] = 5; });
  refused("routing_text.json", [](Json& json) { json["experts"][0][0][0] = -1; });
  refused("routing_text.json", [](Json& json) { json["weights"][1].erase(0); });
  refused("routing_text.json", [](Json& json) { json["texts"].erase(0); });
  refused("routing_text.json", [](Json& json) { json["ids"] = "x"; });
  refused("routing_checkpoints.json", [](Json& json) { json["checkpoints"][1]["chance"].erase(0); });
  refused("routing_checkpoints.json", [](Json& json) { json["checkpoints"][1]["step"] = 1.5; });
  refused("routing_checkpoints.json", [](Json& json) { json.erase("layers"); });
}

TEST(ExpertOrder, ChainsPutWhatGoesTogetherSideBySide) {
  const double nan = std::nan("");
  std::vector<std::vector<double>> closeness(6, std::vector<double>(6, 0.1));
  for (size_t e = 0; e < 6; ++e) closeness[e][e] = nan;
  for (const auto& [a, b] : {std::pair(0, 4), std::pair(4, 2), std::pair(1, 5), std::pair(5, 3)}) {
    closeness[static_cast<size_t>(a)][static_cast<size_t>(b)] =
        closeness[static_cast<size_t>(b)][static_cast<size_t>(a)] = 4;
  }
  const std::vector<size_t> order = chain_order(closeness);
  std::vector<size_t> places(6);
  for (size_t i = 0; i < 6; ++i) places[order[i]] = i;
  for (const auto& [a, b] : {std::pair(0, 4), std::pair(4, 2), std::pair(1, 5), std::pair(5, 3)}) {
    const size_t one = places[static_cast<size_t>(a)], other = places[static_cast<size_t>(b)];
    EXPECT_EQ(std::max(one, other) - std::min(one, other), 1u) << a << " and " << b;
  }
  EXPECT_THAT(chain_order({}), IsEmpty());
  EXPECT_THAT(chain_order({{nan}}), ElementsAre(0));
  EXPECT_THAT(chain_order({{nan, nan}, {nan, nan}}), ElementsAre(0, 1));
}

}  // namespace
}  // namespace dsmoe::study
