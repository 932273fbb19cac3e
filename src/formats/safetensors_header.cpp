#include "formats/safetensors_header.h"

#include <algorithm>
#include <deque>
#include <iterator>

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

namespace dsmoe::formats {
namespace {

using base::in_quotes;

// Takes the header's JSON as events and keeps only what the format allows.
class HeaderEvents : public nlohmann::json_sax<base::Json> {
 public:
  HeaderEvents(std::string_view where, SafetensorsHeader& header) : where_(where), header_(header) {}

  /// The tensors in the order of the header, in one block of exactly their size.
  std::vector<TensorEntry> take_tensors() {
    return {std::make_move_iterator(tensors_.begin()), std::make_move_iterator(tensors_.end())};
  }

  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("true or false"); }
  bool number_integer(int64_t value) override { return other(std::to_string(value)); }  // comes here only if negative
  bool number_float(double, const std::string& text) override { return other(text); }
  bool binary(base::Json::binary_t&) override { return false; }
  bool number_unsigned(uint64_t value) override {
    if (state_ == State::kShape) {
      if (value > static_cast<uint64_t>(INT64_MAX)) {
        refuse("a size in a shape must fit 63 bits", tensor() + std::to_string(value));
      }
      if (entry_.shape.size() == kMostDimensions) {
        refuse("a tensor has at most " + std::to_string(kMostDimensions) + " dimensions", tensor());
      }
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ != State::kOffsets) return other(std::to_string(value));
    if (offsets_ == 2) refuse("data_offsets must be two integers", tensor() + "has more");
    (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
    return true;
  }
  bool string(std::string& value) override {
    if (state_ == State::kMetadata) {
      if (!header_.metadata.emplace(std::move(key_), std::move(value)).second) {
        refuse("__metadata__ has a key twice", where_);
      }
      return true;
    }
    if (state_ != State::kTensor || field_ != kDtype) return other(in_quotes(value));
    const auto dtype = dtype_of(value);
    if (!dtype) refuse("unknown dtype", tensor() + in_quotes(value));
    entry_.dtype = *dtype;
    return true;
  }
  bool start_object(size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kTop:
        if (key_ == kMetadataKey) {
          if (had_metadata_) refuse("__metadata__ is there twice", where_);
          had_metadata_ = true;
          state_ = State::kMetadata;
          return true;
        }
        entry_ = TensorEntry{};
        entry_.name = std::move(key_);
        seen_ = 0;
        state_ = State::kTensor;
        return true;
      default:
        return deeper("an object");
    }
  }
  bool key(std::string& value) override {
    if (state_ == State::kTensor) return begin_field(value);
    if (state_ != State::kSkip) key_ = std::move(value);
    return true;
  }
  bool end_object() override {
    switch (state_) {
      case State::kTop:
        state_ = State::kDone;
        return true;
      case State::kMetadata:
        state_ = State::kTop;
        return true;
      case State::kTensor:
        if (seen_ != (kDtype | kShape | kOffsets)) {
          refuse("a tensor must have dtype, shape and data_offsets", tensor() + "lacks one");
        }
        tensors_.push_back(std::move(entry_));
        state_ = State::kTop;
        return true;
      default:
        return shallower();
    }
  }
  bool start_array(size_t) override {
    if (state_ == State::kTensor && field_ == kShape) {
      state_ = State::kShape;
      return true;
    }
    if (state_ == State::kTensor && field_ == kOffsets) {
      state_ = State::kOffsets;
      offsets_ = 0;
      return true;
    }
    return deeper("an array");
  }
  bool end_array() override {
    if (state_ == State::kSkip) return shallower();
    if (state_ == State::kOffsets && offsets_ != 2) refuse("data_offsets must be two integers", tensor() + "has fewer");
    state_ = State::kTensor;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse("the header is not valid JSON", std::string(where_) + " at byte " + std::to_string(position + 8));
  }

 private:
  enum class State { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kSkip, kDone };
  enum Field : unsigned { kUnknown = 0, kDtype = 1, kShape = 2, kOffsets = 4 };

  [[noreturn]] void refuse(const std::string& rule, std::string_view found) const {
    base::fail_invalid("safetensors", rule, found);
  }
  std::string tensor() const { return std::string(where_) + ", tensor " + in_quotes(entry_.name) + " "; }

  bool begin_field(const std::string& name) {
    field_ = name == "dtype" ? kDtype : name == "shape" ? kShape : name == "data_offsets" ? kOffsets : kUnknown;
    if (seen_ & field_) refuse("a tensor has a key twice", tensor() + in_quotes(name));
    seen_ |= field_;
    return true;
  }
  // A value where this type is not wanted. Unknown fields of a tensor are passed over, as the reference reader does.
  bool other(const std::string& found) {
    if (state_ == State::kSkip || (state_ == State::kTensor && field_ == kUnknown)) return true;
    switch (state_) {
      case State::kStart:
        refuse("the header must be a JSON object", std::string(where_) + " has " + found);
      case State::kMetadata:
        refuse("__metadata__ maps texts to texts only", std::string(where_) + ", " + in_quotes(key_) + " is " + found);
      case State::kShape:
        refuse("a shape holds integers from 0", tensor() + "has " + found);
      case State::kOffsets:
        refuse("data_offsets must be two integers from 0", tensor() + "has " + found);
      case State::kTensor:
        refuse(field_ == kDtype   ? "dtype must be a text"
               : field_ == kShape ? "shape must be an array"
                                  : "data_offsets must be an array",
               tensor() + "has " + found);
      default:
        refuse(key_ == kMetadataKey ? "__metadata__ must be an object" : "a tensor must be an object",
               std::string(where_) + ", " + in_quotes(key_) + " is " + found);
    }
  }
  bool deeper(const char* found) {
    other(found);  // returns only where values are passed over
    if (state_ == State::kTensor) {
      state_ = State::kSkip;
      depth_ = 0;
    }
    if (++depth_ > base::kMaxDepth) refuse("the header is nested too deep", tensor());
    return true;
  }
  bool shallower() {
    if (--depth_ == 0) state_ = State::kTensor;
    return true;
  }

  std::string_view where_;
  SafetensorsHeader& header_;
  State state_ = State::kStart;
  std::deque<TensorEntry> tensors_;  // not a vector: one that grows may hold twice the entries, beyond twice the file
  TensorEntry entry_;
  std::string key_;
  unsigned field_ = kUnknown, seen_ = 0;
  int offsets_ = 0, depth_ = 0;
  bool had_metadata_ = false;
};

[[noreturn]] void refuse(const std::string& rule, std::string_view where, const std::string& found,
                         std::string_view hint = {}) {
  base::fail_invalid("safetensors", rule, std::string(where) + (found.empty() ? "" : ", ") + found, hint);
}

uint64_t header_length(std::string_view file, std::string_view where) {
  if (file.size() < 8) refuse("the file is too short for a header", where, std::to_string(file.size()) + " bytes");
  uint64_t length = 0;
  for (size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(file[i]);
  if (length > kLongestHeader) {
    refuse("the header may have at most " + std::to_string(kLongestHeader) + " bytes", where, std::to_string(length),
           "this may be no safetensors file");
  }
  if (length > file.size() - 8) {
    refuse("the header reaches beyond the end of the file", where,
           std::to_string(length) + " + 8 of " + std::to_string(file.size()) + " bytes", "the file may be cut short");
  }
  return length;
}

void check_names(const SafetensorsHeader& header, std::string_view where) {
  std::vector<std::string_view> names;
  names.reserve(header.tensors.size());
  for (const TensorEntry& entry : header.tensors) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) refuse("a tensor is there twice", where, in_quotes(*twice));
}

void check_sizes(const TensorEntry& entry, std::string_view where) {
  const std::string name = "tensor " + in_quotes(entry.name) + ": ";
  if (entry.begin > entry.end) {
    refuse("data_offsets must not go backwards", where,
           name + std::to_string(entry.begin) + " to " + std::to_string(entry.end));
  }
  uint64_t count = 1, bits = 0;
  bool fits = true;
  for (const int64_t size : entry.shape) fits = fits && base::multiply(count, static_cast<uint64_t>(size), count);
  if (!fits || !base::multiply(count, uint64_t{bits_of(entry.dtype)}, bits)) {
    refuse("the size of a tensor does not fit 64 bits", where, name + "its shape is too large");
  }
  if (bits % 8 != 0) {
    refuse("a tensor must end on a byte", where,
           name + std::to_string(bits) + " bits of " + std::string(name_of(entry.dtype)));
  }
  if (entry.end - entry.begin != bits / 8) {
    refuse("data_offsets must span what shape and dtype ask for", where,
           name + std::to_string(entry.end - entry.begin) + " bytes, wanted " + std::to_string(bits / 8));
  }
}

// No hole, no overlap, nothing after the last: what makes every byte of the file belong to exactly one thing.
void check_layout(SafetensorsHeader& header, uint64_t data_size, std::string_view where) {
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const TensorEntry& entry : header.tensors) {
    if (entry.begin != end) {
      refuse("tensors must follow one another without hole or overlap", where,
             "tensor " + in_quotes(entry.name) + " begins at " + std::to_string(entry.begin) + ", wanted " +
                 std::to_string(end));
    }
    end = entry.end;
  }
  if (end != data_size) {
    refuse("the tensors must end where the file ends", where,
           std::to_string(end) + " bytes of tensors, " + std::to_string(data_size) + " bytes of data",
           end > data_size ? "the file may be cut short" : "something follows the tensors");
  }
}

}  // namespace

SafetensorsHeader read_header(std::string_view file, std::string_view where) {
  const uint64_t length = header_length(file, where);
  const std::string_view text = file.substr(8, length);
  const size_t bad = base::first_invalid_utf8(text);
  if (bad != std::string_view::npos) refuse("the header must be UTF-8", where, "byte " + std::to_string(bad + 8));
  // the JSON library takes NUL for the end of its input, so NUL padding would pass unseen; it also skips a byte order
  // mark
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos) {
    refuse("the header must not hold NUL bytes", where, "byte " + std::to_string(nul + 8), "pad with spaces");
  }
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos || text[start] != '{') refuse("the header must be a JSON object", where, "");

  SafetensorsHeader header;
  header.data_start = 8 + length;
  HeaderEvents events(where, header);
  base::Json::sax_parse(text.begin(), text.end(), &events);
  header.tensors = events.take_tensors();
  check_names(header, where);
  for (const TensorEntry& entry : header.tensors) check_sizes(entry, where);
  check_layout(header, file.size() - header.data_start, where);
  return header;
}

}  // namespace dsmoe::formats
