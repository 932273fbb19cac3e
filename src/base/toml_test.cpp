// TOML that nests too deep is refused before the library, which calls itself, sees it.
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/test_files.h"

namespace dsmoe::base {
namespace {

std::string repeated(const std::string& piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

TEST(Toml, RefusesDepthInEveryGrammar) {
  constexpr int kMany = 40000;
  const std::string cases[] = {
      "a = " + repeated("[", kMany),
      repeated("a={", kMany),
      "a = " + repeated("{a=", kMany),
      "a" + repeated(".a", kMany) + " = 1",
      "a" + repeated(" . \"a\"", kMany) + " = 1",
      "[a" + repeated(".a", kMany) + "]\n",
      "[[a" + repeated(".a", kMany) + "]]\n",
      repeated("a.a.a.a.a.a.a={", 12),
      "a = 'x' # \" [\nb = \"\\\"\" \nc = " + repeated("[", kMany),
      "a = [\"\"\"x\"\"\"\", " + repeated("[", kMany),  // a quote before the three that end a string
      "a = ['''x''''', " + repeated("{b=", kMany),
  };
  for (const std::string& text : cases) {
    const std::string message = message_of([&] { parse_toml(text, "deep.toml"); });
    EXPECT_NE(message.find("[deep.toml] TOML is nested deeper than 64 levels"), std::string::npos)
        << text.substr(0, 40) << " gives " << message;
  }
}

// Each key once: with a search for every one of them this would take a minute.
TEST(Toml, ATableMayHaveManyKeys) {
  std::string text;
  for (int key = 0; key < 100'000; ++key) text += "k" + std::to_string(key) + " = 1\n";
  EXPECT_EQ(parse_toml(text, "t").size(), 100'000U);
  EXPECT_EQ(parse_toml("[a.b]\n" + text, "t")["a"]["b"].size(), 100'000U);
}

TEST(Toml, CountsOnlyWhatNests) {
  EXPECT_EQ(parse_toml("a = " + repeated("[", 62) + repeated("]", 62), "t").size(), 1U);
  EXPECT_EQ(parse_toml("a = [" + repeated("[1.5, 2.5], ", 1000) + "]", "t")["a"].size(), 1000U);
  EXPECT_EQ(parse_toml("a = \"" + repeated("[{.", 1000) + "\"", "t")["a"].get<std::string>().size(), 3000U);
  EXPECT_EQ(parse_toml("a = '''\n" + repeated("[{.'", 1000) + " '''", "t").size(), 1U);
  EXPECT_EQ(parse_toml("# " + repeated("[{.", 1000) + "\na = 1", "t").size(), 1U);
  EXPECT_EQ(parse_toml(repeated("[[a.b.c]]\nd.e = 1\n", 200), "t")["a"]["b"]["c"].size(), 200U);
}

}  // namespace
}  // namespace dsmoe::base
