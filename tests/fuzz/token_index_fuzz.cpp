// Any bytes as a corpus' .idx: refused by a one-line Error of kind kInvalid, or documents that fill the .bin exactly.
// The input is the size of the .bin (8 bytes), then the .idx.
#include <cstring>

#include "base/error.h"
#include "corpus/megatron_index.h"
#include "fuzz.h"

using namespace dsmoe;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  uint64_t bin_bytes = 0;
  if (size < sizeof bin_bytes) return 0;
  std::memcpy(&bin_bytes, bytes, sizeof bin_bytes);
  const std::string idx(reinterpret_cast<const char*>(bytes) + sizeof bin_bytes, size - sizeof bin_bytes);
  try {
    const corpus::TokenIndex index = corpus::decode_token_index(std::as_bytes(std::span(idx)), bin_bytes, "x.idx");
    fuzz_check(index.begins.front() == 0, "the first document begins the file");
    for (size_t i = 1; i < index.begins.size(); ++i) {
      fuzz_check(index.begins[i] > index.begins[i - 1], "a document has tokens");
    }
    const auto total = static_cast<uint64_t>(index.begins.back() * corpus::token_bytes(index.type));
    fuzz_check(total == bin_bytes, "documents fill the .bin");
    const std::string again = corpus::encode_token_index(index);
    const corpus::TokenIndex back = corpus::decode_token_index(std::as_bytes(std::span(again)), bin_bytes, "again");
    fuzz_check(back.begins == index.begins && back.type == index.type, "an index reads back as the same");
  } catch (const base::Error& error) {
    fuzz_check(error.kind() == base::ErrorKind::kInvalid, "bad input has exit code 3");
    fuzz_check(std::string(error.what()).find('\n') == std::string::npos, "an error is one line");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const corpus::TokenType type : {corpus::TokenType::kU16, corpus::TokenType::kI32}) {
    for (const std::vector<int64_t>& begins : {std::vector<int64_t>{0}, {0, 3, 8, 10}}) {
      const auto bin_bytes = static_cast<uint64_t>(begins.back() * corpus::token_bytes(type));
      std::string seed(sizeof bin_bytes, '\0');
      std::memcpy(seed.data(), &bin_bytes, sizeof bin_bytes);
      seeds.push_back(seed + corpus::encode_token_index({type, begins}));
    }
  }
  return seeds;
}
