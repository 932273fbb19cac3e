#include "charts/text.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"

namespace dsmoe::charts {
namespace {

std::string escaped(std::string_view character) {
  switch (character.front()) {
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '&':
      return "&amp;";
    case '"':
      return "&quot;";
    default:
      return std::string(character);
  }
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    char32_t c = 0;
    const size_t length = base::utf8_decode(text, at, c);
    const bool printable = length > 0 && (c >= 0x20 || c == '\n' || c == '\t') && c != 0x7f;
    out += printable ? escaped(text.substr(at, length)) : "\xEF\xBF\xBD";
    at += std::max<size_t>(length, 1);
  }
  return out;
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return "not measured";
  char text[40];
  const double size = std::abs(value);
  const bool whole = size < 1e6 && (size >= 1e3 || value == std::floor(value));
  std::snprintf(text, sizeof text, whole ? "%.0f" : "%.4g", value);
  return text;
}

std::string plain_number(double value) {
  if (!std::isfinite(value)) return {};
  char text[40];
  std::snprintf(text, sizeof text, "%.7g", value);
  return text;
}

std::string data_uri(std::string_view type, std::string_view text) {
  constexpr std::string_view kPlain = "-._~,:;()[]{}/=+";
  std::string out = "data:" + std::string(type) + ",";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) != 0 || kPlain.find(c) != kPlain.npos)) {
      out += c;
    } else {
      char code[4];
      std::snprintf(code, sizeof code, "%%%02X", byte);
      out += code;
    }
  }
  return out;
}

std::string slug(std::string_view title) {
  std::string out;
  for (const char c : title) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && std::isalnum(byte) != 0) {
      out += static_cast<char>(std::tolower(byte));
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "figure" : out;
}

}  // namespace dsmoe::charts
