// Every rule of the format by hand-made files: each is refused with the sentence of its rule, or accepted.
#include <gtest/gtest.h>

#include "base/test_files.h"
#include "formats/gguf.h"
#include "formats/test_gguf.h"

namespace dsmoe::formats {
namespace {

using std::string;

constexpr uint32_t kU32 = 4, kF32 = 6, kBool = 7, kString = 8, kArray = 9, kU64 = 10;  // types of values
constexpr uint32_t kTypeF32 = 0, kTypeQ4_0 = 2, kTypeQ4K = 12;
constexpr uint64_t kHuge = ~uint64_t{0};

struct Case {
  const char* name;
  string file;
  string rule;  // part of the error's line; empty: accepted
};

void PrintTo(const Case& each, std::ostream* out) { *out << each.name; }

// One tensor of two floats.
GgufText one_tensor() { return GgufText(3, 1, 0).tensor("a", {2}, kTypeF32, 0); }
// One key of any type; its value is to follow.
GgufText one_key(uint32_t type, const string& key = "k") { return GgufText(3, 0, 1).key(key, type); }

std::vector<Case> header_cases() {
  const string good = one_tensor().data(8).text;
  string other = good;
  other[0] = 'g';
  return {
      {"Empty", "", "begins with the letters GGUF"},
      {"BadMagic", other, "begins with the letters GGUF"},
      {"OnlyMagic", "GGUF", "ends inside the version"},
      {"VersionOne", GgufText(1, 0, 0).text, "the version must be 2 or 3"},
      {"VersionZero", GgufText(0, 0, 0).text, "the version must be 2 or 3"},
      {"FutureVersion", GgufText(4, 0, 0).text, "the version must be 2 or 3"},
      {"BigEndian", GgufText(0x03000000, 0, 0).text, "big-endian"},
      {"NoCounts", good.substr(0, 8), "ends inside the number of tensors"},
      {"NoKeyCount", good.substr(0, 16), "ends inside the number of keys"},
      {"TensorCountTooLarge", GgufText(3, 2, 0).tensor("a", {2}, 0, 0).text, "more tensors than the file"},
      {"TensorCountOfAllOnes", GgufText(3, kHuge, 0).data(64).text, "more tensors than the file"},
      {"KeyCountTooLarge", GgufText(3, 0, 2).key("k", kU32).u32(1).text, "more keys than the file"},
      {"KeyCountOfAllOnes", GgufText(3, 0, kHuge).data(64).text, "more keys than the file"},
      {"BothCountsHalfTheRange", GgufText(3, uint64_t{1} << 63, uint64_t{1} << 63).data(64).text, "more keys than"},
      {"NothingInIt", GgufText(3, 0, 0).text, ""},
      {"NothingInItPadded", GgufText(3, 0, 0).data(0).text, ""},
      {"Good", good, ""},
      {"GoodVersionTwo", GgufText(2, 1, 0).tensor("a", {2}, 0, 0).data(8).text, ""},
      {"GoodWithTailPadding", one_tensor().data(8).data(0).text, ""},
      {"DataCutShort", good.substr(0, good.size() - 1), "ends inside a tensor"},
      {"DataCutAway", one_tensor().data(0).text, "ends inside a tensor"},
      {"PaddingCutAway", one_tensor().text, "ends before its data"},
      {"OneByteTooMany", one_tensor().data(9).text, "bytes follow the last tensor"},
      {"AnotherFileBehind", good + good, "bytes follow the last tensor"},
  };
}

std::vector<Case> key_cases() {
  const auto array = [](uint32_t element, uint64_t count) { return one_key(kArray).u32(element).u64(count); };
  return {
      {"KeyWithoutName", one_key(kU32, "").u32(1).data(8).text, "a key has 1 to 65535 bytes"},
      {"KeyTooLong", one_key(kU32, string(65536, 'k')).u32(1).text, "a key has 1 to 65535 bytes"},
      {"KeyOfAnyLength", one_key(kU32, string(65535, 'k')).u32(1).text, ""},
      {"KeyLengthOfAllOnes", GgufText(3, 0, 1).u64(kHuge).data(64).text, "a key has 1 to 65535 bytes"},
      {"KeyBeyondTheFile", GgufText(3, 0, 1).u64(200).data(64).text, "ends inside a key"},
      {"KeyNotUtf8", one_key(kU32, "\xff").u32(1).text, "a key must be UTF-8"},
      {"KeyTwice", GgufText(3, 0, 2).key("k", kU32).u32(1).key("k", kF32).f32(1).text, "a key is there twice"},
      {"UnknownType", one_key(13).u64(0).text, "unknown type of value"},
      {"TypeOfAllOnes", one_key(~0u).u64(0).text, "unknown type of value"},
      {"ValueCutShort", one_key(kU64).u32(1).text, "ends inside a value"},
      {"BoolOfTwo", one_key(kBool).u8(2).text, "a bool is 0 or 1"},
      {"BoolOfOne", one_key(kBool).u8(1).text, ""},
      {"StringBeyondTheFile", one_key(kString).u64(9).u64(0).text, "ends inside a string"},
      {"StringOfAllOnes", one_key(kString).u64(kHuge).u64(0).text, "ends inside a string"},
      {"EmptyString", one_key(kString).string("").text, ""},
      {"ArrayBeyondTheFile", array(kU32, 3).u64(0).text, "an array is longer than the file"},
      {"ArrayThatWraps", array(kU64, uint64_t{1} << 61).u64(0).u64(0).text, "an array is longer than the file"},
      {"ArrayOfAllOnes", array(0, kHuge).u64(0).text, "an array is longer than the file"},
      {"ArrayOfUnknown", array(13, 1).u64(0).text, "unknown type of value"},
      {"ArrayOfArrays", array(kArray, 1).u32(kU32).u64(0).text, "arrays of arrays"},
      {"ArrayOfManyStrings", array(kString, 1000).string("a").string("b").text, "an array is longer than the file"},
      {"ArrayOfStringsCutShort", array(kString, 2).string("a").u64(5).text, "ends inside a string of an array"},
      {"ArrayOfBools", array(kBool, 2).u8(1).u8(7).text, "a bool is 0 or 1"},
      {"EmptyArray", array(kString, 0).text, ""},
      {"AlignmentZero", one_key(kU32, "general.alignment").u32(0).text, "must be a power of two"},
      {"AlignmentOdd", one_key(kU32, "general.alignment").u32(33).text, "must be a power of two"},
      {"AlignmentOfAnotherType", one_key(kU64, "general.alignment").u64(32).text, "general.alignment must be a u32"},
      {"AlignmentOf2To31", one_key(kU32, "general.alignment").u32(1u << 31).text, ""},
  };
}

std::vector<Case> tensor_cases() {
  const auto tensor = [](const string& name, std::vector<uint64_t> sizes, uint32_t type = kTypeF32,
                         uint64_t offset = 0) { return GgufText(3, 1, 0).tensor(name, sizes, type, offset); };
  const auto two = [](const string& second, uint64_t second_offset) {
    return GgufText(3, 2, 0).tensor("a", {2}, kTypeF32, 0).tensor(second, {2}, kTypeF32, second_offset).data(64).text;
  };
  constexpr uint64_t k2To32 = uint64_t{1} << 32;
  return {
      {"NameEmpty", tensor("", {2}).data(8).text, "a tensor's name has 1 to 64 bytes"},
      {"NameTooLong", tensor(string(65, 'n'), {2}).data(8).text, "a tensor's name has 1 to 64 bytes"},
      {"NameOf64", tensor(string(64, 'n'), {2}).data(8).text, ""},
      {"NameNotUtf8", tensor("\xc3", {2}).data(8).text, "a tensor's name must be UTF-8"},
      {"NoDimensions", tensor("a", {}).data(8).text, "a tensor has 1 to 4 dimensions"},
      {"FiveDimensions", tensor("a", {1, 1, 1, 1, 1}).data(8).text, "a tensor has 1 to 4 dimensions"},
      {"FourDimensions", tensor("a", {2, 1, 1, 1}).data(8).text, ""},
      {"DimensionsOfAllOnes", GgufText(3, 1, 0).string("a").u32(~0u).data(64).text, "a tensor has 1 to 4 dimensions"},
      {"SizeZero", tensor("a", {2, 0}).data(8).text, "sizes are from 1"},
      {"SizeNegative", tensor("a", {kHuge}).data(8).text, "sizes are from 1"},
      {"ProductWrapsToSmall", tensor("a", {k2To32, k2To32, 2}).data(8).text, "the product of sizes leaves 63 bits"},
      {"ProductWrapsToNegative", tensor("a", {k2To32, k2To32 / 2}).data(8).text, "the product of sizes leaves"},
      {"BytesWrap", tensor("a", {k2To32, k2To32 / 4}).data(8).text, "a tensor is larger than the file"},
      {"LargerThanTheFile", tensor("a", {1000}).data(8).text, "a tensor is larger than the file"},
      {"TypeUnknown", tensor("a", {32}, 4242).data(8).text, "a type of tensor that dsmoe does not read"},
      {"TypeNegative", tensor("a", {32}, ~0u).data(8).text, "a type of tensor that dsmoe does not read"},
      {"TypeRemovedFromTheFormat", tensor("a", {32}, 4).data(18).text, "a type of tensor that dsmoe does not read"},
      {"RowNotWholeBlocks", tensor("a", {33}, kTypeQ4_0).data(36).text, "a row must be whole blocks"},
      {"RowNotWholeSuperBlocks", tensor("a", {128, 2}, kTypeQ4K).data(144).text, "a row must be whole blocks"},
      {"OneBlock", tensor("a", {32}, kTypeQ4_0).data(18).text, ""},
      {"OffsetBeyondTheFile", tensor("a", {2}, kTypeF32, 1 << 20).data(8).text, "begins beyond the file"},
      {"OffsetOfAllOnes", tensor("a", {2}, kTypeF32, kHuge).data(8).text, "begins beyond the file"},
      {"OffsetNotAligned", tensor("a", {2}, kTypeF32, 4).data(12).text, "tensors must follow one another"},
      {"HoleBefore", tensor("a", {2}, kTypeF32, 32).data(40).text, "tensors must follow one another"},
      {"Two", two("b", 32), ""},
      {"NameTwice", two("a", 32), "a tensor is there twice"},
      {"Overlap", two("b", 0), "tensors must follow one another"},
      {"Hole", two("b", 64), "tensors must follow one another"},
      {"AlignmentOfTheFileNotObeyed",
       GgufText(3, 2, 1)
           .key("general.alignment", kU32)
           .u32(64)
           .tensor("a", {2}, kTypeF32, 0)
           .tensor("b", {2}, kTypeF32, 32)
           .data(64, 64)
           .text,
       "tensors must follow one another"},
      {"AlignmentOfTheFile",
       GgufText(3, 2, 1)
           .key("general.alignment", kU32)
           .u32(64)
           .tensor("a", {2}, kTypeF32, 0)
           .tensor("b", {2}, kTypeF32, 64)
           .data(72, 64)
           .text,
       ""},
      {"TensorCutShort", one_tensor().text.substr(0, 40), "more tensors than the file"},
      {"SecondTensorCutShort", GgufText(3, 2, 0).tensor("abcdefghijklmnopqrstuvwxyz012345678", {2}, kTypeF32, 0).text,
       "ends inside"},
  };
}

class GgufRules : public ::testing::TestWithParam<Case> {};

TEST_P(GgufRules, Verdict) {
  const Case& each = GetParam();
  const string message = base::message_of([&] { read_gguf_header(each.file, "f.gguf"); });
  if (each.rule.empty()) {
    EXPECT_EQ(message, "(no error)");
  } else {
    EXPECT_EQ(message.find("[gguf] "), 0u) << message;
    EXPECT_NE(message.find(each.rule), string::npos) << message;
    EXPECT_NE(message.find("f.gguf"), string::npos) << message;
  }
}

string case_name(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Header, GgufRules, ::testing::ValuesIn(header_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Keys, GgufRules, ::testing::ValuesIn(key_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Tensors, GgufRules, ::testing::ValuesIn(tensor_cases()), case_name);

// Cut anywhere, a good file is refused.
TEST(GgufRules, NoPrefixOfAFileIsAFile) {
  GgufText file(3, 2, 3);
  file.key("a", kString).string("text").key("b", kArray).u32(kString).u64(2).string("x").string("y");
  file.key("c", kArray).u32(kU32).u64(2).u32(1).u32(2);
  file.tensor("one", {32, 2}, kTypeQ4_0, 0).tensor("two", {3}, kTypeF32, 64).data(64 + 12);
  EXPECT_EQ(base::message_of([&] { read_gguf_header(file.text, "f"); }), "(no error)");
  for (size_t size = 0; size < file.text.size(); ++size) {
    EXPECT_THROW(read_gguf_header(std::string_view(file.text).substr(0, size), "f"), base::Error) << size;
  }
}

}  // namespace
}  // namespace dsmoe::formats
