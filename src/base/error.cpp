#include "base/error.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace dsmoe::base {

namespace {

// A value from outside may be of any length. What is said of it often stands behind it, so the middle goes; cut where
// characters begin.
std::string shortened(std::string_view text) {
  constexpr size_t kLongest = 600, kHead = 400, kTail = 150;
  if (text.size() <= kLongest) return std::string(text);
  const auto inside = [&](size_t at) { return (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80; };
  size_t head = kHead, tail = text.size() - kTail;
  while (head > 0 && inside(head)) --head;
  while (tail < text.size() && inside(tail)) ++tail;
  return std::string(text.substr(0, head)) + " ... " + std::string(text.substr(tail));
}

/// What came from outside (a path, a parser's words) may hold line ends and terminal escapes.
std::string one_line(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
    }
  }
  return out;
}

}  // namespace

void fail(ErrorKind kind, std::string_view part, std::string_view rule, std::string_view found, std::string_view hint) {
  std::string line = "[" + shortened(part) + "] " + shortened(rule);
  if (!found.empty()) line.append(": ").append(shortened(found));
  if (!hint.empty()) line.append("; ").append(shortened(hint));
  throw Error(kind, one_line(line));
}

void fail_invalid(std::string_view part, std::string_view rule, std::string_view found, std::string_view hint) {
  fail(ErrorKind::kInvalid, part, rule, found, hint);
}

void fail_io(std::string_view part, std::string_view rule, std::string_view path, int error_number,
             std::string_view hint) {
  const std::string found = std::string(path) + " (" + std::strerror(error_number) + ")";
  fail(ErrorKind::kIo, part, rule, found, hint);
}

void broken_promise(const char* file, int line, const char* condition, std::string_view message) {
  throw BrokenPromise(std::string(file) + ":" + std::to_string(line) + ": " + condition +
                      " does not hold: " + std::string(message));
}

std::string in_quotes(std::string_view text, size_t longest) {
  std::string out = "\"";
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    char escape[8];
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (byte < 0x20 || byte >= 0x7f) {
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  out += text.size() > longest ? "\"..." : "\"";
  return out;
}

namespace {

/// Letters to insert, remove, replace, or to swap with their neighbour.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (a[i - 1] != b[j - 1]), last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

/// A third of the shorter word, three at most: farther than that two words are different words, and a wrong suggestion
/// is worse than none.
size_t farthest_suggestion(std::string_view a, std::string_view b) {
  const size_t shorter = std::min(a.size(), b.size());
  return shorter < 3 ? 0 : std::min<size_t>(3, shorter / 3);
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 256;  // of what somebody typed; the table of distances grows with it
  std::string best;
  size_t best_distance = SIZE_MAX;
  if (word.size() > kLongest) return best;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance <= farthest_suggestion(word, candidate)) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace dsmoe::base
