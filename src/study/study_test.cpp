// Figures keep their numbers, pages keep hostile text harmless, counts keep their sums.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <regex>
#include <sstream>

#include "base/error.h"
#include "base/test_files.h"
#include "charts/svg.h"
#include "study/report.h"

namespace dsmoe::study {
namespace {

using namespace charts;

constexpr double kPixel = 0.11;  // coordinates are written with one digit

struct Point {
  double x, y;
};
using Points = std::vector<Point>;

struct Cell {
  std::string colour;
  double strength;
  bool operator==(const Cell&) const = default;
};

/// Every match of a pattern in a page, as its groups.
std::vector<std::smatch> matches(const std::string& page, const char* pattern) {
  const std::regex expression(pattern);
  return {std::sregex_iterator(page.begin(), page.end(), expression), std::sregex_iterator()};
}

/// What charts show, in pixels: a line's points by the name of its series, where two charts have one the last.
std::map<std::string, Points> lines_of(const std::string& page) {
  std::map<std::string, Points> lines;
  for (const auto& line : matches(page, "points=\"([^\"]*)\"><title>([^<]*)</title></polyline>")) {
    std::istringstream text(line[1]);
    Points points;
    char comma = 0;
    for (Point p{}; text >> p.x >> comma >> p.y;) points.push_back(p);
    lines[line[2]] = points;
  }
  return lines;
}

/// A bar's length by what it says.
std::map<std::string, double> bars_of(const std::string& page) {
  std::map<std::string, double> bars;
  for (const auto& bar : matches(page, "width=\"([0-9.]+)\" height=\"11\" fill=\"[^\"]*\"><title>([^<]*)</title>")) {
    bars[bar[2]] = std::stod(bar[1]);
  }
  return bars;
}

/// A heat map's cell by what it says.
std::map<std::string, Cell> cells_of(const std::string& page) {
  std::map<std::string, Cell> cells;
  for (const auto& cell : matches(page, "fill=\"([^\"]*)\" fill-opacity=\"([0-9.]+)\"><title>([^<]*)</title>")) {
    cells[cell[3]] = {cell[1], std::stod(cell[2])};
  }
  return cells;
}

/// The numbers that a page carries for machines.
base::Json data_of(const std::string& page) {
  const std::string opening = "id=\"data\">";
  const size_t begin = page.find(opening) + opening.size();
  return base::parse_json(page.substr(begin, page.find("</script>", begin) - begin), "the page's data");
}

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

TEST(Svg, LinesRunThroughTheirPointsAndLeaveOutWhatIsNotFinite) {
  EXPECT_EQ(lines_of(draw(LineChart{"t", "x", "y", {}})).size(), 0u);
  const double inf = std::numeric_limits<double>::infinity();
  const auto lines = lines_of(draw(LineChart{
      "t", "x", "y", {{"a", {0, 1, 2, inf, 4}, {10, inf, 30, 40, 50}}, {"b", {0, 1, 3}, {50, std::nan(""), 20}}}}));
  ASSERT_EQ(lines.size(), 2u);
  ASSERT_EQ(lines.at("a").size(), 3u);
  ASSERT_EQ(lines.at("b").size(), 2u);
  // One scale for all: a unit of x and of y is as many pixels from any point to any other, and y grows upwards.
  const Points &a = lines.at("a"), &b = lines.at("b");
  const double unit_x = (a[2].x - a[0].x) / 4, unit_y = (a[2].y - a[0].y) / 40;
  EXPECT_GT(unit_x, 0);
  EXPECT_LT(unit_y, 0);
  EXPECT_NEAR(a[1].x, a[0].x + 2 * unit_x, kPixel);
  EXPECT_NEAR(a[1].y, a[0].y + 20 * unit_y, kPixel);
  EXPECT_NEAR(b[0].y, a[2].y, kPixel);
  EXPECT_NEAR(b[1].x, a[0].x + 3 * unit_x, kPixel);
  EXPECT_NEAR(b[1].y, a[0].y + 10 * unit_y, kPixel);
}

TEST(Svg, BarsAreAsLongAsTheirValues) {
  const auto bars = bars_of(draw(BarChart{"t", "bits", {"prose", "code"}, {"a", "b"}, {{1, 2}, {0.5, std::nan("")}}}));
  ASSERT_EQ(bars.size(), 3u) << "no bar for what was not measured";
  EXPECT_NEAR(bars.at("a, code: 2 bits"), 2 * bars.at("a, prose: 1 bits"), kPixel);
  EXPECT_NEAR(bars.at("a, code: 2 bits"), 4 * bars.at("b, prose: 0.5 bits"), kPixel);
}

TEST(Svg, CellsSayTheirShareAndAreAsStrongAsItDiffersFromEven) {
  const auto cells =
      cells_of(draw(HeatMap{"t", "layer", "expert", {"layer 3"}, {"0", "1", "2", "3"}, {{0.25, 0.5, 0.125, 0.125}}}));
  ASSERT_EQ(cells.size(), 4u);
  EXPECT_EQ(cells.at("layer 3, expert 0: 25 % (1 times the even share)"), (Cell{"var(--above)", 0}));
  EXPECT_EQ(cells.at("layer 3, expert 1: 50 % (2 times the even share)"), (Cell{"var(--above)", 0.5}));
  EXPECT_EQ(cells.at("layer 3, expert 3: 12.5 % (0.5 times the even share)"), (Cell{"var(--below)", 0.5}));
}

/// Text of the page from the end of its heading on.
std::string under_heading(const std::string& page) {
  const size_t end = page.find("</h1>");
  return end == std::string::npos ? "" : page.substr(end + 6);
}

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

TEST(Report, RunsOfDifferentTokensAreSaidToBeInTheFirstLine) {
  const std::vector<RunReport> unequal = {run_of("a<b", 1.14e6, 1), run_of("other", 0.71e6, 2)};
  EXPECT_TRUE(under_heading(render_report(unequal, "t"))
                  .starts_with("<p><b>These runs saw different numbers of tokens (a&lt;b 1.14 M, other 0.71 M)"));
  EXPECT_TRUE(evaluation_table(unequal).starts_with("These runs saw different numbers of tokens"));
  RunReport uncounted = run_of("uncounted", 0, 1);
  uncounted.tokens = {std::nan(""), std::nan("")};
  for (const auto& equal :
       {std::vector<RunReport>{run_of("a", 1e6, 1), run_of("b", 1e6, 2)},
        std::vector<RunReport>{run_of("a", 1e6, 1), uncounted}, std::vector<RunReport>{unequal[0]}}) {
    EXPECT_TRUE(under_heading(render_report(equal, "t")).starts_with("<table>"));
    EXPECT_TRUE(evaluation_table(equal).starts_with("bits per byte"));
  }
}

TEST(Report, ChartsShowTheRunsFigures) {
  const std::string page = render_report({run_of("a", 1e6, 1), run_of("b", 1e6, 2)}, "t");
  const auto bars = bars_of(page);
  EXPECT_EQ(bars.size(), 4u);
  EXPECT_NEAR(bars.at("b, zh: 2.5 bits per byte"), 2.5 * bars.at("a, all: 1 bits per byte"), 2 * kPixel);
  EXPECT_TRUE(bars.contains("a, zh: 1.5 bits per byte"));
  const auto lines = lines_of(page.substr(page.find("<h2>Learning")));
  EXPECT_EQ(lines.at("a").size(), 2u);
  const base::Json runs = data_of(page).at("runs");
  EXPECT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].at("loss"), (base::Json{9.0, 8.0}));
  EXPECT_EQ(runs[0].at("evaluation").at("zh").at("bits_per_byte"), 1.5);
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
  for (const char* wanted : {"<h1>A report</h1>", "Once &lt;/script", "seed = 3 # &lt;default&gt;"}) {
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  }
  const base::Json shown = data_of(page).at("runs").at(0);
  EXPECT_EQ(shown.at("max_vio"), (base::Json{0.5, 0.25}));
  EXPECT_EQ(shown.at("evaluation").at("zh").at("bits_per_byte"), 1.75);
  EXPECT_EQ(shown.at("routing"), to_json(two_domains()));
  const auto cells = cells_of(page);
  EXPECT_EQ(cells.at("layer 2, expert 0: 25 % (1 times the even share)"), (Cell{"var(--above)", 0}));
  EXPECT_EQ(cells.at("prose, expert 0: 50 % (2 times the even share)"), (Cell{"var(--above)", 0.5}));
  EXPECT_EQ(page.find("http://"), std::string::npos);
  EXPECT_EQ(page.find("https://"), std::string::npos);
  size_t scripts = 0;
  for (size_t at = 0; (at = page.find("<script", at)) != std::string::npos; ++at) ++scripts;
  EXPECT_EQ(scripts, 1u) << "only the data block";
  EXPECT_NE(evaluation_table({run}).find("1.750"), std::string::npos);
}

}  // namespace
}  // namespace dsmoe::study
