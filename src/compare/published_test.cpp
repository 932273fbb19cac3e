// The comparisons in docs/results: each page is what its plan and results give today.
#include <gtest/gtest.h>

#include "base/file.h"
#include "compare/page.h"
#include "compare/probe.h"
#include "compare/runner.h"

namespace dsmoe::compare {
namespace {

TEST(Published, PagesAreMadeAgainFromPlanAndResults) {
  int pages = 0;
  for (const auto& entry : base::fs::directory_iterator("docs/results")) {
    const base::fs::path& folder = entry.path();
    if (!base::fs::exists(plan_file(folder))) continue;
    const Plan plan = read_plan(plan_file(folder));
    const std::vector<compare::Run> runs = runs_of(plan);
    const auto results = read_results(results_folder(folder), read_probes(folder));
    const auto studies = read_studies(studies_folder(folder));
    const Summary summary = summarise(plan, runs, results, studies);
    EXPECT_EQ(markdown_page(summary), base::read_file(folder / "report.md", 1 << 20))
        << "tools/results page " << folder.filename().string() << " makes it anew";
    ++pages;
  }
  EXPECT_GT(pages, 0);
}

}  // namespace
}  // namespace dsmoe::compare
