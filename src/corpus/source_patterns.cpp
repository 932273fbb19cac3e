// The signs of a pattern: braces, and what a name can be matched by.
#include <optional>

#include "base/error.h"
#include "base/utf8.h"
#include "corpus/source_files.h"

namespace dsmoe::corpus {
namespace {

constexpr size_t kLongestPattern = 16384, kDeepestBraces = 16;

// The first {a,b} of a pattern that is not inside another: what stands before it, its alternatives, what comes after.
struct BraceGroup {
  std::string_view before;
  std::vector<std::string_view> alternatives;
  std::string_view after;
};

// The group that begins with the brace at `open`, unless the brace is never closed or is {}.
std::optional<BraceGroup> group_at(std::string_view pattern, size_t open) {
  BraceGroup group{pattern.substr(0, open), {}, {}};
  size_t begin = open + 1;
  int depth = 0;
  for (size_t at = begin; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '\\') ++at;
    if (c == '{') ++depth;
    const bool closes = c == '}' && depth-- == 0;
    if (closes || (c == ',' && depth == 0)) {
      group.alternatives.push_back(pattern.substr(begin, at - begin));
      begin = at + 1;
    }
    if (!closes) continue;
    if (at == open + 1) return std::nullopt;
    group.after = pattern.substr(at + 1);
    return group;
  }
  return std::nullopt;
}

std::optional<BraceGroup> first_group(std::string_view pattern) {
  for (size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] == '\\') {
      ++at;
    } else if (pattern[at] == '{') {
      if (auto group = group_at(pattern, at)) return group;
    }
  }
  return std::nullopt;
}

// How many alternatives a pattern has; anything above the most allowed is as good as that.
size_t count_alternatives(std::string_view pattern, size_t depth) {
  constexpr size_t kTooMany = kMostAlternatives + 1;
  size_t count = 1;
  for (auto group = first_group(pattern); group && count <= kMostAlternatives; group = first_group(group->after)) {
    size_t sum = 0;
    for (const std::string_view alternative : group->alternatives) {
      sum += depth == 0 ? kTooMany : count_alternatives(alternative, depth - 1);
      if (sum > kMostAlternatives) return kTooMany;
    }
    count *= sum;
  }
  return count;
}

void expand(const std::string& front, std::string_view pattern, std::vector<std::string>& out) {
  const auto group = first_group(pattern);
  if (!group) {
    out.push_back(front + std::string(pattern));
    return;
  }
  const std::string before = front + std::string(group->before);
  for (const std::string_view alternative : group->alternatives) {
    expand(before, std::string(alternative) + std::string(group->after), out);
  }
}

struct Character {
  char32_t value;
  size_t length;
};

// A byte that is no character stands for itself, above all characters.
Character character_at(std::string_view text, size_t at) {
  char32_t value = 0;
  const size_t length = base::utf8_decode(text, at, value);
  if (length > 0) return {value, length};
  return {char32_t{0x110000} + static_cast<unsigned char>(text[at]), 1};
}

// Whether the class [..] at `at` of the pattern holds the character; `at` becomes its end. Nothing where no ] closes
// it.
std::optional<bool> class_holds(std::string_view pattern, size_t& at, char32_t wanted) {
  size_t next = at + 1;
  const bool inverted = next < pattern.size() && (pattern[next] == '!' || pattern[next] == '^');
  next += inverted;
  const auto take = [&] {
    if (pattern[next] == '\\' && next + 1 < pattern.size()) ++next;
    const Character c = character_at(pattern, next);
    next += c.length;
    return c.value;
  };
  bool holds = false;
  for (bool first = true; next < pattern.size(); first = false) {
    if (pattern[next] == ']' && !first) {
      at = next + 1;
      return holds != inverted;
    }
    const char32_t low = take();
    char32_t high = low;
    if (next + 1 < pattern.size() && pattern[next] == '-' && pattern[next + 1] != ']') {
      ++next;
      high = take();
    }
    holds = holds || (wanted >= low && wanted <= high);
  }
  return std::nullopt;
}

// Whether the one sign at `at` of the pattern (not a star) takes the character; `at` goes past the sign.
bool takes(std::string_view pattern, size_t& at, char32_t wanted) {
  if (pattern[at] == '?') {
    ++at;
    return true;
  }
  if (pattern[at] == '[') {
    if (const auto holds = class_holds(pattern, at, wanted)) return *holds;
  }
  if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
  const Character c = character_at(pattern, at);
  at += c.length;
  return c.value == wanted;
}

}  // namespace

std::vector<std::string> brace_alternatives(std::string_view pattern) {
  if (pattern.size() > kLongestPattern) {
    base::fail(base::ErrorKind::kUsage, "data", "a pattern may have " + std::to_string(kLongestPattern) + " bytes",
               std::to_string(pattern.size()));
  }
  if (count_alternatives(pattern, kDeepestBraces) > kMostAlternatives) {
    base::fail(base::ErrorKind::kUsage, "data",
               "the braces of a pattern may stand for " + std::to_string(kMostAlternatives) + " paths",
               base::in_quotes(pattern.substr(0, 80)), "use * or name a folder");
  }
  std::vector<std::string> out;
  expand("", pattern, out);
  return out;
}

// Only the last star is ever taken up again: what an earlier one could give, the later one can too. So the work is at
// most pattern times name.
bool name_matches(std::string_view pattern, std::string_view name) {
  size_t at = 0, in_name = 0, star = std::string_view::npos, star_in_name = 0;
  while (in_name < name.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      star_in_name = in_name;
      continue;
    }
    const Character c = character_at(name, in_name);
    if (at < pattern.size() && takes(pattern, at, c.value)) {
      in_name += c.length;
      continue;
    }
    if (star == std::string_view::npos) return false;
    at = star;
    in_name = star_in_name += character_at(name, star_in_name).length;
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

}  // namespace dsmoe::corpus
