#include "corpus/not_text.h"

#include <string_view>

#include "base/error.h"

namespace dsmoe::corpus {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view bytes;  // at the very start of a file
  std::string_view format, hint;
};

// As the formats' specifications give them; each has bytes that no UTF-8 text begins with, or is long enough that none
// does.
constexpr Signature kSignatures[] = {
    {"\xFD"
     "7zXZ\0"sv,
     "xz", "decompress it (unxz), or compress it as .zst"},
    {"\x1F\x8B"sv, "gzip", "let its name end in .gz"},
    {"\x28\xB5\x2F\xFD"sv, "zstd", "let its name end in .zst"},
    {"PK\x03\x04"sv, "zip", "unpack it, and give the folder"},
    {"7z\xBC\xAF\x27\x1C"sv, "7z", "unpack it, and give the folder"},
    {"%PDF-"sv, "PDF", "take its text out first (pdftotext)"},
    {"PAR1"sv, "Parquet", "write it as .jsonl first, one object with a \"text\" a line"},
    {"ARROW1\0\0"sv, "Arrow", "write it as .jsonl first, one object with a \"text\" a line"},
};

// bzip2: BZh, the block size as a digit, then the first digits of pi.
bool is_bzip2(std::string_view head) {
  return head.size() >= 8 && head.substr(0, 3) == "BZh" && head.substr(4, 4) == "1AY&"sv;
}

}  // namespace

void require_plain_text(std::span<const char> head, const std::string& name) {
  const std::string_view start(head.data(), head.size());
  const auto refuse = [&](std::string_view format, std::string_view hint) {
    base::fail_invalid("data", "a source must be text, .gz or .zst", name + " is a " + std::string(format) + " file",
                       std::string(hint));
  };
  for (const Signature& signature : kSignatures) {
    if (start.starts_with(signature.bytes)) refuse(signature.format, signature.hint);
  }
  if (is_bzip2(start)) refuse("bzip2", "decompress it (bunzip2), or compress it as .zst");
}

}  // namespace dsmoe::corpus
