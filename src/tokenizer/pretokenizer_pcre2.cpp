// Unknown regular expressions, run by PCRE2: Unicode, compiled to machine code where possible, with limits on steps and
// memory, so that an expression from a stranger's file can be slow but never without end.
//
// tokenizer.json is written for Oniguruma in Ruby syntax. Where the two read a pattern alike it is passed on; where
// they differ it is translated (\s without U+180E, $ before any line feed) or refused by name (nested classes, \h,
// ...). PCRE2's own Unicode version decides what \p{L} is here (14.0 in Debian 12), unlike in the hand-written rules.
// Its callers hand in valid UTF-8 only (Matcher::needs_valid_utf8).
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <string>

#include "base/error.h"
#include "tokenizer/pretokenizer_matcher.h"
#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

constexpr uint32_t kMatchLimit = 100'000'000;  // steps of backtracking for one match
constexpr uint32_t kHeapLimitKiB = 1 << 18;
constexpr size_t kJitStackLeast = 32 * 1024, kJitStackMost = 8 * 1024 * 1024;

constexpr std::string_view kPart = "tokenizer.json";

[[noreturn]] void refuse(std::string_view what, std::string_view regex) {
  base::fail_invalid(kPart, "a Split's regular expression uses " + std::string(what) + ", which dsmoe does not read",
                     base::in_quotes(regex));
}

// What \s and \w (and their inverses) stand for, as members of a class.
std::string_view class_members(char letter) {
  if (letter == 's' || letter == 'S') return R"(\t-\r\x{85}\p{Z})";
  if (letter == 'w' || letter == 'W') {
    return R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169})"
           R"(\x{1f170}-\x{1f189})";
  }
  return {};
}

// The pattern as PCRE2 must see it to mean what Oniguruma means by it.
std::string translate(std::string_view regex) {
  constexpr std::string_view kRefused = "bBhHRXKGNOzZkgyY";  // other meanings, or none, in one of the two
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\' && i + 1 < regex.size()) {
      const char next = regex[++i];
      if (kRefused.find(next) != kRefused.npos) refuse(std::string("\\") + next, regex);
      if (const std::string_view members = class_members(next); !members.empty()) {
        const bool inverted = next == 'S' || next == 'W';
        if (inverted && in_class) refuse(std::string("\\") + next + " inside a class", regex);
        // alone, \w has Latin-1's small numbers too, by an old habit of Oniguruma's
        const char* more = in_class || (next | 32) != 'w' ? "" : "\\xb2\\xb3\\xb9\\xbc-\\xbe";
        out.append(in_class ? "" : inverted ? "[^" : "[").append(members).append(more).append(in_class ? "" : "]");
      } else {
        out += c;
        out += next;
      }
      continue;
    }
    if (in_class) {
      if (c == '[') refuse("a class inside a class", regex);
      if (c == '&' && regex.substr(i, 2) == "&&") refuse("&& inside a class", regex);
      if (c == ']') in_class = false;
    } else if (c == '[') {
      in_class = true;
      if (regex.substr(i + 1, 1) == "]" || regex.substr(i + 1, 2) == "^]") refuse("] as a class's first member", regex);
    } else if (c == '(' && regex.substr(i, 2) == "(?") {
      // inline flags: i is the same in both; m and s are not, x would need comments to be understood here
      for (size_t j = i + 2; j < regex.size() && ((regex[j] | 32) >= 'a' && (regex[j] | 32) <= 'z'); ++j) {
        if (regex[j] != 'i') refuse(std::string("the flag ") + regex[j], regex);
      }
    }
    if (c == '{' && !in_class && regex.substr(i, 2) == "{,") refuse("{,", regex);
    out += c;
  }
  return out;
}

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* p) const {
    kFree(p);
  }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free>>;
using Data = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;
using Context = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Free<pcre2_jit_stack_free>>;

// What a match needs besides the code, one per thread.
struct Workspace {
  Data data{pcre2_match_data_create(1, nullptr)};
  Context context{pcre2_match_context_create(nullptr)};
  JitStack stack{pcre2_jit_stack_create(kJitStackLeast, kJitStackMost, nullptr)};
  Workspace() {
    if (!data || !context || !stack) throw std::bad_alloc();
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKiB);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

class Pcre2Matcher : public Matcher {
 public:
  explicit Pcre2Matcher(std::string_view regex) : regex_(regex) {
    const std::string pattern = translate(regex);
    int error = 0;
    PCRE2_SIZE offset = 0;
    // MULTILINE because $ and ^ know lines in Ruby syntax; invalid text is replaced below, never matched as it is
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                              nullptr));
    if (!code_) {
      PCRE2_UCHAR text[160];
      pcre2_get_error_message(error, text, sizeof text);
      base::fail_invalid(kPart, "a Split's regular expression does not compile", base::in_quotes(regex),
                         reinterpret_cast<const char*>(text));
    }
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // without it, matching is merely slower
  }

  bool needs_valid_utf8() const override { return true; }
  Match next(std::string_view text, size_t from) const override {
    static thread_local Workspace workspace;
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const auto run = [&](uint32_t options) {
      return pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK | options, workspace.data.get(),
                         workspace.context.get());
    };
    int result = run(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return {};
    if (result < 0) {
      PCRE2_UCHAR message[160];
      pcre2_get_error_message(result, message, sizeof message);
      base::fail_invalid("tokenizer", "a Split's regular expression fails on this text", base::in_quotes(regex_),
                         reinterpret_cast<const char*>(message));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(workspace.data.get());
    return {bounds[0], bounds[1]};
  }

 private:
  std::string regex_;
  Code code_;
};

class LiteralMatcher : public Matcher {
 public:
  explicit LiteralMatcher(std::string_view text) : text_(text) {}
  Match next(std::string_view text, size_t from) const override {
    const size_t found = text.find(text_, from);
    return found == text.npos ? Match{} : Match{found, found + text_.size()};
  }

 private:
  std::string text_;
};

}  // namespace

std::unique_ptr<Matcher> make_pcre2_matcher(std::string_view regex) {
  if (regex.empty()) base::fail_invalid(kPart, "a Split's regular expression must not be empty");
  return std::make_unique<Pcre2Matcher>(regex);
}

std::unique_ptr<Matcher> make_literal_matcher(std::string_view text) {
  if (text.empty()) base::fail_invalid(kPart, "a Split's string must not be empty");
  return std::make_unique<LiteralMatcher>(text);
}

}  // namespace dsmoe::tokenizer
