// Which files a path, a folder and a pattern mean.
#include "corpus/source_files.h"

#include <fnmatch.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "base/test_files.h"

namespace dsmoe::corpus {
namespace {

using Names = std::vector<std::string>;

class SourceFolder : public ::testing::Test {
 protected:
  void write(const Names& names) {
    for (const std::string& name : names) {
      base::fs::create_directories((folder_ / name).parent_path());
      folder_.write(name, "x");
    }
  }
  void link(const std::string& target, const std::string& name) {
    base::fs::create_directories((folder_ / name).parent_path());
    base::fs::create_symlink(target, folder_ / name);
  }
  SourceFiles all(const std::string& source) { return find_sources({(folder_ / source).string()}); }
  /// Relative to the folder.
  Names find(const std::string& source) {
    Names names;
    for (const base::fs::path& file : all(source).files) {
      names.push_back(file.native().substr(folder_.path().native().size() + 1));
    }
    return names;
  }
  std::string error(const std::string& source) {
    return base::message_of([&] { all(source); });
  }
  base::TestFolder folder_;
};

TEST_F(SourceFolder, PatternsNameFilesInByteOrder) {
  write({"b.txt", "B.txt", "a.txt", "c.md", "deep/a.txt", "deep/er [x]/a.txt"});
  base::fs::create_directories(folder_ / "d.txt");
  EXPECT_EQ(find("*.txt"), (Names{"B.txt", "a.txt", "b.txt"}));
  EXPECT_EQ(find("{c,a,[a-b]}.*"), (Names{"a.txt", "b.txt", "c.md"}));
  EXPECT_EQ(find("**/a.*"), (Names{"a.txt", "deep/a.txt", "deep/er [x]/a.txt"}));
  EXPECT_EQ(find("**/er*/**/*.txt"), (Names{"deep/er [x]/a.txt"}));
  EXPECT_EQ(find("deep/**"), (Names{"deep/a.txt", "deep/er [x]/a.txt"}));
  EXPECT_EQ(find("d*p/../?.md"), (Names{"deep/../c.md"}));
  EXPECT_NE(error("**/*.gz").find("no file matches"), std::string::npos);
  EXPECT_NE(error("*.gz").find("*.gz\""), std::string::npos);
  EXPECT_NE(error("d.txt").find("has no text file"), std::string::npos);
  EXPECT_NE(error("none.txt").find("no file matches"), std::string::npos);
}

TEST_F(SourceFolder, WhatExistsIsNoPattern) {
  write(
      {"a[1].txt", "a1.txt", "{x}.txt", "x.txt", "star*.txt", "star2.txt", "data[2]/b.txt", "data2/b.txt", "q?/c.md"});
  EXPECT_EQ(find("a[1].txt"), Names{"a[1].txt"});
  EXPECT_EQ(find("{x}.txt"), Names{"{x}.txt"});
  EXPECT_EQ(find("star*.txt"), Names{"star*.txt"});
  EXPECT_EQ(find("data[2]/*.txt"), Names{"data[2]/b.txt"}) << "the front of a pattern too";
  EXPECT_EQ(find("data[2]"), Names{"data[2]/b.txt"}) << "a folder too";
  EXPECT_EQ(find("{q?,data[2]}/*"), (Names{"data[2]/b.txt", "q?/c.md"})) << "in each choice of braces";
  EXPECT_EQ(find("a[0-9].txt"), Names{"a1.txt"});
  EXPECT_EQ(find("a\\[[1]\\].txt"), Names{"a[1].txt"});
  EXPECT_EQ(find("{x,y}.txt"), Names{"x.txt"});
}

TEST_F(SourceFolder, HiddenFilesAndFoldersStayOut) {
  write({"a.py", ".b.py", ".git/c.py", "pkg/d.py", "pkg/.ipynb_checkpoints/d.py", "pkg/.e.txt", "pkg/f.txt"});
  EXPECT_EQ(find("**/*.py"), (Names{"a.py", "pkg/d.py"}));
  EXPECT_EQ(find("*.py"), Names{"a.py"});
  EXPECT_NE(error("?b.py").find("no file matches"), std::string::npos);
}

TEST_F(SourceFolder, HiddenOnesCanBeSpelled) {
  write({".b.py", ".git/c.py", ".git/.d.py", "pkg/.x/e.py"});
  EXPECT_EQ(find(".*.py"), Names{".b.py"});
  EXPECT_EQ(find(".git/**/*.py"), Names{".git/c.py"});
  EXPECT_EQ(find("**/.x/*.py"), Names{"pkg/.x/e.py"});
  EXPECT_EQ(find(".*/.d.py"), Names{".git/.d.py"});
}

TEST_F(SourceFolder, AFolderGivesItsTextFiles) {
  write({"t/b.txt", "t/A.JSONL", "t/deep/c.ndjson.gz", "t/deep/d.Md", "t/e.rst.ZST", "t/.hidden.txt", "t/.git/x.txt",
         "t/photo.png", "t/code.py", "t/Makefile"});
  const Names wanted = {"t/A.JSONL", "t/b.txt", "t/deep/c.ndjson.gz", "t/deep/d.Md", "t/e.rst.ZST"};
  EXPECT_EQ(find("t"), wanted);
  EXPECT_EQ(find("t/").size(), wanted.size());
  const SourceFiles found = all("t");
  ASSERT_EQ(found.notes.size(), 1U);
  EXPECT_NE(found.notes[0].find("3 files left out"), std::string::npos) << found.notes[0];
  EXPECT_NE(found.notes[0].find(".png"), std::string::npos) << found.notes[0];
  EXPECT_TRUE(all("t/**/*.txt").notes.empty());
  EXPECT_EQ(find("{t/deep,none}"), (Names{"t/deep/c.ndjson.gz", "t/deep/d.Md"})) << "as a choice of braces too";
  EXPECT_NE(error("t/dee*").find("add /** for what is in them"), std::string::npos);
}

TEST_F(SourceFolder, LinksAreFollowedOnceAndNoFileComesTwice) {
  write({"in/real/a.txt", "in/b.txt", "out/far/c.txt", "out/d.txt"});
  link("..", "in/real/loop");
  link("../out", "in/elsewhere");
  link("../out", "in/zagain");
  link("b.txt", "in/same.txt");
  link("../in", "out/far/back");
  base::fs::create_hard_link(folder_ / "in/b.txt", folder_ / "in/real/hard.txt");
  const Names wanted = {"in/b.txt", "in/elsewhere/d.txt", "in/elsewhere/far/c.txt", "in/real/a.txt"};
  EXPECT_EQ(find("in"), wanted);
  EXPECT_EQ(find("in/**/*.txt"), wanted);
  EXPECT_EQ(find("**/*.txt"), (Names{"in/b.txt", "in/real/a.txt", "out/d.txt", "out/far/c.txt"})) << "real ones first";
  EXPECT_EQ(find("in/zagain/*.txt"), Names{"in/zagain/d.txt"}) << "a link that is named";
  EXPECT_EQ(find("**/zagain/**/c.txt"), Names{"in/zagain/far/c.txt"});
  const std::string in = (folder_ / "in").string();
  EXPECT_EQ(find_sources({in, in + "/*.txt", in + "/b.txt"}).files.size(), 4U) << "over several sources";
}

TEST_F(SourceFolder, ALinkToNothingIsLeftToItsReader) {
  link("nowhere", "a.txt");
  EXPECT_EQ(find("*.txt"), Names{"a.txt"});
  EXPECT_EQ(find("a.txt"), Names{"a.txt"});
}

TEST_F(SourceFolder, ManyLinksBetweenFoldersCostNoMoreThanTheFolders) {
  constexpr int kFolders = 12;  // 12! ways through them
  for (int i = 0; i < kFolders; ++i) {
    write({std::to_string(i) + "/a.txt"});
    for (int j = 0; j < kFolders; ++j) link("../" + std::to_string(j), std::to_string(i) + "/to" + std::to_string(j));
  }
  EXPECT_EQ(find("**/*.txt").size(), static_cast<size_t>(kFolders));
  EXPECT_EQ(find("0").size(), static_cast<size_t>(kFolders));
}

TEST(SourcePatterns, BracesAreWrittenOut) {
  EXPECT_EQ(brace_alternatives("plain"), Names{"plain"});
  EXPECT_EQ(brace_alternatives("a{b,c}d{e,f}"), (Names{"abde", "abdf", "acde", "acdf"}));
  EXPECT_EQ(brace_alternatives("{a,b{c,d}}"), (Names{"a", "bc", "bd"}));
  EXPECT_EQ(brace_alternatives("{,a}x"), (Names{"x", "ax"}));
  EXPECT_EQ(brace_alternatives("{}"), Names{"{}"});
  EXPECT_EQ(brace_alternatives("{a,b"), Names{"{a,b"});
  EXPECT_EQ(brace_alternatives("a,b}"), Names{"a,b}"});
  EXPECT_EQ(brace_alternatives("\\{a,b}"), Names{"\\{a,b}"});
  EXPECT_EQ(brace_alternatives("{a\\,b,c}"), (Names{"a\\,b", "c"}));
  EXPECT_EQ(brace_alternatives("{{a,b}"), (Names{"{a", "{b"}));
}

TEST(SourcePatterns, BracesAreCountedBeforeTheyAreWrittenOut) {
  const auto error = [](const std::string& pattern) { return base::message_of([&] { brace_alternatives(pattern); }); };
  std::string product, many = "{", deep(40, '{');
  for (int i = 0; i < 64; ++i) product += "{a,b}";
  for (size_t i = 0; i < kMostAlternatives; ++i) many += "a,";
  EXPECT_NE(error(product).find("may stand for 1000 paths"), std::string::npos);
  EXPECT_NE(error(many + "a}").find("may stand for 1000 paths"), std::string::npos);
  EXPECT_NE(error(deep + "a,b" + std::string(40, '}')).find("may stand for"), std::string::npos);
  EXPECT_NE(error("{" + product + "," + product + "}").find("may stand for"), std::string::npos);
  EXPECT_NE(error(std::string(100'000, '{')).find("may have 16384 bytes"), std::string::npos);
  EXPECT_EQ(brace_alternatives(many.substr(0, many.size() - 1) + "}").size(), kMostAlternatives);
  EXPECT_EQ(brace_alternatives(std::string(16'000, '{')).size(), 1U);
}

RC_GTEST_PROP(SourcePatterns, NamesMatchAsTheCLibraryHasIt, ()) {
  const auto text = [](const char* signs) {
    return rc::gen::map(rc::gen::container<std::string>(rc::gen::elementOf(std::string(signs))),
                        [](std::string made) { return made.substr(0, 12); });
  };
  const std::string pattern = *text("aab-*?[]!\\"), name = *text("aaab-]");
  RC_PRE(pattern.empty() || pattern.back() != '\\');  // there the two differ, and nothing is meant
  RC_ASSERT(name_matches(pattern, name) == (::fnmatch(pattern.c_str(), name.c_str(), 0) == 0));
}

TEST(SourcePatterns, SignsStandForCharactersAndStarsCostLittle) {
  EXPECT_TRUE(name_matches("?.txt", "\u00e9.txt"));
  EXPECT_TRUE(name_matches("[\u00e0-\u00ff]*", "\u00e9t\u00e9"));
  EXPECT_FALSE(name_matches("[!\u00e9]*", "\u00e9t\u00e9"));
  EXPECT_TRUE(name_matches("?", "\xff")) << "a name need not be UTF-8";
  std::string stars;
  for (int i = 0; i < 2000; ++i) stars += "*a";
  EXPECT_FALSE(name_matches(stars + "b", std::string(255, 'a')));
}

}  // namespace
}  // namespace dsmoe::corpus
