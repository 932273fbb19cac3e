// Logs of JSON objects: which lines count, and what is said of one that is none.
#include "corpus/logged_objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_files.h"

namespace dsmoe::corpus {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> objects_of(const base::fs::path& file) {
  std::vector<std::string> found;
  for_each_logged_object(file, [&](const base::Json& object, const std::string& where) {
    found.push_back(where.substr(where.rfind(':') + 1) + " " + base::dump_json(object));
  });
  return found;
}

TEST(LoggedObjects, BlankLinesAMarkAndATornEndArePassedOver) {
  const base::TestFolder folder;
  const auto file = folder.write("log.jsonl", "\xef\xbb\xbf{\"a\":1}\r\n\r\n \t\n{\"b\":2}\n{\"c\":");
  EXPECT_THAT(objects_of(file), ElementsAre("1 {\"a\":1}", "4 {\"b\":2}"));
  EXPECT_TRUE(objects_of(folder.write("empty.jsonl", "")).empty());
  EXPECT_TRUE(objects_of(folder.write("mark.jsonl", "\xef\xbb\xbf")).empty());
}

TEST(LoggedObjects, WhatIsNoObjectIsRefusedWithItsPlace) {
  const base::TestFolder folder;
  for (const char* bad : {"[1]\n", "{\"a\":\n", "null\n", "{\"a\":1}{\n"}) {
    const auto file = folder.write("log.jsonl", std::string("{}\n\n") + bad);
    EXPECT_THAT(base::message_of([&] { objects_of(file); }), HasSubstr("log.jsonl:3]")) << bad;
  }
  EXPECT_THAT(base::message_of([&] { objects_of(folder.path()); }), HasSubstr("is a folder"));
}

}  // namespace
}  // namespace dsmoe::corpus
