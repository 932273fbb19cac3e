// Figures keep their numbers, stay inside their axes, and a page keeps hostile text harmless.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "charts/bars.h"
#include "charts/heat_map.h"
#include "charts/lines.h"
#include "charts/page.h"
#include "charts/palette.h"
#include "charts/picked.h"
#include "charts/scale.h"
#include "charts/testing.h"
#include "charts/text.h"

namespace dsmoe::charts {
namespace {

using testing::Each, testing::ElementsAre, testing::HasSubstr, testing::Not;

TEST(Scale, TicksAreRoundAndWithinTheRange) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {0, 1}, {2.3, 9.1}, {-3, 0.001}, {4.9, 5.1}, {1e6, 3e6}, {0.9971, 0.9979}}) {
    const auto ticks = round_ticks(low, high);
    EXPECT_GE(ticks.front(), low - 1e-12 * std::abs(low));
    EXPECT_LE(ticks.back(), high + 1e-12 * std::abs(high));
    EXPECT_GE(ticks.size(), 2u) << low;
    EXPECT_LE(ticks.size(), 12u);
  }
  EXPECT_EQ(round_ticks(5, 5).size(), 1u);
  EXPECT_THAT(round_ticks(0, 3, 5, 1), ElementsAre(0, 1, 2, 3)) << "layers have no halves";
}

TEST(Lines, BetweenWholeNumbersThereIsNoTick) {
  const auto svg = [](double last) {
    return draw(LineChart{"t", "layer", "y", {{"a", {0, 1, last}, {5, 6, 7}}}}).drawing;
  };
  EXPECT_THAT(svg(2), Not(HasSubstr(">0.5<")));
  EXPECT_THAT(svg(2.5), HasSubstr(">0.5<"));
}

TEST(Text, HostileTextStaysText) {
  const std::string hostile = "<script>alert(1)</script>\"&\x01\xff";
  EXPECT_THAT(escape_html(hostile), Not(HasSubstr("<")));
  EXPECT_EQ(escape_html("a\xff"
                        "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(escape_html("中文 é"), "中文 é");
  Page page(hostile, {{"model", hostile}});
  page.add(draw(LineChart{hostile, "x", "y", {{hostile, {1, 2}, {3, std::nan("")}}}}));
  page.add(draw(BarChart{hostile, hostile, {hostile}, {hostile}, {{1}}}));
  page.add(draw(HeatMap{hostile, "layer", "expert", {hostile}, {"0"}, {{1}}}));
  const std::string html = page.html({{"text", "</script><!--<script>"}});
  EXPECT_EQ(matches(html, "<script").size(), 1u) << "only the data block";
  EXPECT_EQ(data_of(html).at("text"), "</script><!--<script>");
}

TEST(Lines, RunThroughTheirPointsAndLeaveOutWhatIsNotFinite) {
  EXPECT_EQ(lines_of(draw(LineChart{"t", "x", "y"}).drawing).size(), 0u);
  const double inf = std::numeric_limits<double>::infinity();
  const auto lines = lines_of(
      draw(LineChart{"t", "x", "y", {{"a", {0, 1, 2, inf, 4}, {10, inf, 30, 40, 50}}, {"b", {0, 1, 3}, {50, NAN, 20}}}})
          .drawing);
  ASSERT_EQ(lines.size(), 2u);
  ASSERT_EQ(lines.at("a").size(), 3u);
  ASSERT_EQ(lines.at("b").size(), 2u);
  // One scale for all: a unit of x and of y is as much from any point to any other, and y grows upwards.
  const Points &a = lines.at("a"), &b = lines.at("b");
  const double unit_x = (a[2].x - a[0].x) / 4, unit_y = (a[2].y - a[0].y) / 40;
  EXPECT_GT(unit_x, 0);
  EXPECT_LT(unit_y, 0);
  EXPECT_NEAR(a[1].x, a[0].x + 2 * unit_x, kPlace);
  EXPECT_NEAR(a[1].y, a[0].y + 20 * unit_y, kPlace);
  EXPECT_NEAR(b[0].y, a[2].y, kPlace);
  EXPECT_NEAR(b[1].x, a[0].x + 3 * unit_x, kPlace);
  EXPECT_NEAR(b[1].y, a[0].y + 10 * unit_y, kPlace);
}

// A curve that falls from far above, with a spike later on.
Series falling() {
  Series series{"a", {}, {}};
  for (int i = 0; i < 100; ++i) {
    series.x.push_back(i);
    series.y.push_back(i == 60 ? 30 : 4 + 20 / (1.0 + i * i));
  }
  return series;
}

TEST(Lines, StayInsideTheAxesAndMarkWhatIsAbove) {
  const Figure figure = draw(LineChart{"t", "x", "y", {falling()}, {{"a", {0, 50}, {24, 4.1}}}});
  for (const char* kind : {"line", "line pale"}) {
    for (const auto& [name, points] : lines_of(figure.drawing, kind)) {
      for (const Point& p : points) {
        EXPECT_GE(p.y, 0);
        EXPECT_LE(p.y, 100);
      }
    }
  }
  // The curve leaves and comes back through the edge, at the spike twice.
  const Points line = lines_of(figure.drawing, "line pale").at("a");
  EXPECT_EQ(std::count_if(line.begin(), line.end(), [](const Point& p) { return p.y == 0; }), 3);
  EXPECT_THAT(clipped_of(figure.drawing),
              ElementsAre(HasSubstr("a: 24 y at 0 x"), HasSubstr("a: 30 y at 60 x"), HasSubstr("a: 24 y at 0 x")));
  EXPECT_THAT(figure.note, HasSubstr("up to 30"));
  EXPECT_THAT(marks_of(figure.drawing), testing::SizeIs(1)) << "no mark is drawn where its value is not";
  EXPECT_EQ(figure.numbers.rows.at(0).at(3), 24.0) << "the numbers are not cut";
}

TEST(Lines, ASeriesHasOneColourInAllThatIsDrawnOfIt) {
  LineChart chart{"t", "x", "y", {{"b", {0, 1}, {5, 4}}, {"a", {0, 1}, {2, 1}}}, {{"a", {1}, {1.5}}}};
  chart.names = {"a", "none", "b"};
  const std::string drawing = draw(chart).drawing;
  const auto legend = legend_of(drawing);
  EXPECT_EQ(legend.at("a"), series_colour(0));
  EXPECT_EQ(legend.at("b"), series_colour(2));
  EXPECT_FALSE(legend.contains("none"));
  EXPECT_LT(drawing.find("a <b>1.5</b>"), drawing.find("b <b>4</b>")) << "the lowest first";
  EXPECT_THAT(drawing, HasSubstr("stroke=\"" + series_colour(2) + "\" points"));
}

TEST(Palette, TellsThirtySixSeriesApart) {
  std::set<std::string> entries;
  for (size_t i = 0; i < 36; ++i) entries.insert(legend_entry(i, ""));
  EXPECT_EQ(entries.size(), 36u);
  EXPECT_EQ(matches(palette_css(), "--series-[0-9]+: #[0-9a-f]{6};").size(), 24u) << "twelve colours, light and dark";
}

TEST(Bars, AreAsLongAsTheirValuesAndHatchedWhereNothingWasMeasured) {
  const Figure figure = draw(BarChart{"t", "bits", {"prose", "code"}, {"a", "b"}, {{1, 2}, {0.5, std::nan("")}}});
  const auto bars = bars_of(figure.drawing);
  ASSERT_EQ(bars.size(), 3u);
  EXPECT_NEAR(bars.at("a, code: 2 bits"), 2 * bars.at("a, prose: 1 bits"), kPlace);
  EXPECT_NEAR(bars.at("a, code: 2 bits"), 4 * bars.at("b, prose: 0.5 bits"), kPlace);
  EXPECT_THAT(hatched_of(figure.drawing), ElementsAre("b, code: not measured"));
  EXPECT_LT(figure.drawing.find("b, prose"), figure.drawing.find("a, prose")) << "the shortest series first";
  EXPECT_EQ(figure.numbers.csv(), "series,label,bits\nb,prose,0.5\nb,code,\na,prose,1.0\na,code,2.0\n");
}

TEST(Dots, RowsGoFromTheLowestMeanAndShowTheirValuesOnOneScale) {
  DotChart chart{
      "t", "nats", {{"none", {}, {}}, {"high", {"seed 1", "seed 2"}, {4.2, 4.4}}, {"low", {"seed 1"}, {4.1}}}};
  const std::string drawing = draw(chart).drawing;
  EXPECT_THAT(row_names_of(drawing), ElementsAre("low", "high", "none", ""));
  EXPECT_THAT(hatched_of(drawing), ElementsAre("none: not measured"));
  const auto marks = marks_of(drawing);
  const double low = marks.at("low, seed 1: 4.1 nats").x, middle = marks.at("high, seed 1: 4.2 nats").x;
  EXPECT_NEAR(marks.at("high, seed 2: 4.4 nats").x - middle, 2 * (middle - low), 3 * kPlace);
  chart.coloured = true;
  EXPECT_THAT(row_names_of(draw(chart).drawing), ElementsAre("none", "high", "low", ""));
  EXPECT_EQ(legend_of(draw(chart).drawing).at("seed 2"), series_colour(1));
}

TEST(HeatMaps, CellsSayTheirShareAndAreAsStrongAsItDiffersFromEven) {
  HeatMap map{"t",
              "layer",
              "expert",
              {"layer 3", "layer 4"},
              {"0", "1", "2", "3"},
              {{0.25, 0.5, 0.125, 0.125}, {NAN, NAN, NAN, NAN}}};
  const auto cells = cells_of(draw(map).drawing);
  ASSERT_EQ(cells.size(), 4u);
  const Cell even = cells.at("layer 3, expert 0: 25 % (1 times the even share)");
  const Cell twice = cells.at("layer 3, expert 1: 50 % (2 times the even share)");
  const Cell half = cells.at("layer 3, expert 3: 12.5 % (0.5 times the even share)");
  EXPECT_EQ(even.strength, 0);
  EXPECT_EQ(twice.colour, "var(--above)");
  EXPECT_EQ(twice.strength, 0.5);
  EXPECT_EQ(half.colour, "var(--below)");
  EXPECT_EQ(half.strength, 0.5);
  EXPECT_EQ(half.x, 75);
  EXPECT_EQ(hatched_of(draw(map).drawing).size(), 4u);
  map.order = {{3, 1, 0, 2}};
  EXPECT_EQ(cells_of(draw(map).drawing).at("layer 3, expert 3: 12.5 % (0.5 times the even share)").x, 0);
  EXPECT_EQ(draw(map).numbers.csv(),
            "layer,expert 0,expert 1,expert 2,expert 3\nlayer 3,0.25,0.5,0.125,0.125\nlayer 4,,,,\n");
}

TEST(HeatMaps, PairsStandAgainstChanceOrAsCosines) {
  HeatMap map{"t", "a", "b", {"0", "1"}, {"0", "1"}, {{NAN, 2}, {2, NAN}}};
  map.of_pairs = true;
  map.scale = HeatMap::Scale::kRatio;
  EXPECT_EQ(cells_of(draw(map).drawing).at("0, b 1: 2 times chance").strength, 0.5);
  EXPECT_EQ(cells_of(draw(map).drawing).size(), 2u);
  EXPECT_TRUE(hatched_of(draw(map).drawing).empty()) << "nothing is missing on the diagonal";
  map.scale = HeatMap::Scale::kCosine;
  map.values = {{NAN, -0.25}, {NAN, NAN}};
  const Cell cell = cells_of(draw(map).drawing).at("0, b 1: cosine -0.25");
  EXPECT_EQ(cell.strength, 0.25);
  EXPECT_EQ(cell.colour, "var(--below)");
  EXPECT_EQ(hatched_of(draw(map).drawing).size(), 1u);
}

TEST(Picked, OneOfSeveralIsShownFirst) {
  EXPECT_EQ(draw_picked({{"a", "<p>x</p>"}}, "g"), "<p>x</p>");
  const std::string html = draw_picked({{"a<", "<p>x</p>"}, {"b", "<p>y</p>"}}, "A group", 1);
  EXPECT_EQ(matches(html, "name=\"a-group-pick\"").size(), 2u);
  EXPECT_EQ(matches(html, "checked><label for=\"a-group-pick-1\">b</label>").size(), 1u);
  EXPECT_EQ(matches(html, "a&lt;").size(), 1u);
}

TEST(Thinned, ValuesAreMeansOfNeighbours) {
  EXPECT_TRUE(thinned({}, 3).empty());
  EXPECT_EQ(thinned({1, 2, 3}, 3), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(thinned({1, 3, 5, 7, 9}, 3), (std::vector<double>{2, 6, 9}));
}

TEST(Pages, GiveEveryFiguresNumbersWithWhereTheyComeFrom) {
  Page page("A page", {{"model", "m"}});
  page.add({draw(LineChart{"Loss, all", "x", "y", {{"a, \"b\"", {0, 1}, {2.5, 1}}}}),
            draw(LineChart{"Loss, all", "x", "y"})});
  const std::string html = page.html({{"runs", 3}});
  EXPECT_EQ(linked_file(html, "loss-all.csv"),
            "# A page: Loss, all\n# {\"model\":\"m\"}\nseries,kind,x,y\n\"a, \"\"b\"\"\",value,0.0,2.5\n\"a, "
            "\"\"b\"\"\",value,1.0,1.0\n");
  const base::Json json = base::parse_json(linked_file(html, "loss-all.json"), "json");
  EXPECT_EQ(json.at("provenance").at("model"), "m");
  EXPECT_EQ(json.at("rows").at(0), (base::Json{"a, \"b\"", "value", 0.0, 2.5}));
  EXPECT_EQ(base::parse_json(linked_file(html, "loss-all-2.json"), "json").at("rows").size(), 0u);
  const base::Json data = data_of(html);
  EXPECT_EQ(data.at("figures").size(), 2u);
  EXPECT_EQ(data.at("figures").at(0).at("rows"), json.at("rows"));
  EXPECT_EQ(data.at("runs"), 3);
  for (const char* outside : {"http:", "https:", "url(\"", "@import", "src="})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
}

}  // namespace
}  // namespace dsmoe::charts
