#include "corpus/megatron_index.h"

#include <bit>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/error.h"

namespace dsmoe::corpus {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");
constexpr std::string_view kMagic{"MMIDIDX\0\0", 9};
constexpr uint64_t kVersion = 1;
constexpr uint64_t kHeaderBytes = 34;

template <class Number>
void put(std::string& out, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

// Numbers in the file lie at odd addresses, so each is copied out.
template <class Number>
Number get(std::span<const std::byte> bytes, uint64_t at) {
  Number value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

[[noreturn]] void refuse(std::string_view where, std::string_view rule, const std::string& found) {
  base::fail_invalid("data", std::string(where) + ": " + std::string(rule), found,
                     "the corpus is damaged; build it again");
}

struct Header {
  TokenType type;
  uint64_t sequences, boundaries;
};

Header decode_header(std::span<const std::byte> idx, std::string_view where) {
  if (idx.size() < kHeaderBytes) refuse(where, "shorter than its header", std::to_string(idx.size()) + " bytes");
  if (std::memcmp(idx.data(), kMagic.data(), kMagic.size()) != 0) {
    refuse(where, "does not begin with MMIDIDX",
           base::in_quotes({reinterpret_cast<const char*>(idx.data()), kMagic.size()}));
  }
  if (const auto version = get<uint64_t>(idx, 9); version != kVersion) {
    refuse(where, "version must be 1", std::to_string(version));
  }
  const auto code = get<uint8_t>(idx, 17);
  if (code != static_cast<uint8_t>(TokenType::kU16) && code != static_cast<uint8_t>(TokenType::kI32)) {
    refuse(where, "token type must be 8 (u16) or 4 (i32)", std::to_string(code));
  }
  return {static_cast<TokenType>(code), get<uint64_t>(idx, 18), get<uint64_t>(idx, 26)};
}

void check_size(const Header& header, uint64_t size, std::string_view where) {
  uint64_t lengths_and_pointers, boundaries, wanted;
  const bool fits = base::multiply<uint64_t>(header.sequences, 12, lengths_and_pointers) &&
                    base::multiply<uint64_t>(header.boundaries, 8, boundaries) &&
                    base::add(lengths_and_pointers, boundaries, wanted) && base::add(wanted, kHeaderBytes, wanted);
  if (!fits || wanted != size) {
    refuse(where, "its size must be 34 + 12 sequences + 8 boundaries",
           std::to_string(size) + " bytes for " + std::to_string(header.sequences) + " sequences and " +
               std::to_string(header.boundaries) + " boundaries");
  }
  if (header.boundaries == 0) refuse(where, "must have a document boundary", "0");
}

}  // namespace

std::string encode_token_index(const TokenIndex& index) {
  const auto documents = static_cast<uint64_t>(index.documents());
  std::string out(kMagic);
  out.reserve(kHeaderBytes + 20 * documents + 8);
  put(out, kVersion);
  put(out, static_cast<uint8_t>(index.type));
  put(out, documents);
  put(out, documents + 1);
  for (size_t i = 0; i < documents; ++i) {
    const int64_t length = index.begins[i + 1] - index.begins[i];
    DSMOE_CHECK(length > 0 && length <= std::numeric_limits<int32_t>::max(), "tokens of a document");
    put(out, static_cast<int32_t>(length));
  }
  for (size_t i = 0; i < documents; ++i) put(out, index.begins[i] * token_bytes(index.type));
  for (uint64_t i = 0; i <= documents; ++i) put(out, static_cast<int64_t>(i));
  return out;
}

TokenIndex decode_token_index(std::span<const std::byte> idx, uint64_t bin_bytes, std::string_view where) {
  const Header header = decode_header(idx, where);
  check_size(header, idx.size(), where);
  const uint64_t pointers = kHeaderBytes + 4 * header.sequences, boundaries = pointers + 8 * header.sequences;

  // The count is bounded by the file's size, so a sum of 31-bit lengths fits.
  std::vector<int64_t> sequence_begins{0};
  sequence_begins.reserve(header.sequences + 1);
  for (uint64_t i = 0; i < header.sequences; ++i) {
    const auto length = get<int32_t>(idx, kHeaderBytes + 4 * i);
    const auto pointer = get<int64_t>(idx, pointers + 8 * i);
    const std::string name = "sequence " + std::to_string(i);
    if (length < 1) refuse(where, "a sequence must have a token", name + " has " + std::to_string(length));
    if (pointer != sequence_begins.back() * token_bytes(header.type)) {
      refuse(where, "sequences must lie one after another",
             name + " begins at byte " + std::to_string(pointer) + " and not at " +
                 std::to_string(sequence_begins.back() * token_bytes(header.type)));
    }
    sequence_begins.push_back(sequence_begins.back() + length);
  }
  if (const auto total = static_cast<uint64_t>(sequence_begins.back() * token_bytes(header.type)); total != bin_bytes) {
    refuse(where, "its sequences must fill the .bin file exactly",
           std::to_string(total) + " bytes of tokens, file of " + std::to_string(bin_bytes));
  }

  TokenIndex index{header.type, {}};
  index.begins.reserve(header.boundaries);
  int64_t previous = -1;
  for (uint64_t i = 0; i < header.boundaries; ++i) {
    const auto sequence = get<int64_t>(idx, boundaries + 8 * i);
    const bool right_end = i + 1 < header.boundaries || static_cast<uint64_t>(sequence) == header.sequences;
    if (sequence <= previous || static_cast<uint64_t>(sequence) > header.sequences || (i == 0 && sequence != 0) ||
        !right_end) {
      refuse(where, "document boundaries must grow from 0 to the number of sequences",
             "boundary " + std::to_string(i) + " is " + std::to_string(sequence));
    }
    index.begins.push_back(sequence_begins[static_cast<size_t>(sequence)]);
    previous = sequence;
  }
  return index;
}

}  // namespace dsmoe::corpus
