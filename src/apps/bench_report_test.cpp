// Lists of counts, the figures of a row, and the formats that scripts read.
#include "apps/bench_report.h"

#include <gmock/gmock.h>

#include <sstream>

#include "base/error.h"

namespace dsmoe::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseCounts, AsLlamaBenchTakesThem) {
  EXPECT_THAT(parse_counts("512", "-p"), ElementsAre(512));
  EXPECT_THAT(parse_counts("1,2,30", "-p"), ElementsAre(1, 2, 30));
  EXPECT_THAT(parse_counts("2-5", "-p"), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(parse_counts("1-9+4", "-p"), ElementsAre(1, 5, 9));
  EXPECT_THAT(parse_counts("1-9*2,0", "-p"), ElementsAre(1, 2, 4, 8, 0));
  for (const char* bad : {"", "a", "1,", "5-2", "1-5+0", "1-5*1", "0-8*2", "1--2", "-1", "1-2-3", "1 2",
                          "99999999999999999999", "0-100000000"}) {
    EXPECT_THROW(parse_counts(bad, "-p"), base::Error) << bad;
  }
}

BenchResult some_result() {
  BenchResult r;
  r.test = {512, 0, 0, 1};
  r.model_filename = "m.gguf";
  r.model_type = "deepseek 16B Q4_0";
  r.isa = "avx2";
  r.cache_type = "f16";
  r.model_size = int64_t{3} << 29;
  r.model_n_params = 16375728128;
  r.n_threads = 2;
  r.samples_ns = {2000000000, 4000000000};
  return r;
}

TEST(BenchResult, RatesCountEveryTokenOfEverySequence) {
  BenchResult r = some_result();
  EXPECT_THAT(r.samples_ts(), ElementsAre(256, 128));
  EXPECT_EQ(mean_of(r.samples_ts()), 192);
  EXPECT_NEAR(deviation_of(r.samples_ts()), 64 * std::sqrt(2.0), 1e-9);
  EXPECT_EQ(deviation_of({7}), 0);
  r.test = {0, 8, 100, 4};
  EXPECT_THAT(r.samples_ts(), ElementsAre(16, 8));
}

TEST(BenchResult, StepsAreToldByTheirPercentiles) {
  BenchResult r = some_result();
  EXPECT_FALSE(bench_json(r).contains("step_ns_p50")) << "no step, no figure";
  for (int64_t i = 1; i <= 20; ++i) r.steps_ns.push_back(100 * (21 - i));
  EXPECT_EQ(bench_json(r)["step_ns_p10"], 200);
  EXPECT_EQ(bench_json(r)["step_ns_p50"], 1000);
  EXPECT_EQ(bench_json(r)["step_ns_p90"], 1800);
  EXPECT_EQ(percentile_of({7}, 90), 7);
}

TEST(BenchTest, NamesAreLlamaBenchs) {
  EXPECT_EQ((BenchTest{512, 0, 0, 1}).name(), "pp512");
  EXPECT_EQ((BenchTest{0, 128, 3500, 1}).name(), "tg128 @ d3500");
  EXPECT_EQ((BenchTest{64, 8, 0, 8}).name(), "pp64+tg8 x 8");
}

TEST(BenchPrinter, EveryFormat) {
  const auto printed = [](BenchFormat format) {
    std::ostringstream out;
    BenchPrinter printer(out, format);
    printer.row(some_result());
    printer.row(some_result());
    printer.finish();
    return out.str();
  };
  const std::string table = printed(BenchFormat::kMarkdown);
  EXPECT_THAT(table, HasSubstr("| model                          |       size |     params | backend    |"));
  EXPECT_THAT(table, HasSubstr("| deepseek 16B Q4_0              |   1.50 GiB |    16.38 B | CPU avx2   |"));
  EXPECT_THAT(table, HasSubstr("|              pp512 |       192.00 ± 90.51 |"));
  size_t width = 0;  // every line is as wide as the others, counted in characters
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    const size_t own = line.size() - (line.find("±") == std::string::npos ? 0 : 1);
    EXPECT_TRUE(width == 0 || own == width) << line;
    width = own;
  }
  const auto array = base::parse_json(printed(BenchFormat::kJson), "json");
  ASSERT_EQ(array.size(), 2u);
  for (const char* key :
       {"model_filename", "model_type", "model_size", "model_n_params", "n_threads", "type_k", "type_v", "n_prompt",
        "n_gen", "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts"}) {
    EXPECT_TRUE(array[0].contains(key)) << key;
  }
  EXPECT_EQ(array[0]["avg_ns"], 3000000000);
  EXPECT_EQ(array[1]["avg_ts"], 192);
  std::istringstream jsonl(printed(BenchFormat::kJsonLines));
  for (std::string line; std::getline(jsonl, line);) EXPECT_EQ(base::parse_json(line, "line"), array[0]);
  const std::string csv = printed(BenchFormat::kCsv);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3) << csv;
  EXPECT_THAT(csv, HasSubstr("\"avg_ts\""));
}

}  // namespace
}  // namespace dsmoe::apps
