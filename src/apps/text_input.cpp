#include "apps/text_input.h"

#include <cerrno>
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"

namespace dsmoe::apps {
namespace {

constexpr size_t kMostOfAStream = size_t{1} << 30;

std::string read_stream(std::istream& stream, const std::string& name) {
  std::string text;
  for (char piece[1 << 16]; stream.read(piece, sizeof piece), stream.gcount() > 0;) {
    text.append(piece, static_cast<size_t>(stream.gcount()));
    if (text.size() > kMostOfAStream) {
      base::fail_invalid("input", "a pipe or device may hold 1 GiB at most", name, "a file may be larger");
    }
  }
  if (stream.bad()) base::fail_io("input", "cannot read", name, errno);
  return text;
}

std::string read_all(const std::string& path) {
  if (path == "-") return read_stream(std::cin, "standard input");
  std::error_code fault;
  const base::fs::file_type type = base::fs::status(path, fault).type();
  const bool is_stream = type == base::fs::file_type::fifo || type == base::fs::file_type::character ||
                         type == base::fs::file_type::socket || type == base::fs::file_type::block;
  if (!is_stream) return base::read_file(path);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) base::fail_io("input", "cannot open", path, errno);
  return read_stream(file, path);
}

}  // namespace

std::string read_text(const std::string& path) {
  std::string text = read_all(path);
  if (text.starts_with(base::kByteOrderMark)) text.erase(0, base::kByteOrderMark.size());
  return text;
}

}  // namespace dsmoe::apps
