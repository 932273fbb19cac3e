// Laws of the small tools.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/bits.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/normal.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/shares.h"
#include "base/test_files.h"
#include "base/utf8.h"

namespace dsmoe::base {
namespace {

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
  EXPECT_EQ(nearest("trian", {"brain", "train"}), "train") << "two letters swapped are one mistake";
  EXPECT_EQ(nearest("lr", {"dir", "dr"}), "") << "of two letters nothing is near but themselves";
  EXPECT_EQ(nearest("taste", {"rates"}), "") << "a word that shares letters is another word";
  EXPECT_EQ(nearest("temperature", {"temp"}), "");
  EXPECT_EQ(nearest("seed", {"seed"}), "seed");
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

// The nearest 16-bit value by search over all of them: the definition of rounding, ties to the even pattern.
template <class Widen>
uint16_t nearest_by_search(float value, Widen widen, uint16_t infinity) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double size = std::fabs(static_cast<double>(value));
  uint32_t low = 0, high = infinity;  // the patterns of positive values ascend
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (static_cast<double>(widen(static_cast<uint16_t>(middle))) <= size ? low : high) = middle;
  }
  const double below = widen(static_cast<uint16_t>(low));
  // infinity stands where the next value would be
  const double above = high == infinity ? 2 * below - static_cast<double>(widen(static_cast<uint16_t>(low - 1)))
                                        : static_cast<double>(widen(static_cast<uint16_t>(high)));
  const bool up = size - below > above - size || (size - below == above - size && (low & 1) != 0);
  return static_cast<uint16_t>(sign | (up ? high : low));
}

TEST(Bits, SixteenBitFloatsSurviveTheWayUpAndDown) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float f16 = f16_to_f32(half), bf16 = bf16_to_f32(half);
    if (!std::isnan(f16)) {
      ASSERT_EQ(f32_to_f16(f16), half) << bits;
    }
    if (!std::isnan(bf16)) {
      ASSERT_EQ(f32_to_bf16(bf16), half) << bits;
    }
    ASSERT_EQ(std::isnan(f16), (bits & 0x7fff) > 0x7c00) << bits;
    if (std::isnan(f16)) {
      ASSERT_TRUE(std::isnan(f16_to_f32(f32_to_f16(f16)))) << bits;
    }
    if (std::isnan(bf16)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(bf16)))) << bits;
    }
  }
  EXPECT_EQ(f16_to_f32(0x3555), 0.333251953125f);
  EXPECT_EQ(f16_to_f32(0x0001), 0x1p-24f);
  EXPECT_EQ(f16_to_f32(0xfbff), -65504.0f);
  EXPECT_EQ(bf16_to_f32(0x3f80), 1.0f);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u))))) << "not infinity";
}

RC_GTEST_PROP(Bits, DownIsTheNearest, (uint32_t drawn)) {
  const float value = std::bit_cast<float>(static_cast<uint32_t>(mix64(drawn)));
  RC_PRE(std::isfinite(value));
  RC_ASSERT(f32_to_bf16(value) == nearest_by_search(value, bf16_to_f32, 0x7f80));
  // half of random patterns lie outside float16's range; bring the rest into it
  const float scaled = std::ldexp(std::frexp(value, std::make_unique<int>().get()), static_cast<int>(drawn % 44) - 27);
  RC_ASSERT(f32_to_f16(scaled) == nearest_by_search(scaled, f16_to_f32, 0x7c00));
}

TEST(Bits, TiesGoToEven) {
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), 0x3c00);
  EXPECT_EQ(f32_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);
  EXPECT_EQ(f32_to_f16(3 * 0x1p-25f), 0x0002);
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
}

TEST(Normal, InvertsTheDistributionFunction) {
  // Phi(x) = erfc(-x / sqrt 2) / 2; the approximation promises 1e-7 relative in x, so phi(x) |x| 1e-7 in probability
  for (double q = -0.4999995; q < 0.5; q += 0.000731) {
    const double x = normal_quantile(q);
    const double density = std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
    EXPECT_NEAR(0.5 * std::erfc(-x / std::sqrt(2.0)), 0.5 + q, 1.5e-7 * density * std::fabs(x) + 1e-15) << q;
    EXPECT_EQ(x, -normal_quantile(-q)) << q;
  }
  for (int power = 22; power <= 54; ++power) {  // the far tail, by its own probability
    const double p = std::ldexp(1.0, -power), x = normal_quantile(p - 0.5);
    EXPECT_NEAR(0.5 * std::erfc(-x / std::sqrt(2.0)) / p, 1.0, 1.5e-7 * x * x) << power;
  }
  EXPECT_LT(normal_of(~uint64_t{0}), 8.21);
  EXPECT_EQ(normal_of(~uint64_t{0}), -normal_of(0));
  for (double x : {0x1p-1022, 1e-17, 0.07, 0.5, 1.0, 1.4142135623730951, 1.5, 3e200}) {
    EXPECT_NEAR(plain_log(x), std::log(x), 1e-13 * (1 + std::fabs(std::log(x)))) << x;
  }
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

// Loops of all sizes close upon each other, sometimes with a rest in which workers fall asleep, sometimes with an
// error: a latecomer to one loop must never take part of the next one for its own.
TEST(Parallel, ManyShortLoopsAreEachWhole) {
  for (const int threads : {2, 3, 5}) {
    ThreadPool pool(threads);
    Rng rng(static_cast<uint64_t>(threads));
    std::vector<std::atomic<int>> seen(64);
    for (int round = 0; round < 4000; ++round) {
      const auto count = static_cast<int64_t>(1 + rng.below(64)), grain = static_cast<int64_t>(1 + rng.below(5));
      const auto bad = static_cast<int64_t>(rng.below(1000));
      for (auto& times : seen) times = 0;
      const auto body = [&](int64_t begin, int64_t end) {
        if (begin <= bad && bad < end) fail_invalid("x", "y");
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      };
      if (bad < count) {
        EXPECT_THROW(pool.run(count, grain, body), Error);
      } else {
        pool.run(count, grain, body);
        for (int64_t i = 0; i < 64; ++i) ASSERT_EQ(seen[static_cast<size_t>(i)], i < count ? 1 : 0) << round;
      }
      if (rng.below(200) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

// Nothing is left out or done twice whoever takes what, and whoever goes through a share alone goes straight on.
TEST(Shares, EveryItemOnceAndNextIsWhatComesNext) {
  for (const int threads : {1, 2, 3, 5, kMostShares + 3}) {
    ThreadPool pool(std::min(threads, 5));
    for (const int64_t count : {0, 1, 2, 31, 1000}) {
      for (const int64_t most : {1, 7, 100000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        std::atomic<int64_t> longest = 0;
        // Uneven: the first share is twice as long as the others.
        const auto first_of = [&](int64_t s, int64_t n) { return s == 0 ? 0 : count * (s + 1) / (n + 1); };
        for_each_run(pool.parallel_for(), threads, first_of, most, [&](const Stretch& run) {
          for (int64_t i = run.begin; i < run.end; ++i) ++seen[static_cast<size_t>(i)];
          if (run.end - run.begin > longest) longest = run.end - run.begin;
          EXPECT_TRUE(run.next == -1 || (run.next == run.end && run.next < count)) << run.next;
        });
        for (const auto& times : seen) ASSERT_EQ(times, 1) << count << " items, " << threads << " threads";
        EXPECT_LE(longest, most);
      }
    }
  }
  std::vector<int64_t> alone;  // with one thread: in order, ever shorter
  for_each_run(
      serial_for, 1, [](int64_t s, int64_t) { return 64 * s; }, 64,
      [&](const Stretch& run) {
        EXPECT_EQ(run.begin, alone.empty() ? 0 : alone.back());
        EXPECT_EQ(run.next, run.end < 64 ? run.end : -1);
        alone.push_back(run.end);
      });
  EXPECT_EQ(alone.front(), 56);
  EXPECT_EQ(alone.back(), 64);
}

TEST(TestFolder, IsOfOneObjectAndGoesWithIt) {
  fs::path gone;
  {
    const TestFolder a("same"), b("same");
    EXPECT_EQ(read_file(a.write("x", "1")), "1");
    EXPECT_EQ(b.count(), 0u);
    gone = a.path();
  }
  EXPECT_FALSE(fs::exists(gone));
}

TEST(File, WritesAreWholeOrAbsent) {
  const TestFolder folder("base_test", TestFolder::Place::kDisk);  // where fsync means something
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
  EXPECT_EQ(folder.count(), 2u) << "temporary names are cleaned up";
}

TEST(File, EveryFailingCallLeavesOldOrNew) {
  const TestFolder folder;
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
    EXPECT_EQ(folder.count(), 1u);
    if (!files.failed()) break;
    ++failures;
  }
  EXPECT_EQ(failures, 5);
}

class SizesOfWrites : public FileSystem {
 public:
  std::vector<size_t> sizes;
  void write(int fd, const fs::path& path, std::span<const std::byte> bytes) override {
    sizes.push_back(bytes.size());
    FileSystem::write(fd, path, bytes);
  }
};

TEST(File, IsWrittenInPiecesThatLargePagesCanHold) {
  const TestFolder folder;
  const fs::path path = folder / "large";
  std::string all;
  SizesOfWrites files;
  {
    FileWriter writer(path, files);
    // Ends: within a piece, a byte before the end of one, at it, within, after two more, within.
    for (const size_t size : {size_t{3}, kLargePage - 4, size_t{1}, size_t{7}, 2 * kLargePage, size_t{1}}) {
      const std::string piece(size, static_cast<char>('a' + all.size() % 23));
      writer.write(piece);
      all += piece;
    }
    writer.finish();
  }
  EXPECT_EQ(files.sizes, (std::vector<size_t>{kLargePage, kLargePage, kLargePage, 8}));
  const MappedFile mapped(path);
  EXPECT_EQ(as_text(mapped.bytes()), all);
  std::vector<std::byte> copy(mapped.bytes().begin(), mapped.bytes().end());
  gather_into_large_pages(copy);
  EXPECT_EQ(as_text(copy), all) << "moved, not changed";
}

// Bytes of a mapped file that need no fault to be read.
size_t mapped_bytes(const MappedFile& file) {
  std::ostringstream begin;
  begin << std::hex << reinterpret_cast<uintptr_t>(file.bytes().data()) << '-';
  std::ifstream maps("/proc/self/smaps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    found = found || line.starts_with(begin.str());
    if (found && line.starts_with("Rss:")) return std::stoul(line.substr(4)) * 1024;
  }
  return 0;
}

TEST(File, IsMappedAtOnceWhereTheSystemCan) {
  const TestFolder folder;
  write_file(folder / "big", std::string(3 * kLargePage, 'x'));
  const MappedFile file(folder / "big");
  EXPECT_EQ(mapped_bytes(file), 0u);
  if (!map_at_once(file.bytes().subspan(5))) GTEST_SKIP() << "this system maps page by page";
  EXPECT_EQ(mapped_bytes(file), 3 * kLargePage);
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
  const TestFolder folder;
  const fs::path path = folder / "log";
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
}

TEST(File, SymlinkIsReplaced) {
  const TestFolder folder;
  for (const char* target : {"a", "b"}) {
    replace_symlink(target, folder / "latest");
    EXPECT_EQ(fs::read_symlink(folder / "latest"), target);
  }
  fs::create_directory(folder / "taken");
  EXPECT_THROW(replace_symlink("a", folder / "taken"), Error);
  EXPECT_EQ(folder.count(), 2u) << "temporary names are cleaned up";
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
