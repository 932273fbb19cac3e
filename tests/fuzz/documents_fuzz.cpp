// Any bytes as a source of documents, in every format and compression: refused by a one-line Error of kind kInvalid, or
// valid UTF-8 within the limits; with replacement only compression, JSON and length can still be refused.
// The input is a byte that picks the file's ending, then the file.
#include "base/error.h"
#include "base/test_files.h"
#include "base/utf8.h"
#include "corpus/sources.h"
#include "fuzz.h"

using namespace dsmoe;

namespace {

constexpr const char* kEndings[] = {".jsonl",  ".txt",       ".md",      ".jsonl.gz",
                                    ".txt.gz", ".jsonl.zst", ".txt.zst", ".md.zst"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const base::TestFolder folder;
  if (size == 0) return 0;
  const base::fs::path path = folder / ("x" + std::string(kEndings[bytes[0] % std::size(kEndings)]));
  FILE* file = std::fopen(path.c_str(), "wb");
  fuzz_check(file != nullptr && std::fwrite(bytes + 1, 1, size - 1, file) == size - 1 && std::fclose(file) == 0,
             "the input can be written");
  const corpus::ReadLimits limits{.longest_document = 2000, .chunk = 50};
  for (const corpus::InvalidUtf8 policy : {corpus::InvalidUtf8::kRefuse, corpus::InvalidUtf8::kReplace}) {
    try {
      corpus::for_each_document(
          path, policy,
          [](std::string&& text) {
            fuzz_check(base::first_invalid_utf8(text) == std::string::npos, "documents are UTF-8");
          },
          limits);
    } catch (const base::Error& error) {
      fuzz_check(error.kind() == base::ErrorKind::kInvalid, "bad input has exit code 3");
      const std::string line = error.what();
      fuzz_check(line.find('\n') == std::string::npos, "an error is one line");
      const std::string rule = line.substr(0, line.find_first_of("\"'"));  // then the input is quoted, whatever it says
      const bool replaceable = rule.find("UTF-8") != std::string::npos || rule.find("surrogate") != std::string::npos;
      fuzz_check(policy == corpus::InvalidUtf8::kRefuse || !replaceable, "what can be replaced is not refused");
    }
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  using namespace std::string_literals;
  const std::string gzip =  // "fl\n\f\ntwo\n"
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\xcb\xe1\xe2\xe1\x2a\x29\xcf\xe7\x02\x00\x88\x09\x65\x60\x09\x00\x00\x00"s;
  const std::string zstd = "\x28\xb5\x2f\xfd\x00\x58\x29\x00\x00hello"s;
  return {"\0{\"text\":\"a\\u00e9\\ud83d\\ude00\",\"id\":[1,{}]}\n\n{\"text\":\"\"}\r\n"s,
          "\0\xef\xbb\xbf{\"text\":\"\xff\"}\n"s,
          "\0{\"text\":\"\\ud83d \\\\ud83d \\udc00\"}\n\"a string\"\n"s,
          "\1one\n\f\ntwo \xe4\xb8\xad\n\f\r\n\xe4\xb8"s,
          "\2"s + std::string(100, 'x') + "\n\xf0\x9f\x98\x80",
          "\4"s + gzip,
          "\4"s + gzip + gzip + std::string(3, '\0'),
          "\6"s + zstd,
          "\7"s + zstd + zstd};
}
