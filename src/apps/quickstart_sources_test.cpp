// From what a person names to domains.
#include "apps/quickstart_sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"
#include "corpus/source_files.h"

namespace dsmoe::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QuickstartSourcesTest : public ::testing::Test {
 protected:
  std::string text(const std::string& name, size_t bytes = 20'000) const {
    base::fs::create_directories((folder_ / name).parent_path());
    return folder_.write(name, std::string(bytes, 'x'));
  }
  std::vector<std::string> domains(const std::vector<std::string>& given) const {
    std::vector<std::string> all = find_quickstart_sources(given).domains;
    for (std::string& each : all) {
      for (size_t at; (at = each.find(folder_.path().string() + "/")) != std::string::npos;) {
        each.erase(at, folder_.path().string().size() + 1);
      }
    }
    return all;
  }
  std::string refusal(const std::vector<std::string>& given) const {
    try {
      find_quickstart_sources(given);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "no error";
  }
  base::TestFolder folder_;
};

TEST_F(QuickstartSourcesTest, AFileOrAFolderOfManyIsOneDomain) {
  EXPECT_THAT(domains({text("my novel.txt")}), ElementsAre("my-novel=my novel.txt"));
  for (int i = 0; i < 30; ++i) text("letters/" + std::to_string(i) + ".md", 1000);
  EXPECT_THAT(domains({folder_ / "letters"}), ElementsAre("letters=letters"));
  EXPECT_THAT(domains({(folder_ / "letters").string() + "/"}), ElementsAre("letters=letters/"));
}

TEST_F(QuickstartSourcesTest, TheFewPartsOfAFolderAreDomains) {
  text("all/code/a.txt"), text("all/code/deep/b.txt"), text("all/prose.jsonl.gz"), text("all/photo.jpg");
  const QuickstartSources sources = find_quickstart_sources({folder_ / "all"});
  EXPECT_THAT(domains({folder_ / "all"}), ElementsAre("code=all/code", "prose=all/prose.jsonl.gz"));
  EXPECT_EQ(sources.bytes, 120'000u) << "a packed file holds more than its size";
  EXPECT_EQ(sources.notes.size(), 1u);
}

TEST_F(QuickstartSourcesTest, SeveralPathsAreADomainEachAndVeryManyAreOne) {
  text("a/x.txt"), text("b/x.txt");
  EXPECT_THAT(domains({folder_ / "a/x.txt", folder_ / "b/x.txt"}), ElementsAre("x=a/x.txt", "x-2=b/x.txt"));
  EXPECT_THAT(domains({"one=" + (folder_ / "a").string(), "two=" + (folder_ / "b").string()}),
              ElementsAre("one=a", "two=b"));
  std::vector<std::string> many;
  for (int i = 0; i < 25; ++i) many.push_back(text("many/" + std::to_string(i) + ",{x}.txt"));
  const std::vector<std::string> domain = find_quickstart_sources(many).domains;
  ASSERT_EQ(domain.size(), 1u);
  EXPECT_EQ(corpus::find_sources({domain[0].substr(5)}).files.size(), 25u) << domain[0];
}

TEST_F(QuickstartSourcesTest, TooLittleTextAndNoneAreRefused) {
  EXPECT_THAT(refusal({text("short.txt", 9'999)}), HasSubstr("there must be text to learn from: at least 10"));
  base::fs::create_directories(folder_ / "empty");
  EXPECT_THAT(refusal({folder_ / "empty"}), HasSubstr("empty"));
  EXPECT_THAT(refusal({folder_ / "nowhere"}), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace dsmoe::apps
