// Any bytes as a safetensors file, and any text as the header of one: refused by a one-line Error of kind kInvalid, or
// accepted, and then the tensors cover the data exactly.
#include "base/error.h"
#include "formats/safetensors_header.h"
#include "fuzz.h"

using namespace dsmoe;

namespace {

void check(std::string_view file) {
  try {
    const formats::SafetensorsHeader header = formats::read_header(file, "input");
    uint64_t end = 0;
    for (const formats::TensorEntry& entry : header.tensors) {
      uint64_t wanted = 0;
      fuzz_check(entry.begin == end && entry.end >= entry.begin, "tensors follow one another");
      fuzz_check(formats::tensor_bytes(entry.dtype, entry.shape, wanted), "sizes of an accepted file fit");
      fuzz_check(wanted == entry.end - entry.begin, "a tensor has the bytes its shape asks for");
      end = entry.end;
    }
    fuzz_check(header.data_start + end == file.size(), "the tensors end where the file ends");
  } catch (const base::Error& error) {
    fuzz_check(error.kind() == base::ErrorKind::kInvalid, "bad input has exit code 3");
    fuzz_check(std::string(error.what()).find('\n') == std::string::npos, "an error is one line");
  }
}

std::string with_length(const std::string& header, size_t data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return file + header + std::string(data, 'd');
}

const std::vector<std::string> kHeaders = {
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]},"c":{"dtype":"U8","shape":[2,3],"data_offsets":[10,16]}}  )",
    R"({"a":{"dtype":"F4","shape":[4,8],"data_offsets":[0,16]},"e":{"dtype":"I64","shape":[0,9],"data_offsets":[0,0]}})",
    R"({"a":{"x":{"y":[1,2,{}]},"dtype":"U64","shape":[2],"data_offsets":[0,16]}})",
    R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,18446744073709551615]}})",
    R"({"\u0061":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]},"a":{"dtype":"U8","shape":[13],"data_offsets":[3,16]}})",
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  check(text);
  check(with_length(text, 16));  // so that mutations of the header reach beyond the length
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds = kHeaders;
  seeds.push_back(with_length(kHeaders[0], 16));
  seeds.push_back(with_length(kHeaders[1], 16));
  return seeds;
}
