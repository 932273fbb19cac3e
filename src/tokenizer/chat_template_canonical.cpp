#include <algorithm>
#include <array>
#include <vector>

#include "tokenizer/chat_template.h"

namespace dsmoe::tokenizer {
namespace {

// A template as its parts. Of an output or a statement the words are kept, strings among them quoted.
struct Item {
  enum Kind { kText, kComment, kOutput, kStatement } kind;
  std::string text;
  std::vector<std::string> words;
};

constexpr std::string_view kSpaces = " \t\n\r\f\v";
bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }
bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_word) && !(text.front() >= '0' && text.front() <= '9');
}
bool is_string(std::string_view word) { return !word.empty() && word.front() == '"'; }
std::string_view content_of(std::string_view word) { return word.substr(1); }

// Hugging Face's settings of Jinja: one line feed at the end goes; so do blanks before a statement or comment that
// begins a line, and the line feed behind one.
std::string with_block_spaces(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (at == 0 || text[at - 1] == '\n') {
      const size_t first = text.find_first_not_of(" \t", at);
      if (first != text.npos && first + 1 < text.size() && text[first] == '{' &&
          std::string_view("#%-").find(text[first + 1]) != std::string_view::npos) {
        at = first;
      }
    }
    const bool ends_block =
        text[at] == '}' && at > 0 && std::string_view("#%-").find(text[at - 1]) != std::string_view::npos;
    out += text[at++];
    if (ends_block && at < text.size() && text[at] == '\n') ++at;
  }
  return out;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  /// False where the text is not Jinja.
  bool read(std::vector<Item>& items) {
    while (at_ < text_.size()) {
      const size_t open = next_tag();
      if (open > at_) items.push_back({Item::kText, std::string(text_.substr(at_, open - at_)), {}});
      at_ = open;
      if (at_ < text_.size() && !tag(items)) return false;
    }
    return true;
  }

 private:
  size_t next_tag() const {
    for (size_t at = at_; at + 1 < text_.size(); ++at) {
      if (text_[at] == '{' && std::string_view("%{#").find(text_[at + 1]) != std::string_view::npos) return at;
    }
    return text_.size();
  }

  bool tag(std::vector<Item>& items) {
    const char kind = text_[at_ + 1];
    at_ += 2;
    if (at_ < text_.size() && text_[at_] == '-') {
      ++at_;
      strip_end(items);
    }
    if (kind == '#') {
      const size_t end = text_.find("#}", at_);
      if (end == text_.npos) return false;
      const bool strips = end > at_ && text_[end - 1] == '-';
      items.push_back({Item::kComment, {}, {}});
      at_ = end + 2;
      if (strips) skip_spaces();
      return true;
    }
    Item item{kind == '%' ? Item::kStatement : Item::kOutput, {}, {}};
    if (!words(kind == '%' ? "%}" : "}}", item.words)) return false;
    if (item.words == std::vector<std::string>{"generation"} ||
        item.words == std::vector<std::string>{"endgeneration"}) {
      item.kind = Item::kComment;  // marks what is trained on, and writes nothing
    }
    items.push_back(std::move(item));
    return true;
  }

  static void strip_end(std::vector<Item>& items) {
    if (items.empty() || items.back().kind != Item::kText) return;
    std::string& text = items.back().text;
    const size_t last = text.find_last_not_of(kSpaces);
    text.resize(last == std::string::npos ? 0 : last + 1);
    if (text.empty()) items.pop_back();
  }
  void skip_spaces() { at_ = std::min(text_.find_first_not_of(kSpaces, at_), text_.size()); }

  bool words(std::string_view close, std::vector<std::string>& out) {
    for (int braces = 0;;) {
      skip_spaces();
      if (at_ >= text_.size()) return false;
      const std::string_view rest = text_.substr(at_);
      const bool strips = rest.starts_with('-') && rest.substr(1).starts_with(close);
      if (braces == 0 && (strips || rest.starts_with(close))) {
        at_ += close.size() + (strips ? 1 : 0);
        if (strips) skip_spaces();
        return true;
      }
      if (rest.front() == '{') ++braces;
      if (rest.front() == '}') --braces;
      if (rest.front() == '"' || rest.front() == '\'') {
        if (!string(out)) return false;
      } else {
        out.emplace_back(rest.substr(0, word_length(rest)));
        at_ += out.back().size();
      }
    }
  }

  static size_t word_length(std::string_view rest) {
    size_t length = 0;
    while (length < rest.size() && is_word(rest[length])) ++length;
    if (length > 0) return length;
    for (const std::string_view two : {"==", "!=", "<=", ">=", "**", "//"}) {
      if (rest.starts_with(two)) return two.size();
    }
    return 1;
  }

  // A string's value behind one quote, whichever it was written with.
  bool string(std::vector<std::string>& out) {
    static constexpr std::string_view kEscaped = "ntrbfv'\"\\", kMeant = "\n\t\r\b\f\v'\"\\";
    const char quote = text_[at_++];
    std::string value = "\"";
    for (; at_ < text_.size() && text_[at_] != quote; ++at_) {
      if (text_[at_] != '\\') {
        value += text_[at_];
        continue;
      }
      if (++at_ >= text_.size()) return false;
      const size_t known = kEscaped.find(text_[at_]);
      if (known == kEscaped.npos) return false;
      value += kMeant[known];
    }
    if (at_ >= text_.size()) return false;
    ++at_;
    out.push_back(std::move(value));
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// message['role'] is message.role.
std::vector<std::string> with_dots(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool indexes =
        words[i] == "[" && i > 0 && (is_name(words[i - 1]) || words[i - 1] == "]" || words[i - 1] == ")") &&
        i + 2 < words.size() && is_string(words[i + 1]) && is_name(content_of(words[i + 1])) && words[i + 2] == "]";
    if (indexes) {
      out.emplace_back(".");
      out.emplace_back(content_of(words[i + 1]));
      i += 2;
    } else {
      out.push_back(words[i]);
    }
  }
  return out;
}

// The terms of an output that is a sum of strings, names and filtered names, and else the output itself: a sum is
// written as its terms one after another.
std::vector<std::vector<std::string>> terms_of(const std::vector<std::string>& words) {
  static constexpr std::array<std::string_view, 7> kOperators = {"if", "else", "in", "and", "or", "not", "is"};
  std::vector<std::vector<std::string>> terms(1);
  int depth = 0;
  for (const std::string& word : words) {
    if (word == "[" || word == "(" || word == "{") ++depth;
    if (word == "]" || word == ")" || word == "}") --depth;
    if (depth == 0 && word == "+") {
      terms.emplace_back();
      continue;
    }
    const bool simple = is_string(word) || (is_name(word) && std::ranges::find(kOperators, word) == kOperators.end()) ||
                        word == "." || word == "|" || word == "]" || word == ")" || depth > 0;
    if (!simple) return {words};
    terms.back().push_back(word);
  }
  const bool has_empty = std::ranges::any_of(terms, [](const auto& term) { return term.empty(); });
  if (has_empty) return {words};
  return terms;
}

// Comments gone, outputs in terms, texts that follow each other in one.
std::vector<Item> flattened(const std::vector<Item>& items) {
  std::vector<Item> out;
  const auto add_text = [&](std::string_view text) {
    if (text.empty()) return;
    if (out.empty() || out.back().kind != Item::kText) out.push_back({Item::kText, {}, {}});
    out.back().text += text;
  };
  for (const Item& item : items) {
    if (item.kind == Item::kText) add_text(item.text);
    if (item.kind == Item::kStatement) out.push_back({Item::kStatement, {}, with_dots(item.words)});
    if (item.kind != Item::kOutput) continue;
    for (auto& term : terms_of(with_dots(item.words))) {
      if (term.size() == 1 && is_string(term[0])) {
        add_text(content_of(term[0]));
      } else {
        out.push_back({Item::kOutput, {}, std::move(term)});
      }
    }
  }
  return out;
}

// add_generation_prompt is always defined here, so that a default for it says nothing.
void drop_default_of_generation(std::vector<Item>& items) {
  using Words = std::vector<std::string>;
  if (items.size() < 3 || !std::ranges::all_of(items.begin(), items.begin() + 3,
                                               [](const Item& item) { return item.kind == Item::kStatement; })) {
    return;
  }
  const bool asks = items[0].words == Words{"if", "not", "add_generation_prompt", "is", "defined"} ||
                    items[0].words == Words{"if", "add_generation_prompt", "is", "not", "defined"};
  const bool sets = items[1].words == Words{"set", "add_generation_prompt", "=", "false"};
  if (asks && sets && items[2].words == Words{"endif"}) items.erase(items.begin(), items.begin() + 3);
}

// The one text that is a whole system message of ChatML, which then stands for any.
std::optional<std::string> take_default_system(std::vector<Item>& items) {
  static constexpr std::string_view kBefore = "<|im_start|>system\n", kAfter = "<|im_end|>\n";
  std::string* found = nullptr;
  for (Item& item : items) {
    if (item.kind != Item::kText || !item.text.starts_with(kBefore) || !item.text.ends_with(kAfter)) continue;
    if (item.text.size() <= kBefore.size() + kAfter.size() || found) return std::nullopt;
    found = &item.text;
  }
  if (!found) return std::nullopt;
  std::string content = found->substr(kBefore.size(), found->size() - kBefore.size() - kAfter.size());
  if (content.find("<|im_") != std::string::npos) return std::nullopt;
  *found = std::string(kBefore) + "..." + std::string(kAfter);
  return content;
}

void append(std::string& out, std::string_view text) {
  out.append(std::to_string(text.size())).append(":").append(text);
}

}  // namespace

std::optional<CanonicalTemplate> canonical_template(std::string_view text) {
  const std::string spaced = with_block_spaces(text);
  std::vector<Item> items;
  if (!Reader(spaced).read(items)) return std::nullopt;
  items = flattened(items);
  drop_default_of_generation(items);
  CanonicalTemplate canonical;
  canonical.default_system = take_default_system(items);
  for (const Item& item : items) {
    canonical.text += item.kind == Item::kText ? "text " : item.kind == Item::kOutput ? "output " : "statement ";
    if (item.kind == Item::kText) append(canonical.text, item.text);
    for (const std::string& word : item.words) append(canonical.text, word);
    canonical.text += '\n';
  }
  return canonical;
}

}  // namespace dsmoe::tokenizer
