#include "formats/npy.h"

#include <cstring>

#include "base/checked.h"
#include "base/error.h"
#include "formats/dtype.h"

namespace dsmoe::formats {
namespace {

using base::in_quotes;

constexpr std::string_view kMagic{"\x93NUMPY", 6};
constexpr size_t kLongestNpyHeader = 65536;
constexpr size_t kMostNpyDimensions = 64;

// "(2, 3)", "(2,)" or "()", as Python prints a tuple.
std::string tuple_text(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

uint64_t count_of(const std::vector<int64_t>& shape, const std::string& where) {
  uint64_t bytes = 0;
  if (!tensor_bytes(Dtype::kF32, shape, bytes)) base::fail_invalid("npy", "the shape does not fit 64 bits", where);
  return bytes / sizeof(float);
}

// The dictionary that describes the array: Python's literal syntax, as far as three known keys need it.
class DictReader {
 public:
  DictReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  std::vector<int64_t> shape_of_float32() {
    expect('{');
    unsigned seen = 0;
    while (!taken('}')) {
      const std::string key = text();
      expect(':');
      const unsigned field = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
      if (field == 0 || (seen & field) != 0) refuse("the header has an unknown key or one twice", in_quotes(key));
      seen |= field;
      if (field == 1) {
        const std::string descr = text();
        if (descr != "<f4") refuse("the elements must be little-endian float32 ('<f4')", in_quotes(descr));
      } else if (field == 2) {
        if (word() != "False") refuse("the array must be in C order", "fortran_order is not False");
      } else {
        read_shape();
      }
      if (!taken(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) refuse("something follows the header's dictionary", "");
    if (seen != 7) refuse("the header must have descr, fortran_order and shape", "");
    return shape_;
  }

 private:
  [[noreturn]] void refuse(const std::string& rule, const std::string& found) const {
    base::fail_invalid("npy", rule, where_ + (found.empty() ? "" : ", " + found));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool taken(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!taken(wanted)) refuse("the header is not the dictionary of an array", "at byte " + std::to_string(at_));
  }
  std::string text() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : text_.npos;
    if (end == text_.npos) refuse("the header is not the dictionary of an array", "at byte " + std::to_string(at_));
    std::string inside(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return inside;
  }
  std::string word() {
    skip_space();
    const size_t begin = at_;
    while (at_ < text_.size() && ((text_[at_] >= 'a' && text_[at_] <= 'z') || (text_[at_] >= 'A' && text_[at_] <= 'Z')))
      ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  void read_shape() {
    expect('(');
    while (!taken(')')) {
      if (shape_.size() == kMostNpyDimensions) refuse("too many dimensions", "");
      shape_.push_back(size());
      if (!taken(',')) {
        expect(')');
        break;
      }
    }
  }
  int64_t size() {
    skip_space();
    int64_t value = 0;
    const size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (!base::multiply(value, int64_t{10}, value) || !base::add(value, int64_t{text_[at_] - '0'}, value)) {
        refuse("a size does not fit 64 bits", "");
      }
    }
    if (at_ == begin) refuse("the header is not the dictionary of an array", "at byte " + std::to_string(at_));
    return value;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
  std::vector<int64_t> shape_;
};

}  // namespace

std::string npy_header(std::string_view descr, const std::vector<int64_t>& shape) {
  std::string dict =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': " + tuple_text(shape) + ", }";
  const size_t before = kMagic.size() + 4;
  while ((before + dict.size() + 1) % 64 != 0) dict += ' ';
  dict += '\n';
  std::string text(kMagic);
  text += {'\1', '\0', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return text + dict;
}

NpyWriter::NpyWriter(const base::fs::path& path, const std::vector<int64_t>& shape, base::FileSystem& files)
    : file_(path, files), left_(count_of(shape, path.string())) {
  file_.write(npy_header("<f4", shape));
}

void NpyWriter::append(std::span<const float> values) {
  DSMOE_CHECK(values.size() <= left_, "no more values than the shape has");
  left_ -= values.size();
  file_.write(std::as_bytes(values));
}

void NpyWriter::finish() {
  DSMOE_CHECK(left_ == 0, "as many values as the shape has");
  file_.commit();
}

void write_npy(const base::fs::path& path, const std::vector<int64_t>& shape, std::span<const float> values) {
  NpyWriter writer(path, shape);
  writer.append(values);
  writer.finish();
}

NpyArray read_npy(const base::fs::path& path) {
  const std::string where = path.string();
  const base::MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(bytes[i])); };
  if (bytes.size() < 12 || bytes.substr(0, kMagic.size()) != kMagic)
    base::fail_invalid("npy", "not a .npy file", where);
  const bool wide = byte(6) > 1;  // versions 2 and 3 have four bytes of length
  if (byte(6) < 1 || byte(6) > 3)
    base::fail_invalid("npy", "an unknown version", where + ", " + std::to_string(byte(6)));
  const size_t start = wide ? 12 : 10;
  const size_t length = byte(8) | byte(9) << 8 | (wide ? byte(10) << 16 | byte(11) << 24 : 0);
  if (length > kLongestNpyHeader || length > bytes.size() - start) {
    base::fail_invalid("npy", "the header reaches beyond the file or is too long",
                       where + ", " + std::to_string(length));
  }
  NpyArray array;
  array.shape = DictReader(bytes.substr(start, length), where).shape_of_float32();
  const uint64_t count = count_of(array.shape, where);
  const uint64_t there = bytes.size() - start - length;
  if (there != count * sizeof(float)) {
    base::fail_invalid("npy", "the data must have the bytes that the shape asks for",
                       where + ", " + std::to_string(there) + " and " + std::to_string(count * sizeof(float)));
  }
  array.values.resize(count);
  if (count > 0) std::memcpy(array.values.data(), bytes.data() + start + length, there);
  return array;
}

}  // namespace dsmoe::formats
