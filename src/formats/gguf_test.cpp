// Writing and reading back: laws, kinds of keys, disks that fail or are full.
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "formats/element_types.h"
#include "formats/gguf_writer.h"
#include "formats/test_gguf.h"

namespace dsmoe::formats {
namespace {

using std::string;

struct Stored {
  GgufDeclaration declaration;
  string bytes;
};
using Set = std::vector<Stored>;

// Tensors from a seed: every type, one to four dimensions, odd names.
Set random_set(uint64_t seed) {
  base::Rng rng(seed);
  static const std::vector<string> kPieces = {"blk", ".", "weight", "层", "\"", " ", "0"};
  Set set;
  for (uint64_t count = rng.below(9); set.size() < count;) {
    Stored tensor;
    const GgufTypeInfo& info = gguf_types()[rng.below(gguf_types().size())];
    tensor.declaration.name = std::to_string(set.size());
    for (uint64_t i = rng.below(4); i > 0; --i) tensor.declaration.name += kPieces[rng.below(kPieces.size())];
    tensor.declaration.type = info.type;
    for (uint64_t i = rng.below(4); i > 0; --i) {
      tensor.declaration.shape.push_back(1 + static_cast<int64_t>(rng.below(4)));
    }
    tensor.declaration.shape.push_back((1 + static_cast<int64_t>(rng.below(3))) * info.block_values);
    for (uint64_t i = 0; i < tensor.declaration.bytes(); ++i) tensor.bytes += static_cast<char>(rng.next());
    set.push_back(std::move(tensor));
  }
  return set;
}

std::vector<GgufDeclaration> declarations_of(const Set& set) {
  std::vector<GgufDeclaration> all;
  for (const Stored& tensor : set) all.push_back(tensor.declaration);
  return all;
}

// Streams in pieces of a random size.
void write_set(const base::fs::path& path, const GgufMetadata& metadata, const Set& set, base::Rng& rng,
               base::FileSystem& files = base::unsynced_files) {
  GgufWriter writer(path, metadata, declarations_of(set), files);
  for (const Stored& tensor : set) {
    for (size_t at = 0; at < tensor.bytes.size();) {
      const size_t piece = std::min<size_t>(1 + rng.below(400), tensor.bytes.size() - at);
      writer.append(std::as_bytes(std::span(tensor.bytes).subspan(at, piece)));
      at += piece;
    }
  }
  EXPECT_FALSE(base::fs::exists(path)) << "nothing under the name before the end";
  writer.finish();
  EXPECT_EQ(writer.file_size(), base::fs::file_size(path));
}

TEST(Gguf, AThousandRandomSetsComeBackByteForByte) {
  const base::TestFolder folder("gguf_sets");
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    base::Rng rng(seed);
    const Set set = random_set(seed);
    const base::fs::path path = folder / (std::to_string(seed) + ".gguf");
    GgufMetadata metadata;
    metadata.add_text("general.name", string(rng.below(100), 'n'));
    write_set(path, metadata, set, rng);
    const GgufFile file(path);
    ASSERT_EQ(file.tensors().size(), set.size());
    for (const Stored& tensor : set) {
      const GgufTensor* found = file.find_tensor(tensor.declaration.name);
      ASSERT_NE(found, nullptr);
      EXPECT_EQ(found->type, tensor.declaration.type);
      EXPECT_EQ(found->shape(), tensor.declaration.shape);
      EXPECT_EQ(base::as_text(file.bytes(*found)), tensor.bytes);
      EXPECT_EQ((file.header().data_start + found->offset) % kGgufAlignment, 0u);
    }
    EXPECT_EQ(file.find_tensor("none"), nullptr);
    base::fs::remove(path);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST(Gguf, KeysOfEveryKindComeBack) {
  const base::TestFolder folder("gguf_keys");
  GgufMetadata metadata;
  metadata.add_u32("u32", 4294967295);
  metadata.add_f32("f32", 0.1);
  metadata.add_f64("f64", 0.1);
  metadata.add_bool("yes", true);
  metadata.add_bool("no", false);
  metadata.add_text("text", "zwölf");
  metadata.add_texts("texts", std::vector<string>{"a", "", "ccc"});
  metadata.add_i32s("i32s", std::vector<int32_t>{-1, 0, 7});
  write_set(folder / "f", metadata, {}, *std::make_unique<base::Rng>(1));
  const GgufFile file(folder / "f");
  EXPECT_EQ(file.integer("u32"), 4294967295);
  EXPECT_EQ(file.number("u32"), 4294967295.0);
  EXPECT_EQ(file.number("f32"), double{0.1f});
  EXPECT_EQ(file.number("f64"), 0.1);
  EXPECT_EQ(file.boolean("yes"), true);
  EXPECT_EQ(file.boolean("no"), false);
  EXPECT_EQ(file.text("text"), "zwölf");
  EXPECT_EQ(file.texts("texts"), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(file.integers("i32s"), (std::vector<int64_t>{-1, 0, 7}));
  EXPECT_EQ(file.integer("none"), std::nullopt);
  EXPECT_EQ(file.texts("none"), std::nullopt);

  const auto refuses = [&](const std::function<void()>& ask, const string& what) {
    EXPECT_NE(base::message_of(ask).find(what), string::npos) << base::message_of(ask);
  };
  refuses([&] { file.integer("f32"); }, "a key must be an integer");
  refuses([&] { file.number("text"); }, "a key must be a number");
  refuses([&] { file.boolean("u32"); }, "a key must be a bool");
  refuses([&] { file.text("texts"); }, "a key must be a string");
  refuses([&] { file.texts("i32s"); }, "a key must be an array of strings");
  refuses([&] { file.integers("texts"); }, "a key must be an array of integers");
  refuses([&] { file.integer("text"); }, "\"text\"");
}

TEST(Gguf, IntegersOfEveryWidth) {
  const base::TestFolder folder("gguf_integers");
  GgufText file(3, 0, 8);
  file.key("0", 0).u8(200).key("1", 1).u8(0xff).key("2", 2).u8(1).u8(2).key("3", 3).u8(0xfe).u8(0xff);
  file.key("5", 5).u32(~0u).key("10", 10).u64(uint64_t{1} << 40).key("11", 11).u64(~uint64_t{6});
  file.key("wide", 10).u64(~uint64_t{0});
  base::write_file(folder / "f", file.text);
  const GgufFile read(folder / "f");
  EXPECT_EQ(read.integer("0"), 200);
  EXPECT_EQ(read.integer("1"), -1);
  EXPECT_EQ(read.integer("2"), 513);
  EXPECT_EQ(read.integer("3"), -2);
  EXPECT_EQ(read.integer("5"), -1);
  EXPECT_EQ(read.integer("10"), int64_t{1} << 40);
  EXPECT_EQ(read.integer("11"), -7);
  EXPECT_THROW(read.integer("wide"), base::Error);
}

TEST(Gguf, TheWriterRefusesWhatNoReaderTakes) {
  const base::TestFolder folder("gguf_refused");
  const auto refuses = [&](std::vector<GgufDeclaration> tensors, const string& rule) {
    const string message = base::message_of([&] { GgufWriter(folder / "f", {}, std::move(tensors)); });
    EXPECT_NE(message.find(rule), string::npos) << message;
  };
  refuses({{"a", GgufType::kF32, {2}}, {"a", GgufType::kF32, {2}}}, "a tensor comes twice");
  refuses({{string(64, 'n'), GgufType::kF32, {2}}}, "a tensor's name is UTF-8 of 1 to 63 bytes");
  refuses({{"", GgufType::kF32, {2}}}, "a tensor's name");
  refuses({{"\xff", GgufType::kF32, {2}}}, "a tensor's name");
  refuses({{"a", GgufType::kF32, {}}}, "1 to 4 dimensions");
  refuses({{"a", GgufType::kF32, {1, 1, 1, 1, 1}}}, "1 to 4 dimensions");
  refuses({{"a", GgufType::kF32, {0}}}, "impossible shape");
  refuses({{"a", GgufType::kF32, {int64_t{1} << 32, int64_t{1} << 32}}}, "impossible shape");
  refuses({{"a", GgufType::kF32, {int64_t{1} << 62}}}, "impossible shape");
  refuses({{"a", GgufType::kQ4_0, {40}}}, "whole blocks of 32");
  refuses({{"a", GgufType::kF32, {int64_t{1} << 50}}}, "not enough free space");
  EXPECT_EQ(folder.count(), 0u) << "nothing is made before the first rule holds";
  GgufMetadata metadata;
  metadata.add_u32("k", 1);
  EXPECT_THROW(metadata.add_bool("k", true), base::Error);
  EXPECT_THROW(metadata.add_u32("", 1), base::Error);
  EXPECT_THROW(metadata.add_u32("below", -1), base::Error);
  EXPECT_THROW(metadata.add_u32("above", int64_t{1} << 32), base::Error);
}

TEST(Gguf, EveryFailingCallLeavesTheOldFileOrTheNewOne) {
  const base::TestFolder folder("gguf_failing");
  const Set set = random_set(12);
  ASSERT_FALSE(set.empty());
  int failures = 0;
  for (int k = 1;; ++k) {
    base::FailingFiles files(k);
    base::fs::remove(folder / "f");
    base::Rng rng(3);
    try {
      write_set(folder / "f", {}, set, rng, files);
      EXPECT_FALSE(files.failed());
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
      EXPECT_TRUE(files.failed());
    }
    if (base::fs::exists(folder / "f")) {
      EXPECT_EQ(GgufFile(folder / "f").tensors().size(), set.size());
      EXPECT_EQ(folder.count(), 1u);
    } else {
      EXPECT_EQ(folder.count(), 0u) << "no temporary file stays";
    }
    if (!files.failed()) break;
    ++failures;
  }
  EXPECT_GE(failures, 5) << "create, write, fsync, rename, fsync of the folder";
}

// Every type of a file is one that weights are stored in, with its sizes, or none at all: never taken for another.
TEST(ElementTypes, FilesAreViewsOfOneTable) {
  size_t of_weights = 0;
  for (const GgufTypeInfo& info : gguf_types()) {
    const auto element = element_type(info.type);
    EXPECT_EQ(element.has_value(), info.type != GgufType::kI32) << info.name;
    EXPECT_EQ(is_float(info.type), element && info.block_values == 1) << info.name;
    if (!element) continue;
    ++of_weights;
    EXPECT_EQ(base::info_of(*element).block_bytes, info.block_bytes) << info.name;
    const auto dtype = dtype_of(*element);
    EXPECT_EQ(dtype.has_value(), info.block_values == 1) << info.name;
    if (!dtype) continue;
    EXPECT_EQ(bits_of(*dtype), 8 * info.block_bytes) << info.name;
    EXPECT_EQ(element_type(*dtype), element) << info.name;
  }
  EXPECT_EQ(of_weights, base::kElementTypes.size());
  for (const Dtype other : {Dtype::kF64, Dtype::kI32, Dtype::kU8}) EXPECT_FALSE(element_type(other)) << name_of(other);
}

}  // namespace
}  // namespace dsmoe::formats
