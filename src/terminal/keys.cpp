#include "terminal/keys.h"

#include <optional>

#include "base/utf8.h"

namespace dsmoe::terminal {
namespace {

using Kind = Key::Kind;

constexpr char kEscape = '\x1b', kBackspace = '\x7f';
const std::string kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view kPasteEnd = "\x1b[201~";
constexpr size_t kLongestSequence = 32;            // longer ones are dropped as they come
constexpr size_t kLongestPaste = size_t{1} << 24;  // what comes beyond is dropped: no paste fills the memory

struct Named {
  std::string_view bytes;
  Kind kind;
};

constexpr Named kControls[] = {
    {"\r", Kind::kEnter},           {"\n", Kind::kEnter},           {"\t", Kind::kTab},
    {"\x01", Kind::kHome},          {"\x02", Kind::kLeft},          {"\x03", Kind::kInterrupt},
    {"\x04", Kind::kEnd},           {"\x05", Kind::kLast},          {"\x06", Kind::kRight},
    {"\x08", Kind::kBackspace},     {"\x7f", Kind::kBackspace},     {"\x0b", Kind::kDeleteToEnd},
    {"\x0c", Kind::kClear},         {"\x0e", Kind::kDown},          {"\x10", Kind::kUp},
    {"\x15", Kind::kDeleteToStart}, {"\x17", Kind::kDeleteToSpace}, {"\x19", Kind::kYank},
    {"\x1a", Kind::kSuspend},
};
/// After an escape.
constexpr Named kAlt[] = {
    {"b", Kind::kWordLeft},          {"f", Kind::kWordRight},         {"d", Kind::kDeleteWordRight},
    {"B", Kind::kWordLeft},          {"F", Kind::kWordRight},         {"D", Kind::kDeleteWordRight},
    {"\x7f", Kind::kDeleteWordLeft}, {"\x08", Kind::kDeleteWordLeft}, {"\r", Kind::kNewLine},
    {"\n", Kind::kNewLine},
};
/// After an escape, without the modifier that may stand before the last character: [1;5D is [D with Ctrl.
constexpr Named kSequences[] = {
    {"[A", Kind::kUp},      {"[B", Kind::kDown},     {"[C", Kind::kRight},     {"[D", Kind::kLeft},
    {"[H", Kind::kHome},    {"[F", Kind::kLast},     {"OA", Kind::kUp},        {"OB", Kind::kDown},
    {"OC", Kind::kRight},   {"OD", Kind::kLeft},     {"OH", Kind::kHome},      {"OF", Kind::kLast},
    {"[1~", Kind::kHome},   {"[4~", Kind::kLast},    {"[7~", Kind::kHome},     {"[8~", Kind::kLast},
    {"[3~", Kind::kDelete}, {"Od", Kind::kWordLeft}, {"Oc", Kind::kWordRight},
};

template <size_t N>
std::optional<Kind> find(const Named (&table)[N], std::string_view bytes) {
  for (const Named& named : table) {
    if (named.bytes == bytes) return named.kind;
  }
  return std::nullopt;
}

/// With Alt or Ctrl the arrows go by words, and the key Delete takes one.
Kind by_words(Kind kind) {
  if (kind == Kind::kLeft) return Kind::kWordLeft;
  if (kind == Kind::kRight) return Kind::kWordRight;
  if (kind == Kind::kDelete) return Kind::kDeleteWordRight;
  return kind;
}

/// Takes the modifier out of a sequence: [1;5D becomes [D, [3;5~ becomes [3~, [5D (of rxvt) becomes [D. True where it
/// has Alt or Ctrl: the modifier is 1 plus 1 for Shift, 2 for Alt, 4 for Ctrl.
bool take_modifier(std::string& sequence) {
  const char last = sequence.back();
  size_t from = sequence.find(';');
  if (from == std::string::npos) {
    if (last == '~' || sequence.size() < 3) return false;
    from = 0;  // [5D: the modifier follows the bracket
  }
  int modifier = 0;
  for (const char c : std::string_view(sequence).substr(from + 1, sequence.size() - from - 2)) {
    if (c < '0' || c > '9' || modifier > 100) return false;
    modifier = modifier * 10 + (c - '0');
  }
  sequence.resize(last == '~' ? from : 1);
  sequence += last;
  return modifier > 0 && ((modifier - 1) & 6) != 0;
}

}  // namespace

void KeyReader::feed(std::string_view bytes, std::vector<Key>& keys) {
  for (const char c : bytes) byte(c, keys);
}

void KeyReader::byte(char c, std::vector<Key>& keys) {
  switch (state_) {
    case State::kGround:
      return ground(c, keys);
    case State::kCharacter:
      return character(c, keys);
    case State::kEscape:
      return escape(c, keys);
    case State::kSequence:
      return sequence(c, keys);
    case State::kPaste:
      return paste(c, keys);
  }
}

void KeyReader::ground(char c, std::vector<Key>& keys) {
  const auto lead = static_cast<unsigned char>(c);
  waiting_.clear();
  alt_ = false;
  if (c == kEscape) {
    state_ = State::kEscape;
  } else if (lead >= 0xc2 && lead <= 0xf4) {
    state_ = State::kCharacter;
    waiting_ = c;
  } else if (lead >= 0x80) {
    keys.push_back({Kind::kText, kReplacement});
  } else if (lead >= 0x20 && c != kBackspace) {
    keys.push_back({Kind::kText, std::string(1, c)});
  } else if (const auto kind = find(kControls, std::string_view(&c, 1))) {
    keys.push_back({*kind});
  }
}

void KeyReader::character(char c, std::vector<Key>& keys) {
  const auto lead = static_cast<unsigned char>(waiting_.front());
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  const bool continues = (static_cast<unsigned char>(c) & 0xc0) == 0x80;
  if (continues) waiting_ += c;
  if (continues && waiting_.size() < length) return;
  char32_t ignored;
  const bool whole = base::utf8_decode(waiting_, 0, ignored) == waiting_.size();
  keys.push_back({Kind::kText, whole ? waiting_ : kReplacement});
  state_ = State::kGround;
  if (!continues) ground(c, keys);
}

void KeyReader::escape(char c, std::vector<Key>& keys) {
  if (c == kEscape) {
    alt_ = true;
  } else if (c == '[' || c == 'O') {
    waiting_ = c;
    state_ = State::kSequence;
  } else {
    state_ = State::kGround;
    if (const auto kind = find(kAlt, std::string_view(&c, 1))) keys.push_back({*kind});
  }
}

// ECMA-48: parameters, then one character from @ on; the Linux console sends [[A for F1.
void KeyReader::sequence(char c, std::vector<Key>& keys) {
  if (waiting_.size() < kLongestSequence) waiting_ += c;
  const bool more = c < '@' || c > '~' || (c == '[' && waiting_ == "[[");
  if (more && static_cast<unsigned char>(c) >= 0x20) return;
  state_ = State::kGround;
  if (waiting_ == "[200~") {
    state_ = State::kPaste;
    waiting_.clear();
    return;
  }
  const bool words = take_modifier(waiting_) || alt_;
  if (const auto kind = find(kSequences, waiting_)) keys.push_back({words ? by_words(*kind) : *kind});
}

void KeyReader::paste(char c, std::vector<Key>& keys) {
  waiting_ += c;
  if (waiting_.ends_with(kPasteEnd)) {
    waiting_.resize(waiting_.size() - kPasteEnd.size());
    keys.push_back({Kind::kPaste, waiting_});
    state_ = State::kGround;
  } else if (waiting_.size() >= kLongestPaste) {  // what may be the beginning of the mark stays
    waiting_.erase(kLongestPaste - 2 * kPasteEnd.size(), kPasteEnd.size());
  }
}

}  // namespace dsmoe::terminal
