// .npy files: round trips, Python's own spelling, refusals.
#include "formats/npy.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/test_files.h"

namespace dsmoe::formats {
namespace {

using std::string;

string npy_of(const string& dict, const string& data, char version = 1) {
  string text("\x93NUMPY", 6);
  text += {version, '\0', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  if (version > 1) text += string(2, '\0');
  return text + dict + data;
}

const string kDict = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";

TEST(Npy, RoundTripsAnyShape) {
  const base::TestFolder folder("npy");
  base::Rng rng(1);
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{}, {1}, {7}, {0}, {3, 5}, {0, 4}, {2, 3, 4}, {1, 102400}}) {
    size_t count = 1;
    for (const int64_t size : shape) count *= static_cast<size_t>(size);
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(rng.normal());
    NpyWriter writer(folder / "a.npy", shape, base::unsynced_files);
    for (size_t at = 0; at < count;) {  // in pieces
      const size_t piece = std::min<size_t>(1 + rng.below(5000), count - at);
      writer.append(std::span(values).subspan(at, piece));
      at += piece;
    }
    EXPECT_EQ(base::fs::exists(folder / "a.npy"), false) << "not before finish";
    writer.finish();
    const NpyArray back = read_npy(folder / "a.npy");
    EXPECT_EQ(back.shape, shape);
    EXPECT_EQ(back.values, values);
    const string text = base::read_file(folder / "a.npy");
    EXPECT_EQ((text.size() - count * 4) % 64, 0u) << "NumPy aligns data to 64";
    EXPECT_EQ(text[text.size() - count * 4 - 1], '\n');
    base::fs::remove(folder / "a.npy");
  }
}

TEST(Npy, BytesAreNumPysOwn) {
  const base::TestFolder folder("npy_bytes");
  const std::vector<float> values = {1.0f, -2.0f};
  write_npy(folder / "a.npy", {2, 1}, values);
  string wanted = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  wanted.resize(117, ' ');  // 10 + 118 = 128
  EXPECT_EQ(base::read_file(folder / "a.npy"), npy_of(wanted + "\n", string("\0\0\x80\x3f\0\0\0\xc0", 8)));
}

TEST(Npy, ReadsOtherVersionsAndSpellings) {
  const base::TestFolder folder("npy_versions");
  const string data(8, '\0');
  for (const string& text :
       {npy_of(kDict, data), npy_of(kDict + "   \n", data), npy_of(kDict, data, 2), npy_of(kDict, data, 3),
        npy_of("{\"shape\":(2,1),\"fortran_order\":False,\"descr\":\"<f4\"}", data)}) {
    base::write_file(folder / "a.npy", text);
    EXPECT_EQ(read_npy(folder / "a.npy").shape, (std::vector<int64_t>{2, 1}));
  }
}

TEST(Npy, RefusesByName) {
  const base::TestFolder folder("npy_bad");
  const string data(8, '\0');
  const auto dict = [](const string& descr, const string& order, const string& shape) {
    return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + "}";
  };
  const std::vector<std::pair<string, const char*>> cases = {
      {"", "not a .npy file"},
      {"\x93NUMPZ" + string(20, '\0'), "not a .npy file"},
      {npy_of(kDict, data, 4), "an unknown version"},
      {npy_of(kDict, data).substr(0, 30), "reaches beyond the file"},
      {npy_of(kDict, data + "x"), "bytes that the shape asks for"},
      {npy_of(kDict, data.substr(1)), "bytes that the shape asks for"},
      {npy_of(dict("<f8", "False", "(1,)"), data), "little-endian float32"},
      {npy_of(dict(">f4", "False", "(2,)"), data), "little-endian float32"},
      {npy_of(dict("<f4", "True", "(2,)"), data), "C order"},
      {npy_of(dict("<f4", "False", "(4294967296, 4294967296, 4294967296)"), data), "does not fit 64 bits"},
      {npy_of(dict("<f4", "False", "(99999999999999999999,)"), data), "does not fit 64 bits"},
      {npy_of(dict("<f4", "False", "(-2,)"), data), "not the dictionary"},
      {npy_of(dict("<f4", "False", "[2]"), data), "not the dictionary"},
      {npy_of("{'descr': '<f4', 'shape': (2,)}", data), "must have descr, fortran_order and shape"},
      {npy_of("{'descr': '<f4', 'descr': '<f4'}", data), "an unknown key or one twice"},
      {npy_of("{'x': 1}", data), "an unknown key or one twice"},
      {npy_of("{", data), "not the dictionary"},
      {npy_of("{'descr", data), "not the dictionary"},
      {npy_of(kDict + "x", data), "something follows"},
  };
  for (const auto& [text, rule] : cases) {
    base::write_file(folder / "a.npy", text, base::unsynced_files);
    const string line = base::message_of([&] { read_npy(folder / "a.npy"); });
    EXPECT_NE(line.find(rule), string::npos) << line << " wanted " << rule;
  }
}

TEST(Npy, EveryFailingCallLeavesNothing) {
  const base::TestFolder folder("npy_failing");
  const std::vector<float> values(12);
  for (int k = 1;; ++k) {
    base::FailingFiles files(k);
    try {
      NpyWriter writer(folder / "a.npy", {3, 4}, files);
      writer.append(values);
      writer.finish();
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
    }
    if (base::fs::exists(folder / "a.npy")) {
      EXPECT_EQ(read_npy(folder / "a.npy").values, values);
    } else {
      EXPECT_EQ(folder.count(), 0u);
    }
    base::fs::remove(folder / "a.npy");
    if (!files.failed()) break;
  }
}

}  // namespace
}  // namespace dsmoe::formats
