// Laws of the small tools.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/utf8.h"

namespace dsmoe::base {
namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(Error, LineHasPartRuleValueAndHint) {
  EXPECT_EQ(message_of([] { fail_invalid("config", "K above E", "7 > 4", "lower num_experts_per_tok"); }),
            "[config] K above E: 7 > 4; lower num_experts_per_tok");
}

TEST(Error, IsOneLineWhateverItQuotes) {
  EXPECT_EQ(message_of([] { fail_invalid("a\nb", "rule", "x\x1b[2J"); }), "[a\\x0ab] rule: x\\x1b[2J");
}

TEST(Error, NearestFindsTheTypo) {
  EXPECT_EQ(nearest("hiden_size", {"vocab_size", "hidden_size", "seed"}), "hidden_size");
  EXPECT_EQ(nearest("zzzzzzzz", {"vocab_size", "hidden_size"}), "");
}

TEST(Json, RefusesWhatLenientParsersTake) {
  EXPECT_NE(message_of([] { parse_json(R"({"a":1,"a":2})", "f"); }).find("key twice"), std::string::npos);
  EXPECT_NE(message_of([] { parse_json("{\"a\":\"\xe4\xb8\"}", "f"); }).find("not valid JSON"), std::string::npos);
  EXPECT_NE(message_of([] { parse_json("1e999", "f"); }).find("range"), std::string::npos);
  EXPECT_NE(message_of([] { parse_json(std::string_view("{}\0x", 4), "f"); }).find("NUL"), std::string::npos);
  EXPECT_NE(message_of([] { parse_json("\xef\xbb\xbf{}", "f"); }).find("order mark"), std::string::npos);
  EXPECT_NE(message_of([] { parse_json("{} x", "f"); }).find("not valid JSON"), std::string::npos);
  EXPECT_NE(message_of([] { parse_json(std::string(100000, '['), "f"); }).find("deeper"), std::string::npos);
  EXPECT_NE(message_of([] { require_int(parse_json(R"({"n":-1})", "f"), "n", 0, 9, "f"); }).find("from 0 to 9"),
            std::string::npos);
  EXPECT_NE(message_of([] {
              require_int(parse_json(R"({"n":18446744073709551615})", "f"), "n", 0, 9, "f");
            }).find("from 0 to 9"),
            std::string::npos);
}

TEST(Json, KeepsOrderAndValues) {
  const std::string text = R"({"z":[1,2.5,{"y":null}],"a":"é","b":[],"c":{},"d":true})";
  EXPECT_EQ(dump_json(parse_json(text, "f")), text);
}

TEST(Toml, BecomesTheSameJson) {
  const Json value = parse_toml("a = 1\n[b]\nc = [1.5, \"x\"]\n", "f");
  EXPECT_EQ(value["b"]["c"][1], "x");
  EXPECT_NE(message_of([] { parse_toml("a = \n", "f"); }).find("line 1"), std::string::npos);
}

RC_GTEST_PROP(Utf8, CodePointsRoundTrip, ()) {
  const auto drawn = *rc::gen::inRange<uint32_t>(0, 0x110000);
  RC_PRE(drawn < 0xd800 || drawn >= 0xe000);
  std::string text;
  append_utf8(text, drawn);
  char32_t back = 0;
  RC_ASSERT(utf8_decode(text, 0, back) == text.size());
  RC_ASSERT(back == drawn);
  RC_ASSERT(first_invalid_utf8(text.substr(0, text.size() - 1)) == (text.size() > 1 ? 0 : std::string::npos));
}

TEST(Rng, StateRestoresAndBitsAreAFunction) {
  Rng a(7);
  a.next();
  Rng b;
  b.set_state(a.state());
  EXPECT_EQ(a.next(), b.next());
  EXPECT_EQ(random_bits(1, 2, 3), random_bits(1, 2, 3));
  EXPECT_NE(random_bits(1, 2, 3), random_bits(1, 3, 2));
}

TEST(Rng, NormalHasItsMoments) {
  Rng rng(1);
  double sum = 0, squares = 0;
  constexpr int kCount = 200000;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
}

TEST(Parallel, EveryItemOnceAndErrorsComeBack) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> seen(101);
      pool.run(101, 7, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      for (const auto& count : seen) ASSERT_EQ(count, 1);
    }
    EXPECT_THROW(pool.run(50, 1,
                          [](int64_t begin, int64_t) {
                            if (begin == 20) fail_invalid("x", "y");
                          }),
                 Error);
  }
}

TEST(File, WritesAreWholeOrAbsent) {
  const fs::path folder = fs::temp_directory_path() / ("dsmoe_base_test_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  write_file(folder / "a", "hello");
  EXPECT_EQ(read_file(folder / "a"), "hello");
  EXPECT_EQ(as_text(MappedFile(folder / "a").bytes()), "hello");
  {
    FolderWriter made(folder / "out");
    made.write_file("x", "1");
  }
  EXPECT_FALSE(fs::exists(folder / "out"));
  {
    FolderWriter made(folder / "out");
    made.write_file("x", "1");
    made.commit();
  }
  EXPECT_EQ(read_file(folder / "out" / "x"), "1");
  EXPECT_THROW(FolderWriter(folder / "out"), Error);
  EXPECT_NE(message_of([&] { read_file(folder / "none"); }).find("No such file"), std::string::npos);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 2) << "temporary names are cleaned up";
  fs::remove_all(folder);
}

// Fails the k-th disk call; the tests below run until a whole pass meets no failure.
class FailingFiles : public FileSystem {
 public:
  explicit FailingFiles(int fail_at) : left_(fail_at) {}
  bool failed() const { return failed_; }
  int create(const fs::path& path) override {
    tick(path);
    return FileSystem::create(path);
  }
  void write(int fd, const fs::path& path, std::span<const std::byte> bytes) override {
    if (left_ == 1 && bytes.size() > 1) FileSystem::write(fd, path, bytes.first(bytes.size() / 2));  // a short write
    tick(path);
    FileSystem::write(fd, path, bytes);
  }
  void sync(int fd, const fs::path& path) override {
    tick(path);
    FileSystem::sync(fd, path);
  }
  void rename(const fs::path& from, const fs::path& to) override {
    tick(to);
    FileSystem::rename(from, to);
  }
  void sync_directory(const fs::path& path) override {
    tick(path);
    FileSystem::sync_directory(path);
  }

 private:
  void tick(const fs::path& path) {
    if (--left_ == 0) {
      failed_ = true;
      fail_io("test", "injected", path.string(), ENOSPC);
    }
  }
  int left_;
  bool failed_ = false;
};

TEST(File, EveryFailingCallLeavesOldOrNew) {
  const fs::path folder = fs::temp_directory_path() / ("dsmoe_fail_test_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  int failures = 0;
  for (int k = 1;; ++k) {
    write_file(folder / "a", "old");
    FailingFiles files(k);
    try {
      write_file(folder / "a", "new content", files);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kIo);
    }
    const std::string text = read_file(folder / "a");
    EXPECT_TRUE(text == "old" || text == "new content") << text;
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
    if (!files.failed()) break;
    ++failures;
  }
  EXPECT_EQ(failures, 5);
  fs::remove_all(folder);
}

// A disk that is full for a while: every write fails after half of its bytes.
class FullDisk : public FileSystem {
 public:
  bool full = false;
  void write(int fd, const fs::path& path, std::span<const std::byte> bytes) override {
    if (!full) return FileSystem::write(fd, path, bytes);
    FileSystem::write(fd, path, bytes.first(bytes.size() / 2));
    fail_io("test", "injected", path.string(), ENOSPC);
  }
};

TEST(File, AppendLogHoldsWholeEntriesAndLosesNone) {
  const fs::path path = fs::temp_directory_path() / ("dsmoe_log_test_" + std::to_string(::getpid()));
  write_file(path, "one\n");
  FullDisk disk;
  AppendLog log(path, disk);
  EXPECT_TRUE(log.append("two\n"));
  disk.full = true;
  EXPECT_FALSE(log.append("three\n"));
  EXPECT_FALSE(log.append("four\n"));
  EXPECT_NE(log.error().find("injected"), std::string::npos);
  EXPECT_THROW(log.sync(), Error);
  EXPECT_EQ(read_file(path), "one\ntwo\n") << "no half entry";
  disk.full = false;
  EXPECT_TRUE(log.append("five\n"));
  log.sync();
  EXPECT_EQ(read_file(path), "one\ntwo\nthree\nfour\nfive\n");
  fs::remove(path);
}

TEST(File, SymlinkIsReplaced) {
  const fs::path folder = fs::temp_directory_path() / ("dsmoe_link_test_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  for (const char* target : {"a", "b"}) {
    replace_symlink(target, folder / "latest");
    EXPECT_EQ(fs::read_symlink(folder / "latest"), target);
  }
  fs::create_directory(folder / "taken");
  EXPECT_THROW(replace_symlink("a", folder / "taken"), Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 2) << "temporary names are cleaned up";
  fs::remove_all(folder);
}

TEST(Hash, PiecesEqualWhole) {
  Hasher hasher;
  hasher.update("hello ");
  hasher.update("world");
  EXPECT_EQ(hasher.hex(), xxh3_128_hex("hello world"));
}

TEST(Checked, NarrowRefuses) {
  EXPECT_EQ(narrow<int8_t>(int64_t{-5}, "t", "x"), -5);
  EXPECT_THROW(narrow<uint8_t>(-1, "t", "x"), Error);
  EXPECT_THROW(narrow<int32_t>(uint64_t{1} << 40, "t", "x"), Error);
}

}  // namespace
}  // namespace dsmoe::base
