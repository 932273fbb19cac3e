// Writing and reading back: laws, checksums, an independent reader, disks that fail.
#include "formats/safetensors.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdio>
#include <cstring>

#include "base/json.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "formats/safetensors_writer.h"

namespace dsmoe::formats {
namespace {

using std::string;

struct Stored {
  string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  string bytes;
};
using Set = std::vector<Stored>;

// A set of tensors from a seed: odd names, all dtypes, scalars, empty ones, up to four dimensions.
Set random_set(uint64_t seed) {
  base::Rng rng(seed);
  static const std::vector<string> kPieces = {"a", "weight", ".", "\"", "\\", "层", "\n", "\xf0\x9f\x98\x80", " ", "0"};
  Set set;
  for (uint64_t count = rng.below(9); set.size() < count;) {
    Stored tensor{std::to_string(set.size()), static_cast<Dtype>(rng.below(22)), {}, {}};
    for (uint64_t i = rng.below(4); i > 0; --i) tensor.name += kPieces[rng.below(kPieces.size())];
    for (uint64_t i = rng.below(5); i > 0; --i) tensor.shape.push_back(static_cast<int64_t>(rng.below(5)));
    if (bits_of(tensor.dtype) % 8 != 0) tensor.shape.push_back(4);  // four of 4 or 6 bits are whole bytes
    uint64_t bytes = 0;
    EXPECT_TRUE(tensor_bytes(tensor.dtype, tensor.shape, bytes));
    for (uint64_t i = 0; i < bytes; ++i) tensor.bytes += static_cast<char>(rng.next());
    set.push_back(std::move(tensor));
  }
  return set;
}

std::vector<TensorDeclaration> declarations_of(const Set& set) {
  std::vector<TensorDeclaration> all;
  for (const Stored& tensor : set) all.push_back({tensor.name, tensor.dtype, tensor.shape});
  return all;
}

// Streams in pieces of a random size, in the order of declaration.
void write_stream(const base::fs::path& path, const Set& set, base::Rng& rng, SafetensorsOptions options,
                  base::FileSystem& files = base::unsynced_files) {
  SafetensorsWriter writer(path, declarations_of(set), std::move(options), files);
  for (const Stored& tensor : set) {
    for (size_t at = 0; at < tensor.bytes.size();) {
      const size_t piece = std::min<size_t>(1 + rng.below(40), tensor.bytes.size() - at);
      writer.append(std::as_bytes(std::span(tensor.bytes).subspan(at, piece)));
      at += piece;
    }
  }
  EXPECT_EQ(writer.current(), nullptr);
  writer.finish();
  EXPECT_EQ(writer.file_size(), base::fs::file_size(path));
}

void expect_equal(const base::fs::path& path, const Set& set) {
  const SafetensorsFile file(path);
  ASSERT_EQ(file.entries().size(), set.size());
  for (const Stored& tensor : set) {
    const TensorView view = file.tensor(tensor.name);
    EXPECT_EQ(view.dtype, tensor.dtype);
    EXPECT_EQ(view.shape, tensor.shape);
    EXPECT_EQ(base::as_text(view.bytes), tensor.bytes);
  }
}

TEST(Safetensors, TwoThousandRandomSetsComeBackByteForByte) {
  const base::TestFolder folder("safetensors_sets");
  const base::fs::path path = folder / "set.safetensors";
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    base::Rng rng(seed);
    const Set set = random_set(seed);
    const bool checksums = rng.below(2) == 0;
    if (rng.below(2) == 0) {
      write_stream(path, set, rng, {.metadata = {{"key", "值\"\\"}}, .checksums = checksums});
      EXPECT_EQ(SafetensorsFile(path).metadata().at("key"), "值\"\\");
    } else {
      std::vector<NamedTensor> tensors;
      for (const Stored& each : set) {
        tensors.push_back({each.name, {each.dtype, each.shape, std::as_bytes(std::span(each.bytes))}});
      }
      write_safetensors(path, std::move(tensors), {.metadata = {}, .checksums = checksums}, base::unsynced_files);
    }
    expect_equal(path, set);
    const SafetensorsFile file(path);
    EXPECT_EQ((base::fs::file_size(path) - file.data_size()) % 8, 0u) << "data starts at a multiple of 8";
    EXPECT_EQ(file.verify(), checksums && !set.empty());
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST(Safetensors, InMemoryOrderIsWideFirstThenByName) {
  const base::TestFolder folder("safetensors_order");
  const string bytes(8, 'x');
  const auto tensor = [&](const string& name, Dtype dtype) {
    return NamedTensor{name, {dtype, {}, std::as_bytes(std::span(bytes).first(bits_of(dtype) / 8))}};
  };
  write_safetensors(folder / "f", {tensor("b", Dtype::kU8), tensor("d", Dtype::kF32), tensor("a", Dtype::kU8),
                                   tensor("c", Dtype::kI64), tensor("a32", Dtype::kI32)});
  string order;
  const SafetensorsFile file(folder / "f");
  for (const TensorEntry& entry : file.entries()) order += entry.name + " ";
  EXPECT_EQ(order, "c a32 d a b ");
}

// The independent reader: tests/read_safetensors.py knows nothing but the format's description.
TEST(Safetensors, AnotherReaderSeesTheSame) {
  const base::TestFolder folder("safetensors_python");
  string command = "python3 " DSMOE_SOURCE_DIR "/tests/read_safetensors.py";
  constexpr int kFiles = 40;
  for (int i = 0; i < kFiles; ++i) {
    base::Rng rng(static_cast<uint64_t>(i));
    const base::fs::path path = folder / (std::to_string(i) + ".safetensors");
    write_stream(path, random_set(static_cast<uint64_t>(i) + 5000), rng, {});
    command += " " + path.string();
  }
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  string text;
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, got);
  if (::pclose(pipe) != 0 && text.empty()) GTEST_SKIP() << "python3 is not installed";
  const base::Json files = base::parse_json(text, "the reader's output");
  ASSERT_EQ(files.size(), static_cast<size_t>(kFiles));
  for (int i = 0; i < kFiles; ++i) {
    const base::Json& file = files[static_cast<size_t>(i)];
    const Set set = random_set(static_cast<uint64_t>(i) + 5000);
    ASSERT_EQ(file.size(), set.size());
    for (const Stored& tensor : set) {
      const base::Json& seen = base::require_member(file, tensor.name, "file");
      string hex;
      for (const char c : tensor.bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        hex += digits;
      }
      EXPECT_EQ(seen["dtype"], string(name_of(tensor.dtype)));
      EXPECT_EQ(seen["shape"], base::Json(tensor.shape));
      EXPECT_EQ(seen["bytes"], hex);
    }
  }
}

TEST(Safetensors, EveryFailingCallIsAnErrorOfInputAndOutput) {
  const base::TestFolder folder("safetensors_failing");
  const Set set = random_set(11);
  ASSERT_FALSE(set.empty());
  int failures = 0;
  for (int k = 1;; ++k) {
    base::FailingFiles files(k);
    base::Rng rng(3);
    try {
      write_stream(folder / "f", set, rng, {}, files);
      EXPECT_FALSE(files.failed());
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
      EXPECT_TRUE(files.failed());
    }
    if (!files.failed()) break;
    ++failures;
  }
  EXPECT_GE(failures, 4) << "create, write, the header again, fsync";
}

TEST(Safetensors, EveryFlippedBitIsNoticed) {
  const base::TestFolder folder("safetensors_flips");
  const Set set = {{"a", Dtype::kBf16, {3, 5}, string(30, '\1')}, {"b", Dtype::kF32, {2}, string(8, '\2')}};
  base::Rng rng(1);
  write_stream(folder / "f", set, rng, {.metadata = {}, .checksums = true});
  const string good = base::read_file(folder / "f");
  ASSERT_TRUE(SafetensorsFile(folder / "f").verify());
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    base::write_file(folder / "f", bad, base::unsynced_files);
    bool noticed = false;
    try {
      noticed = !SafetensorsFile(folder / "f").verify();  // a file that lost all its checksums says so
    } catch (const base::Error& error) {
      noticed = error.kind() == base::ErrorKind::kInvalid;
    }
    EXPECT_TRUE(noticed) << "bit " << bit % 8 << " of byte " << bit / 8 << ": " << bad.substr(0, 200);
  }
}

TEST(Safetensors, VerifyNamesTheTensor) {
  const base::TestFolder folder("safetensors_verify");
  const Set set = {{"first", Dtype::kU8, {4}, "1234"}, {"second", Dtype::kU8, {4}, "5678"}};
  base::Rng rng(1);
  write_stream(folder / "f", set, rng, {});
  string text = base::read_file(folder / "f");
  text.back() = '9';
  base::write_file(folder / "f", text);
  const SafetensorsFile file(folder / "f");
  const string message = base::message_of([&] { file.verify(); });
  EXPECT_NE(message.find("differs from its checksum"), string::npos) << message;
  EXPECT_NE(message.find("\"second\""), string::npos) << message;
  EXPECT_NE(base::message_of([&] { file.tensor("secnd"); }).find("nearest name is second"), string::npos);
}

TEST(Dtype, ConversionsMeetEveryFloatType) {
  const std::vector<float> values = {0.0f, -0.0f, 1.0f, -2.5f, 0x1p-20f, 65504.0f, 3.1415927f};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
    string bytes(values.size() * bits_of(dtype) / 8 + 1, '\0');
    const auto odd = std::as_writable_bytes(std::span(bytes)).subspan(1);  // an address that aligns to nothing
    from_f32(values, dtype, odd);
    std::vector<float> back(values.size());
    to_f32(dtype, odd, back);
    const float epsilon = dtype == Dtype::kF32 ? 0.0f : dtype == Dtype::kBf16 ? 0x1p-8f : 0x1p-11f;
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(back[i], values[i], std::fabs(values[i]) * epsilon + (dtype == Dtype::kF16 ? 0x1p-25f : 0.0f));
      EXPECT_EQ(std::signbit(back[i]), std::signbit(values[i]));
    }
  }
  const double wide = 1.0 / 3;
  std::vector<float> narrow(1);
  to_f32(Dtype::kF64, std::as_bytes(std::span(&wide, 1)), narrow);
  EXPECT_EQ(narrow[0], 1.0f / 3);
  EXPECT_THROW(to_f32(Dtype::kI32, std::as_bytes(std::span(values)), narrow), base::Error);
}

}  // namespace
}  // namespace dsmoe::formats
