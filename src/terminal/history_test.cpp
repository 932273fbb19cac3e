#include "terminal/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/error.h"
#include "base/test_files.h"

namespace dsmoe::terminal {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> kept_in(const base::fs::path& file) {
  History history;
  history.keep_in(file);
  return history.texts();
}

mode_t mode_of(const base::fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST(History, TextsComeBackInTheNextSession) {
  const base::TestFolder folder;
  const base::fs::path file = folder / "state/dsmoe/history";
  {
    History history;
    history.keep_in(file);
    for (const char* text : {"hello", "", "two\nlines \\n", "two\nlines \\n", "\\"}) history.add(text);
    EXPECT_THAT(history.texts(), ElementsAre("hello", "two\nlines \\n", "\\"));
  }
  EXPECT_THAT(kept_in(file), ElementsAre("hello", "two\nlines \\n", "\\"));
  EXPECT_EQ(mode_of(file), 0600u);
}

TEST(History, AFileThatOthersMightReadBecomesPrivate) {
  const base::TestFolder folder;
  base::write_file(folder / "history", "hello\n");
  ASSERT_EQ(::chmod((folder / "history").c_str(), 0644), 0);
  EXPECT_THAT(kept_in(folder / "history"), ElementsAre("hello"));
  EXPECT_EQ(mode_of(folder / "history"), 0600u);
}

TEST(History, ItIsBounded) {
  const base::TestFolder folder;
  std::string much;
  for (size_t i = 0; i < 2 * History::kMost + 1; ++i) much += std::to_string(i) + "\n";
  base::write_file(folder / "history", much);
  const std::vector<std::string> kept = kept_in(folder / "history");
  EXPECT_EQ(kept.size(), History::kMost);
  EXPECT_EQ(kept.back(), std::to_string(2 * History::kMost));
  EXPECT_EQ(kept_in(folder / "history"), kept);
  EXPECT_LT(base::read_file(folder / "history").size(), much.size());
  EXPECT_EQ(mode_of(folder / "history"), 0600u);

  History history;
  history.keep_in(folder / "history");
  history.add(std::string(History::kLongest + 1, 'x'));
  EXPECT_EQ(history.texts().back().size(), History::kLongest + 1);
  EXPECT_EQ(kept_in(folder / "history").back(), kept.back()) << "a very long text is for this session only";
}

TEST(History, TwoSessionsAddToOneFile) {
  const base::TestFolder folder;
  History one, two;
  one.keep_in(folder / "history");
  two.keep_in(folder / "history");
  one.add("from one");
  two.add("from two");
  EXPECT_THAT(kept_in(folder / "history"), ElementsAre("from one", "from two"));
}

TEST(History, WhatIsNoTextDoesNoHarm) {
  const base::TestFolder folder;
  base::write_file(folder / "history", "a\x1b[2J\xff\n\n\nlast");
  EXPECT_THAT(kept_in(folder / "history"), ElementsAre("a[2J\ufffd", "last"));
}

TEST(History, APlaceThatCannotBeUsedIsAnError) {
  const base::TestFolder folder;
  History history;
  EXPECT_THROW(history.keep_in(folder.path()), base::Error);
  base::write_file(folder / "file", "");
  EXPECT_THROW(history.keep_in(folder / "file/history"), base::Error);
  history.add("still kept in memory");
  EXPECT_THAT(history.texts(), ElementsAre("still kept in memory"));
}

TEST(StateFile, FollowsTheEnvironment) {
  const char* home = std::getenv("HOME");
  const std::string before = home == nullptr ? "" : home;
  ::setenv("XDG_STATE_HOME", "/state", 1);
  EXPECT_EQ(state_file("h"), "/state/dsmoe/h");
  ::setenv("XDG_STATE_HOME", "relative", 1);
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(state_file("h"), "/home/me/.local/state/dsmoe/h") << "a relative one is to be ignored";
  ::unsetenv("XDG_STATE_HOME");
  ::unsetenv("HOME");
  EXPECT_EQ(state_file("h"), std::nullopt);
  ::setenv("HOME", before.c_str(), 1);
}

}  // namespace
}  // namespace dsmoe::terminal
