// The page about runs: what it says first, that its figures are the runs' own, and that nothing of a run is lost among
// many.
#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"
#include "base/test_files.h"
#include "charts/palette.h"
#include "charts/testing.h"
#include "study/report.h"

namespace dsmoe::study {
namespace {

using charts::bars_of, charts::cells_of, charts::data_of, charts::hatched_of, charts::legend_of, charts::lines_of,
    charts::linked_file, charts::marks_of, charts::matches;
using testing::ElementsAre, testing::HasSubstr, testing::Not, testing::StartsWith;

RunReport run_of(const std::string& name, double tokens, double bits) {
  RunReport run;
  run.name = name;
  run.step = {1, 2};
  run.tokens = {tokens / 2, tokens};
  run.loss = {9, 8};
  run.max_vio = {0.5, 0.25};
  run.tokens_per_s = {10, 10};
  run.evaluation = {{"all", bits, 2, 10, 30}, {"zh", bits + 0.5, 3, 4, 9}};
  return run;
}

RunReport validated(const std::string& name, double tokens, double bits) {
  RunReport run = run_of(name, tokens, bits);
  run.evaluation.clear();
  run.validations = {{1, tokens / 2, {{"all", 2 * bits, 4 * bits, 10, 30}, {"zh", 3 * bits, 4, 4, 9}}},
                     {2, tokens, {{"all", bits, 2 * bits, 10, 30}, {"zh", 2 * bits, 3, 4, 9}}}};
  return run;
}

RoutingCounts two_domains() {
  RoutingCounts c;
  c.layers = {1, 2};
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 2;
  c.domains = {"prose", "code", "unseen"};
  c.allocate();
  c.tokens = {10, 30, 0};
  c.counts[0] = {{5, 5, 5, 5}, {15, 15, 15, 15}, {0, 0, 0, 0}};
  c.counts[1] = {{0, 10, 0, 10}, {30, 0, 30, 0}, {0, 0, 0, 0}};  // experts of their own
  return c;
}

/// The paragraph under the page's heading.
std::string first_words(const std::string& page) {
  const auto found = matches(page, "</h1>\\s*<p class=\"result\">([^<]*)</p>");
  return found.empty() ? "" : found.front()[1].str();
}

TEST(ResultSentence, NamesTheLowestAndWhatWasCompared) {
  EXPECT_EQ(result_sentence({run_of("a", 1e6, 1.25), run_of("b", 1e6, 1)}),
            "Of 2 runs on 1 M tokens each, b is lowest with 1 bits per byte on held-out text, before a 1.25.");
  EXPECT_EQ(result_sentence({run_of("a", 1e6, 1), run_of("b", 1e6, 1.00001), run_of("c", 1e6, 2)}),
            "Of 3 runs on 1 M tokens each, a and b are level at 1 bits per byte on held-out text, before c 2.");
  RunReport unmeasured = run_of("c", 1e6, 1);
  unmeasured.evaluation.clear();
  EXPECT_THAT(result_sentence({run_of("a", 1e6, 1), run_of("b", 1e6, 2), unmeasured}), HasSubstr("; not measured: c."));
}

TEST(ResultSentence, TakesWhatMostRunsHave) {
  EXPECT_THAT(result_sentence({validated("a", 1e6, 1), validated("b", 1e6, 2)}),
              HasSubstr("a is lowest with 1 bits per byte on held-out text"));
  EXPECT_EQ(
      result_sentence({validated("a", 2e6, 1.5)}),
      "a learnt from 2 M tokens in 2 steps and reaches 1.5 bits per byte on held-out text, from 3 after 1 M tokens.");
  RunReport bare = run_of("b", 1e6, 1);
  bare.evaluation.clear();
  EXPECT_THAT(result_sentence({bare}), HasSubstr("reaches 8 nats per token of training loss"));
  RunReport a = run_of("a", 1e6, 1), b = run_of("b", 1e6, 2);
  a.provenance["evaluation"]["data_hash"] = "x";
  b.provenance["evaluation"]["data_hash"] = "y";
  EXPECT_THAT(result_sentence({a, b}), HasSubstr("the scores are not of one text"));
}

TEST(ResultSentence, ManyRunsAreGivenByTheirEnds) {
  std::vector<RunReport> runs;
  for (int i = 0; i < 9; ++i) runs.push_back(run_of("run" + std::to_string(i), 1e6, 2 - 0.125 * i));
  EXPECT_EQ(result_sentence(runs),
            "Of 9 runs on 1 M tokens each, run8 is lowest with 1 bits per byte on held-out text, the other 8 run from "
            "1.125 (run7) to 2 (run0).");
}

TEST(Report, RunsOfDifferentTokensAreSaidToBeInTheFirstLine) {
  const std::vector<RunReport> unequal = {run_of("a<b", 1.14e6, 1), run_of("other", 0.71e6, 2)};
  EXPECT_THAT(first_words(render_report(unequal, "t")),
              StartsWith("These runs saw different numbers of tokens (a&lt;b 1.14 M, other 0.71 M)"));
  EXPECT_THAT(evaluation_table(unequal), StartsWith("These runs saw different numbers of tokens"));
  RunReport uncounted = run_of("uncounted", 0, 1);
  uncounted.tokens = {std::nan(""), std::nan("")};
  for (const auto& equal :
       {std::vector<RunReport>{run_of("a", 1e6, 1), run_of("b", 1e6, 2)},
        std::vector<RunReport>{run_of("a", 1e6, 1), uncounted}, std::vector<RunReport>{unequal[0]}}) {
    EXPECT_THAT(first_words(render_report(equal, "t")), Not(HasSubstr("different numbers")));
    EXPECT_NE(first_words(render_report(equal, "t")), "");
  }
}

TEST(Report, DomainsAreThoseOfAnyRun) {
  RunReport other = run_of("b", 1e6, 2);
  other.evaluation = {{"all", 2, 2, 10, 30}, {"code", 1.5, 3, 4, 9}};
  const std::string page = render_report({run_of("a", 1e6, 1), other}, "t");
  const auto bars = bars_of(page);
  EXPECT_EQ(bars.size(), 4u);
  EXPECT_NEAR(bars.at("b, code: 1.5 bits per byte"), 1.5 * bars.at("a, all: 1 bits per byte"), 2 * charts::kPlace);
  EXPECT_THAT(hatched_of(page), ElementsAre("a, code: not measured", "b, zh: not measured"));
  const std::string table = evaluation_table({run_of("a", 1e6, 1), other});
  EXPECT_THAT(table, testing::ContainsRegex("zh +1.500 +-\n"));
  EXPECT_THAT(table, testing::ContainsRegex("code +- +1.500\n"));
}

TEST(Report, ValidationsAreMarksOverTheTokensSeenWithTheTrainingLossBehindThem) {
  const std::string page = render_report({validated("a", 2e6, 1.5)}, "t");
  const auto marks = marks_of(page);
  const auto first = marks.at("a: 6 nats per token at 1 million tokens seen");
  const auto last = marks.at("a: 3 nats per token at 2 million tokens seen");
  const auto training = lines_of(page, "line pale").at("a");
  ASSERT_EQ(training.size(), 2u);
  EXPECT_NEAR(training[0].x, first.x, charts::kPlace);
  EXPECT_NEAR(training[1].x, last.x, charts::kPlace);
  EXPECT_NEAR((first.y - training[0].y) / (last.y - first.y), (9.0 - 6) / (6 - 3), 0.01);
  const base::Json rows = base::parse_json(linked_file(page, "loss.json"), "loss").at("rows");
  EXPECT_EQ(rows.at(1), (base::Json{"a", "validation", 2.0, 3.0}));
  EXPECT_THAT(bars_of(page), testing::Contains(testing::Key("a, zh: 3 bits per byte"))) << "of the last validation";
}

TEST(Report, ThirteenRunsAreToldApartAndNoneIsLost) {
  std::vector<RunReport> runs;
  for (int i = 0; i < 13; ++i) runs.push_back(validated("run" + std::to_string(i), 1e6, 1 + 0.01 * i));
  const std::string page = render_report(runs, "t");
  const std::string loss =
      page.substr(page.find("<figure id=\"loss\""), page.find("</figure>") - page.find("<figure id=\"loss\""));
  EXPECT_EQ(lines_of(loss).size(), 13u);
  EXPECT_EQ(legend_of(loss).size(), 13u);
  EXPECT_EQ(legend_of(loss).at("run12"), charts::series_colour(0));
  EXPECT_THAT(loss, HasSubstr("stroke-dasharray=\"7 3\" points")) << "the thirteenth shares a colour, not the dashes";
  const base::Json data = data_of(page);
  EXPECT_EQ(data.at("runs").size(), 13u);
  size_t in_domains = 0;
  for (const auto& figure : data.at("figures")) {
    if (figure.at("title") == "Bits per byte by domain") in_domains = figure.at("rows").size();
  }
  EXPECT_EQ(in_domains, 26u) << "a row for each run and domain";
}

TEST(Report, ExpertsStandUnderTheDomainThatTheyArePickedForMost) {
  RunReport run = run_of("a", 1e6, 1);
  run.routing = two_domains();
  const std::string page = render_report({run}, "t");
  const auto cells = cells_of(page);
  // Layer 2: prose has experts 1 and 3, code 0 and 2; prose is the first domain.
  EXPECT_EQ(cells.at("prose, expert 1: 50 % (2 times the even share)").x, 0);
  EXPECT_EQ(cells.at("prose, expert 3: 50 % (2 times the even share)").x, 25);
  EXPECT_EQ(cells.at("code, expert 0: 50 % (2 times the even share)").x, 50);
  EXPECT_TRUE(hatched_of(page).contains("unseen, expert 0: not measured"));
  run.routing->counts[1] = {{0, 0, 0, 20}, {30, 0, 30, 0}, {0, 0, 0, 0}};
  const std::string idle = render_report({run}, "t");
  EXPECT_EQ(cells_of(idle).at("prose, expert 3: 100 % (4 times the even share)").x, 0);
  EXPECT_THAT(idle, HasSubstr("<title>never picked</title>"));
}

/// A model of 8 experts that loses `rise` nats when half of them are masked.
Ablation masked(double rise) {
  Ablation study{AblationKind::kDisable, 8, 1, 2, {}};
  study.points.push_back({"0 of 8 masked", 0, {}, {}});
  study.points.push_back({"4 of 8 masked", 0.5, {}, {}});
  study.points[1].intervention.masked_top_fraction = 0.5;
  for (AblationPoint& point : study.points) {
    point.score.total.tokens = 10, point.score.total.bytes = 20;
    point.score.total.nats = point.untouched() ? 20 : 20 + 10 * rise;
  }
  return study;
}

TEST(Report, WhatIsLostWithoutExpertsIsACurveForEachRunThatWasStudied) {
  std::vector<RunReport> runs = {run_of("a", 1e6, 1), run_of("b", 1e6, 1), run_of("c", 1e6, 1)};
  runs[0].ablations.emplace(AblationKind::kDisable, masked(1));
  runs[2].ablations.emplace(AblationKind::kDisable, masked(2));
  const std::string page = render_report(runs, "t");
  const auto marks = marks_of(page);
  const auto whole = marks.at("a: 2 nats per token at 0 share of the routed experts masked");
  const auto a = marks.at("a: 3 nats per token at 0.5 share of the routed experts masked");
  const auto c = marks.at("c: 4 nats per token at 0.5 share of the routed experts masked");
  EXPECT_NEAR(whole.y - c.y, 2 * (whole.y - a.y), 3 * charts::kPlace);
  EXPECT_EQ(legend_of(page.substr(page.find("id=\"the-best-experts-masked\""))).at("c"), charts::series_colour(2));
  EXPECT_THAT(page, HasSubstr("<td>c</td><td>4 of 8 masked</td><td>4.0000</td><td>+2.0000</td>"));
  const base::TestFolder folder;
  folder.write("metrics.jsonl", "{\"step\":1,\"tokens\":100,\"loss\":9.0}\n");
  folder.write("fewer.json", base::dump_json(to_json(masked(1))));
  EXPECT_THAT(base::message_of([&] { read_run(folder.path()); }), HasSubstr("named for another study"));
}

void write_run(const base::TestFolder& folder) {
  base::fs::create_directory(folder / "samples");
  folder.write(
      "metrics.jsonl",
      "\xef\xbb\xbf{\"type\":\"start\",\"step\":0,\"parameters\":1500000}\r\n\n"
      "{\"step\":1,\"tokens\":100,\"loss\":9.0,\"max_vio\":0.5,\"tokens_per_s\":10}\n"
      "{\"step\":2,\"tokens\":200,\"loss\":8.5,\"max_vio\":0.25,\"tokens_per_s\":11}\n"
      "{\"type\":\"validation\",\"step\":2,\"nats_per_token\":8,\"bits_per_byte\":4,\"tokens\":10,\"bytes\":30}\n"
      "{\"type\":\"sample\",\"step\":2,\"text\":\"of the <of>\"}\n"
      "{\"type\":\"alarm\",\"step\":2,\"text\":\"layer 1 starves\"}\n");
  folder.write("eval.json", R"({"nats_per_token":2,"bits_per_byte":1.25,"tokens":10,"bytes":30,)"
                            R"("domains":{"zh":{"nats_per_token":3,"bits_per_byte":1.75,"tokens":4,"bytes":9}}})");
  folder.write("routing.json", base::dump_json(to_json(two_domains())));
  folder.write("disable.json", base::dump_json(to_json(masked(2))));
  folder.write("run.toml", "[train]\nseed = 3 # <default>\n");
  folder.write("samples/code.txt", "int main() { return 0; }");
  folder.write("samples/prose.txt", "Once </script><script>x</script>");
  folder.write("samples/prose.prompt", "Once \n");
}

TEST(Report, ReadsARunAndRendersOnePage) {
  const base::TestFolder folder;
  EXPECT_THROW(read_run(folder.path()), base::Error);
  write_run(folder);
  const RunReport run = read_run(folder.path());
  EXPECT_EQ(run.loss.size(), 2u);
  EXPECT_EQ(run.evaluation.at(1).name, "zh");
  EXPECT_EQ(run.validations.at(0).tokens, 200);
  const std::string page = render_report({run}, "A report", "dsmoe 1");
  for (const char* wanted : {"<h1>A report</h1>", "seed = 3 # &lt;default&gt;", "layer 1 starves"}) {
    EXPECT_THAT(page, HasSubstr(wanted));
  }
  const base::Json data = data_of(page), shown = data.at("runs").at(0);
  EXPECT_EQ(shown.at("max_vio"), (base::Json{0.5, 0.25}));
  EXPECT_EQ(shown.at("evaluation").at("zh").at("bits_per_byte"), 1.75);
  EXPECT_EQ(shown.at("routing"), to_json(two_domains()));
  EXPECT_EQ(shown.at("disable"), to_json(masked(2)));
  EXPECT_EQ(shown.at("settings").at("train.seed"), "3");
  EXPECT_EQ(data.at("provenance").at("page"), "dsmoe 1");
  EXPECT_EQ(matches(page, "<script").size(), 1u) << "only the data block";
  EXPECT_EQ(matches(page, "https?://").size(), 0u);
  EXPECT_THAT(evaluation_table({run}), HasSubstr("1.750"));
}

TEST(Report, ThePromptStandsApartFromTheSampleAndProseIsFirst) {
  const base::TestFolder folder;
  write_run(folder);
  const std::string page = render_report({read_run(folder.path())}, "t");
  EXPECT_THAT(page, HasSubstr("<p class=\"prompt\">Once </p>"));
  EXPECT_THAT(page, HasSubstr("<pre>&lt;/script&gt;&lt;script&gt;x"));
  EXPECT_LT(page.find("<h3>prose</h3>"), page.find("<h3>code</h3>"));
  EXPECT_LT(page.find("<h3>code</h3>"), page.find("of the &lt;of&gt;"));
}

TEST(Report, FoldersOfOneNameAreToldApartAndNoneIsTakenTwice) {
  const base::TestFolder folder;
  std::vector<base::fs::path> runs;
  for (const char* name : {"one/run", "two/run", "other"}) {
    base::fs::create_directories(folder / name);
    folder.write(std::string(name) + "/metrics.jsonl", "{\"step\":1,\"tokens\":100,\"loss\":9.0}\n");
    runs.push_back(folder / name);
  }
  const auto read = read_runs(runs);
  EXPECT_EQ(read.at(0).name, "one/run");
  EXPECT_EQ(read.at(1).name, "two/run");
  EXPECT_EQ(read.at(2).name, "other");
  EXPECT_EQ(read_run(folder / "other/").name, "other");
  runs.push_back(folder / "one" / ".." / "other");
  EXPECT_THAT(base::message_of([&] { read_runs(runs); }), HasSubstr("named twice"));
}

TEST(Report, ShowsTheSettingsInWhichRunsDiffer) {
  RunReport a = run_of("a", 1e6, 1), b = run_of("b", 1e6, 2);
  a.config = b.config = "x";
  a.settings = {{"train.seed", "1"}, {"train.steps", "10"}, {"output.dir", "x"}};
  b.settings = {{"train.seed", "2"}, {"train.steps", "10"}, {"output.dir", "y"}, {"model.n_group", "4"}};
  const std::string page = render_report({a, b}, "t");
  EXPECT_THAT(page, HasSubstr("<td>train.seed</td><td>1</td><td>2</td>"));
  EXPECT_THAT(page, HasSubstr("<td>model.n_group</td><td></td><td>4</td>"));
  EXPECT_THAT(page, Not(HasSubstr("<td>train.steps")));
  EXPECT_THAT(page, Not(HasSubstr("<td>output.dir")));
}

}  // namespace
}  // namespace dsmoe::study
