#include "eval/template.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace dsmoe::eval {

Template::Template(std::string_view text, std::string_view where) {
  const auto refuse = [&](std::string_view rule) { base::fail_invalid(where, rule, base::in_quotes(text)); };
  std::string plain;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == c;
    if (c != '{' && c != '}') {
      plain += c;
    } else if (doubled) {
      plain += c, ++at;
    } else if (c == '}') {
      refuse("a closing brace needs an opening one before it, or is written }}");
    } else {
      const size_t end = text.find('}', at);
      if (end == std::string_view::npos) refuse("an opening brace needs a closing one after it, or is written {{");
      if (end == at + 1) refuse("a name is needed between braces");
      if (!plain.empty()) pieces_.push_back({std::exchange(plain, {}), false});
      pieces_.push_back({std::string(text.substr(at + 1, end - at - 1)), true});
      at = end;
    }
  }
  if (!plain.empty()) pieces_.push_back({plain, false});
}

std::string Template::render(const Fields& fields) const {
  std::string out;
  for (const Piece& piece : pieces_) out += piece.place ? fields.at(piece.text) : piece.text;
  return out;
}

const std::string* Template::first_missing(const Fields& fields) const {
  for (const Piece& piece : pieces_) {
    if (piece.place && !fields.contains(piece.text)) return &piece.text;
  }
  return nullptr;
}

bool Template::uses(std::string_view name) const {
  return std::any_of(pieces_.begin(), pieces_.end(),
                     [&](const Piece& piece) { return piece.place && piece.text == name; });
}

}  // namespace dsmoe::eval
