// Any bytes as a GGUF file: refused by a one-line Error of kind kInvalid, or accepted, and then every value can be read
// and the tensors lie in the file one after another.
#include "base/error.h"
#include "formats/gguf.h"
#include "formats/test_gguf.h"
#include "fuzz.h"

using namespace dsmoe;

namespace {

void check(const std::string& file) {
  try {
    const formats::GgufHeader header = formats::read_gguf_header(file, "input");
    const auto inside = [&](std::string_view part) {
      return part.empty() || (part.data() >= file.data() && part.data() + part.size() <= file.data() + file.size());
    };
    for (const auto& entry : header.metadata) {
      fuzz_check(inside(entry.key) && inside(entry.value.bytes), "keys and values lie in the file");
      fuzz_check(entry.value.count <= file.size(), "no more elements than bytes");
    }
    uint64_t end = 0;
    for (const formats::GgufTensor& tensor : header.tensors) {
      const formats::GgufTypeInfo& info = formats::gguf_type_info(tensor.type);
      uint64_t values = 1;
      for (const int64_t size : tensor.shape()) values *= static_cast<uint64_t>(size);
      fuzz_check(
          values / static_cast<uint64_t>(info.block_values) * static_cast<uint64_t>(info.block_bytes) == tensor.bytes,
          "a tensor has the bytes its shape asks for");
      fuzz_check(tensor.offset >= end && tensor.offset % header.alignment == 0, "tensors follow one another, aligned");
      end = tensor.offset + tensor.bytes;
      fuzz_check(header.data_start + end <= file.size(), "tensors end inside the file");
    }
  } catch (const base::Error& error) {
    fuzz_check(error.kind() == base::ErrorKind::kInvalid, "bad input has exit code 3");
    fuzz_check(std::string(error.what()).find('\n') == std::string::npos, "an error is one line");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  check(text);
  formats::GgufText framed(3, 2, 4);  // so that mutations reach keys and tensors
  framed.text += text;
  check(framed.data(256).text);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  formats::GgufText all(3, 2, 6);
  all.key("general.alignment", 4).u32(64).key("general.architecture", 8).string("deepseek");
  all.key("array", 9).u32(4).u64(2).u32(1).u32(2).key("texts", 9).u32(8).u64(3).string("a").string("").string("ccc");
  all.key("flag", 7).u8(1).key("number", 6).f32(0.5f);
  all.tensor("token_embd.weight", {32, 2}, 2, 0).tensor("output_norm.weight", {3}, 0, 64).data(64 + 12, 64);
  formats::GgufText wrapping(3, 1, 0);
  wrapping.tensor("a", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0);
  const std::string body = all.text.substr(24);
  return {all.text, wrapping.text, body, formats::GgufText(2, 0, 0).text, formats::GgufText(3, ~uint64_t{0}, 1).text};
}
