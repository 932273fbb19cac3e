// Every rule of the format by hand-made files: each is refused with the sentence of its rule, or accepted.
#include <gtest/gtest.h>

#include "base/test_files.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"

namespace dsmoe::formats {
namespace {

using std::string;

string length_bytes(uint64_t length) {
  string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  return bytes;
}

// A file of this header and as many bytes of data.
string file_of(const string& header, size_t data) { return length_bytes(header.size()) + header + string(data, 'd'); }

// A header's entry for a tensor.
string entry(const string& name, const string& dtype, const string& shape, const string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}";
}

struct Case {
  const char* name;
  string file;
  string rule;  // part of the error's line; empty: accepted
};

void PrintTo(const Case& each, std::ostream* out) { *out << each.name; }

const string kA = entry("a", "F32", "2", "0,8");

std::vector<Case> length_cases() {
  const string good = file_of("{" + kA + "}", 8);
  return {
      {"Empty", "", "too short for a header"},
      {"SevenBytes", "1234567", "too short for a header"},
      {"NoHeaderAtAll", length_bytes(0), "must be a JSON object"},
      {"LengthAboveLimit", length_bytes(100'000'001) + "{}", "at most 100000000 bytes"},
      {"LengthOfAllOnes", string(8, '\xff') + "{}", "at most 100000000 bytes"},
      {"LengthThatWrapsWithEight", length_bytes(~uint64_t{7}) + "{}", "at most 100000000 bytes"},
      {"LengthOneTooLong", length_bytes(3) + "{}", "reaches beyond the end of the file"},
      {"LengthAtLimitInShortFile", length_bytes(100'000'000) + "{}", "reaches beyond the end of the file"},
      {"HeaderCutShort", good.substr(0, 20), "reaches beyond the end of the file"},
      {"DataCutShort", good.substr(0, good.size() - 1), "must end where the file ends"},
      {"DataCutAway", good.substr(0, good.size() - 8), "must end where the file ends"},
      {"OneByteTooMany", good + "x", "must end where the file ends"},
      {"AnotherFileBehind", good + good, "must end where the file ends"},
      {"Good", good, ""},
  };
}

std::vector<Case> json_cases() {
  const string meta = "\"__metadata__\":";
  return {
      {"NotUtf8", file_of("{\"\xff\":1}", 0), "must be UTF-8"},
      {"CutUtf8", file_of("{\"\xe4\xb8\":{}}", 0), "must be UTF-8"},
      {"Array", file_of("[]", 0), "must be a JSON object"},
      {"Number", file_of("7", 0), "must be a JSON object"},
      {"OnlySpaces", file_of("    ", 0), "must be a JSON object"},
      {"ByteOrderMark", file_of("\xef\xbb\xbf{}", 0), "must be a JSON object"},
      {"Unclosed", file_of("{" + kA, 8), "not valid JSON"},
      {"TrailingComma", file_of("{" + kA + ",}", 8), "not valid JSON"},
      {"TwoObjects", file_of("{" + kA + "}{}", 8), "not valid JSON"},
      {"Comment", file_of("{" + kA + "/**/}", 8), "not valid JSON"},
      {"LoneSurrogate", file_of("{" + entry("\\ud800", "U8", "", "0,1") + "}", 1), "not valid JSON"},
      {"NulPadding", file_of("{" + kA + "}" + string(3, '\0'), 8), "NUL"},
      {"NulThenMore", file_of("{" + kA + "}" + string(1, '\0') + "{}", 8), "NUL"},
      {"SpaceBefore", file_of(" \n\t\r{" + kA + "}", 8), ""},
      {"SpaceAfter", file_of("{" + kA + "}   \n", 8), ""},
      {"NoTensors", file_of("{}", 0), ""},
      {"TensorIsText", file_of("{\"a\":\"x\"}", 0), "a tensor must be an object"},
      {"TensorIsArray", file_of("{\"a\":[]}", 0), "a tensor must be an object"},
      {"TensorIsNull", file_of("{\"a\":null}", 0), "a tensor must be an object"},
      {"MetadataEmpty", file_of("{" + meta + "{}," + kA + "}", 8), ""},
      {"MetadataTexts", file_of("{" + meta + "{\"format\":\"pt\",\"\":\"\"}," + kA + "}", 8), ""},
      {"MetadataNumber", file_of("{" + meta + "{\"x\":1}}", 0), "maps texts to texts only"},
      {"MetadataNested", file_of("{" + meta + "{\"x\":{}}}", 0), "maps texts to texts only"},
      {"MetadataNullValue", file_of("{" + meta + "{\"x\":null}}", 0), "maps texts to texts only"},
      {"MetadataText", file_of("{" + meta + "\"x\"}", 0), "__metadata__ must be an object"},
      {"MetadataNull", file_of("{" + meta + "null}", 0), "__metadata__ must be an object"},
      {"MetadataTwice", file_of("{" + meta + "{}," + meta + "{}}", 0), "__metadata__ is there twice"},
      {"MetadataKeyTwice", file_of("{" + meta + "{\"x\":\"1\",\"x\":\"1\"}}", 0), "__metadata__ has a key twice"},
  };
}

std::vector<Case> field_cases() {
  const auto fields = [](const string& inside) { return file_of("{\"a\":{" + inside + "}}", 8); };
  const string rest = ",\"shape\":[2],\"data_offsets\":[0,8]";
  const string head = "\"dtype\":\"F32\",\"shape\":[2]";
  return {
      {"UnknownDtype", fields("\"dtype\":\"F33\"" + rest), "unknown dtype"},
      {"LowerCaseDtype", fields("\"dtype\":\"f32\"" + rest), "unknown dtype"},
      {"DtypeIsNumber", fields("\"dtype\":32" + rest), "dtype must be a text"},
      {"DtypeIsArray", fields("\"dtype\":[\"F32\"]" + rest), "dtype must be a text"},
      {"NoDtype", fields("\"shape\":[2],\"data_offsets\":[0,8]"), "must have dtype, shape and data_offsets"},
      {"NoShape", fields("\"dtype\":\"F32\",\"data_offsets\":[0,8]"), "must have dtype, shape and data_offsets"},
      {"NoOffsets", fields(head), "must have dtype, shape and data_offsets"},
      {"DtypeTwice", fields("\"dtype\":\"F32\"," + head + ",\"data_offsets\":[0,8]"), "has a key twice"},
      {"ShapeTwice", fields(head + ",\"shape\":[2],\"data_offsets\":[0,8]"), "has a key twice"},
      {"ShapeIsNumber", fields("\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]"), "shape must be an array"},
      {"ShapeNegative", file_of("{" + entry("a", "F32", "-2", "0,8") + "}", 8), "a shape holds integers from 0"},
      {"ShapeMinusZero", file_of("{" + entry("a", "F32", "-0", "0,0") + "}", 0), "a shape holds integers from 0"},
      {"ShapeFloat", file_of("{" + entry("a", "F32", "2.0", "0,8") + "}", 8), "a shape holds integers from 0"},
      {"ShapeExponent", file_of("{" + entry("a", "F32", "2e0", "0,8") + "}", 8), "a shape holds integers from 0"},
      {"ShapeText", file_of("{" + entry("a", "F32", "\"2\"", "0,8") + "}", 8), "a shape holds integers from 0"},
      {"ShapeNested", file_of("{" + entry("a", "F32", "[2]", "0,8") + "}", 8), "a shape holds integers from 0"},
      {"ShapeBeyond64Bits", file_of("{" + entry("a", "F32", "18446744073709551616", "0,8") + "}", 8),
       "integers from 0"},
      {"ShapeBeyond63Bits", file_of("{" + entry("a", "F32", "9223372036854775808", "0,8") + "}", 8), "fit 63 bits"},
      {"OffsetsNegative", fields(head + ",\"data_offsets\":[-8,0]"), "two integers from 0"},
      {"OffsetsFloat", fields(head + ",\"data_offsets\":[0,8.0]"), "two integers from 0"},
      {"OffsetsOne", fields(head + ",\"data_offsets\":[8]"), "two integers: "},
      {"OffsetsThree", fields(head + ",\"data_offsets\":[0,8,8]"), "two integers: "},
      {"OffsetsNone", fields(head + ",\"data_offsets\":[]"), "two integers: "},
      {"OffsetsText", fields(head + ",\"data_offsets\":\"0,8\""), "data_offsets must be an array"},
      {"UnknownFieldPassedOver", fields(head + ",\"data_offsets\":[0,8],\"x\":{\"y\":[1,{}]},\"z\":null"), ""},
      {"UnknownFieldTooDeep", fields(head + ",\"data_offsets\":[0,8],\"x\":" + string(100, '[') + string(100, ']')),
       "nested too deep"},
  };
}

std::vector<Case> layout_cases() {
  const auto two = [](const string& first, const string& second, size_t data) {
    return file_of("{" + first + "," + second + "}", data);
  };
  const string huge = "4294967296,4294967296,4294967296";
  string many = "1";
  for (int i = 0; i < 64; ++i) many += ",1";
  return {
      {"NameTwice", two(kA, entry("a", "F32", "2", "8,16"), 16), "a tensor is there twice"},
      {"NameTwiceSameOffsets", two(kA, kA, 8), "a tensor is there twice"},
      {"NameTwiceByEscape", two(kA, entry("\\u0061", "F32", "2", "8,16"), 16), "a tensor is there twice"},
      {"EmptyTensorTwice", two(entry("e", "F32", "0", "0,0"), entry("e", "F32", "0", "0,0"), 0), "is there twice"},
      {"Hole", two(kA, entry("b", "F32", "1", "12,16"), 16), "without hole or overlap"},
      {"HoleAtStart", file_of("{" + entry("a", "F32", "1", "4,8") + "}", 8), "without hole or overlap"},
      {"Overlap", two(kA, entry("b", "F32", "2", "4,12"), 12), "without hole or overlap"},
      {"SameBytesTwice", two(kA, entry("b", "F32", "2", "0,8"), 8), "without hole or overlap"},
      {"Backwards", file_of("{" + entry("a", "F32", "2", "8,0") + "}", 8), "must not go backwards"},
      {"TooFewBytes", file_of("{" + entry("a", "F32", "2", "0,7") + "}", 7), "must span what shape and dtype ask for"},
      {"TooManyBytes", file_of("{" + entry("a", "F32", "2", "0,9") + "}", 9), "must span what shape and dtype ask for"},
      {"ScalarWithoutBytes", file_of("{" + entry("a", "F32", "", "0,0") + "}", 0), "must span what shape and dtype"},
      {"ShapeOverflows", file_of("{" + entry("a", "F32", huge, "0,8") + "}", 8), "does not fit 64 bits"},
      {"ShapeWrapsToZero", file_of("{" + entry("a", "F32", "4294967296,4294967296", "0,0") + "}", 0), "fit 64 bits"},
      {"BitsOverflow", file_of("{" + entry("a", "F64", "288230376151711744", "0,8") + "}", 8), "does not fit 64 bits"},
      {"EndsBeyondFile", file_of("{" + entry("a", "U8", "1000000", "0,1000000") + "}", 8),
       "must end where the file ends"},
      {"OffsetsNearTop", two(kA, entry("b", "U8", "8", "18446744073709551608,18446744073709551616"), 8), "from 0"},
      {"SubByteUneven", file_of("{" + entry("a", "F4", "3", "0,2") + "}", 2), "must end on a byte"},
      {"SubByteUnevenSix", file_of("{" + entry("a", "F6_E2M3", "2", "0,2") + "}", 2), "must end on a byte"},
      {"TooManyDimensions", file_of("{" + entry("a", "U8", many, "0,1") + "}", 1), "at most 64 dimensions"},
      {"SubByteEven", file_of("{" + entry("a", "F4", "4", "0,2") + "}", 2), ""},
      {"SubByteSix", file_of("{" + entry("a", "F6_E3M2", "4", "0,3") + "}", 3), ""},
      {"Scalar", file_of("{" + entry("a", "F32", "", "0,4") + "}", 4), ""},
      {"ZeroSize", two(entry("e", "F32", "0,7", "8,8"), kA, 8), ""},
      {"ZeroSizeBetween", two(kA, entry("e", "F32", "3,0", "0,0"), 8), ""},
      {"AnyOrderOfNames", two(entry("z", "F32", "1", "8,12"), kA, 12), ""},
      {"UnalignedData", two(entry("a", "U8", "1", "0,1"), entry("b", "F32", "1", "1,5"), 5), ""},
      {"EmptyName", file_of("{" + entry("", "F32", "2", "0,8") + "}", 8), ""},
  };
}

class Rules : public testing::TestWithParam<Case> {};

TEST_P(Rules, VerdictIsTheTables) {
  const base::TestFolder folder("safetensors_rules");
  const base::fs::path path = folder / "case.safetensors";
  base::write_file(path, GetParam().file, base::unsynced_files);
  const string message = base::message_of([&] { SafetensorsFile file(path); });
  if (GetParam().rule.empty()) {
    EXPECT_EQ(message, "(no error)");
    return;
  }
  EXPECT_EQ(message.rfind("[safetensors] ", 0), 0u) << message;
  EXPECT_NE(message.find(GetParam().rule), string::npos) << message;
  EXPECT_NE(message.find("case.safetensors"), string::npos) << "names the file: " << message;
}

string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Length, Rules, testing::ValuesIn(length_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Json, Rules, testing::ValuesIn(json_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Fields, Rules, testing::ValuesIn(field_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Layout, Rules, testing::ValuesIn(layout_cases()), case_name);

TEST(SafetensorsRules, EveryDtypeHasItsSize) {
  const std::vector<std::pair<string, size_t>> sizes = {
      {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
      {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
      {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};
  for (const auto& [name, bits] : sizes) {
    const string end = std::to_string(bits);  // eight elements
    EXPECT_EQ(read_header(file_of("{" + entry("a", name, "8", "0," + end) + "}", bits), "f").tensors.size(), 1u)
        << name;
    ASSERT_TRUE(dtype_of(name)) << name;
    EXPECT_EQ(name_of(*dtype_of(name)), name);
  }
  EXPECT_FALSE(dtype_of(""));
}

TEST(SafetensorsRules, MissingFileAndFolder) {
  const base::TestFolder folder("safetensors_missing");
  try {
    SafetensorsFile file(folder / "none.safetensors");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
  }
  EXPECT_NE(base::message_of([&] { SafetensorsFile file(folder.path()); }).find("not a regular file"), string::npos);
}

// What a legal file must not become: the writer refuses before it creates anything.
TEST(SafetensorsRules, WriterRefusesWhatReadersWould) {
  const base::TestFolder folder("safetensors_writer");
  const auto refusal = [&](std::vector<TensorDeclaration> tensors, SafetensorsOptions options = {}) {
    const string message = base::message_of(
        [&] { SafetensorsWriter writer(folder / "w.safetensors", std::move(tensors), std::move(options)); });
    EXPECT_EQ(folder.count(), 0u) << message;
    return message;
  };
  EXPECT_NE(refusal({{"__metadata__", Dtype::kF32, {1}}}).find("called __metadata__"), string::npos);
  EXPECT_NE(refusal({{"a", Dtype::kF32, {1}}, {"a", Dtype::kF32, {1}}}).find("declared twice"), string::npos);
  EXPECT_NE(refusal({{"\xff", Dtype::kF32, {1}}}).find("must be UTF-8"), string::npos);
  EXPECT_NE(refusal({{"a", Dtype::kF4, {3}}}).find("whole number of bytes"), string::npos);
  EXPECT_NE(refusal({{"a", Dtype::kU8, {-1}}}).find("whole number of bytes"), string::npos);
  EXPECT_NE(refusal({{"a", Dtype::kU8, {INT64_MAX, 4}}}).find("64 bits"), string::npos);
  EXPECT_NE(refusal({{"a", Dtype::kU8, std::vector<int64_t>(65, 1)}}).find("too many dimensions"), string::npos);
  EXPECT_NE(refusal({}, {.metadata = {{"k", "\xff"}}}).find("must be UTF-8"), string::npos);
  EXPECT_NE(refusal({}, {.metadata = {{"xxh3_128.a", ""}}}).find("kept for checksums"), string::npos);
  EXPECT_NE(refusal({{string(60'000'000, 'n'), Dtype::kU8, {0}}}).find("at most 100000000"), string::npos);
}

}  // namespace
}  // namespace dsmoe::formats
