// Figures keep their numbers, pages keep hostile text harmless, counts keep their sums.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/test_files.h"
#include "study/report.h"
#include "study/svg.h"

namespace dsmoe::study {
namespace {

RoutingCounts two_domains() {
  RoutingCounts c;
  c.layers = {1, 2};
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 2;
  c.domains = {"prose", "code"};
  c.allocate();
  c.tokens = {10, 30};
  c.counts[0] = {{5, 5, 5, 5}, {15, 15, 15, 15}};  // every domain alike
  c.counts[1] = {{10, 10, 0, 0}, {0, 0, 30, 30}};  // experts of their own
  return c;
}

TEST(RoutingCounts, InformationIsZeroWhenAlikeAndLogOfDomainsWhenApart) {
  const RoutingCounts c = two_domains();
  EXPECT_NEAR(c.domain_information(0), 0, 1e-12);
  EXPECT_NEAR(c.domain_information(1), 1, 1e-12);
  EXPECT_NEAR(c.max_violation(0), 0, 1e-12);
  EXPECT_NEAR(c.max_violation(1), 0, 1e-12) << "domains weigh the same, however many tokens they have";
  EXPECT_DOUBLE_EQ(c.domain_share(1)[0][0], 0.5);
}

TEST(RoutingCounts, JsonRoundTripAndMisfits) {
  const base::Json json = to_json(two_domains());
  EXPECT_EQ(to_json(routing_counts_from_json(json, "f")), json);
  base::Json broken = json;
  broken["counts"][0][0].erase(0);
  EXPECT_THROW(routing_counts_from_json(broken, "f"), base::Error);
  broken = json;
  broken["counts"] = "many";
  EXPECT_THROW(routing_counts_from_json(broken, "f"), base::Error);
}

TEST(Svg, TicksCoverTheRangeWithRoundNumbers) {
  for (const auto& [low, high] :
       std::vector<std::pair<double, double>>{{0, 1}, {2.3, 9.1}, {-3, 0.001}, {5, 5}, {1e6, 3e6}}) {
    const auto ticks = round_ticks(low, high);
    EXPECT_LE(ticks.front(), low);
    EXPECT_GE(ticks.back(), high);
    EXPECT_GE(ticks.size(), 2u);
    EXPECT_LE(ticks.size(), 12u);
  }
}

TEST(Svg, HostileTextStaysText) {
  const std::string hostile = "<script>alert(1)</script>\"&\x01\xff";
  EXPECT_EQ(escape_html(hostile).find('<'), std::string::npos);
  EXPECT_EQ(escape_html("a\xff"
                        "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(escape_html("中文 é"), "中文 é");
  LineChart chart{hostile, "x", "y", {{hostile, {1, 2}, {3, std::nan("")}}}};
  EXPECT_EQ(draw(chart).find("<script"), std::string::npos);
}

TEST(Svg, EmptyAndNonFiniteDataStillDraw) {
  EXPECT_NE(draw(LineChart{"t", "x", "y", {}}).find("</svg>"), std::string::npos);
  const double inf = std::numeric_limits<double>::infinity();
  const std::string text = draw(LineChart{"t", "x", "y", {{"a", {1, 2, inf}, {inf, 1, 2}}}});
  EXPECT_EQ(text.find("inf"), std::string::npos);
  EXPECT_EQ(text.find("nan"), std::string::npos);
}

TEST(Report, ReadsARunAndRendersOnePage) {
  const base::TestFolder folder;
  base::fs::create_directory(folder / "samples");
  EXPECT_THROW(read_run(folder.path()), base::Error);
  folder.write("metrics.jsonl",
               "{\"step\":1,\"tokens\":100,\"loss\":9.0,\"max_vio\":0.5,\"tokens_per_s\":10}\n"
               "{\"step\":2,\"tokens\":200,\"loss\":8.5,\"max_vio\":0.25,\"tokens_per_s\":11}\n{\"type\":"
               "\"validation\",\"step\":2,\"loss\":1.0}\n");
  folder.write("eval.json", R"({"nats_per_token":2,"bits_per_byte":1.25,"tokens":10,"bytes":30,)"
                            R"("domains":{"zh":{"nats_per_token":3,"bits_per_byte":1.75,"tokens":4,"bytes":9}}})");
  folder.write("routing.json", base::dump_json(to_json(two_domains())));
  folder.write("run.toml", "seed = 3 # <default>\n");
  folder.write("samples/prose.txt", "Once </script><script>x</script>");
  const RunReport run = read_run(folder.path());
  EXPECT_EQ(run.loss.size(), 2u);
  EXPECT_EQ(run.evaluation.at(1).name, "zh");
  const std::string page = render_report({run}, "A report");
  for (const char* wanted :
       {"A report", "1.75", "layer 2", "Once &lt;/script", "seed = 3 # &lt;default&gt;", "\"max_vio\":[0.5,0.25]"}) {
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  }
  EXPECT_EQ(page.find("http://"), std::string::npos);
  EXPECT_EQ(page.find("https://"), std::string::npos);
  size_t scripts = 0;
  for (size_t at = 0; (at = page.find("<script", at)) != std::string::npos; ++at) ++scripts;
  EXPECT_EQ(scripts, 1u) << "only the data block";
  EXPECT_NE(evaluation_table({run}).find("1.750"), std::string::npos);
}

}  // namespace
}  // namespace dsmoe::study
