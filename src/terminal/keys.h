// What a terminal sends, as keys: UTF-8 characters, control characters, escape sequences of xterm and its kin, and text
// that was pasted between the marks of bracketed paste.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::terminal {

struct Key {
  enum class Kind {
    kText,   ///< one character, in `text`
    kPaste,  ///< what was pasted, in `text`, as it came
    kEnter,
    kNewLine,  ///< Alt-Enter
    kTab,
    kInterrupt,  ///< Ctrl-C
    kEnd,        ///< Ctrl-D
    kSuspend,    ///< Ctrl-Z
    kClear,      ///< Ctrl-L: the screen
    kLeft,
    kRight,
    kUp,
    kDown,
    kHome,
    kLast,  ///< the key End
    kWordLeft,
    kWordRight,
    kBackspace,
    kDelete,
    kDeleteWordLeft,   ///< Alt-Backspace: letters and digits
    kDeleteWordRight,  ///< Alt-D
    kDeleteToSpace,    ///< Ctrl-W: to the white space before
    kDeleteToStart,    ///< Ctrl-U
    kDeleteToEnd,      ///< Ctrl-K
    kYank,             ///< Ctrl-Y: what was deleted last
  };
  Kind kind;
  std::string text = {};
  bool operator==(const Key&) const = default;
};

class KeyReader {
 public:
  /// Appends the keys that `bytes` complete; the beginning of one waits for the rest. Unknown sequences are dropped,
  /// and bytes that are no UTF-8 become U+FFFD.
  void feed(std::string_view bytes, std::vector<Key>& keys);

 private:
  enum class State { kGround, kCharacter, kEscape, kSequence, kPaste };
  void byte(char c, std::vector<Key>& keys);
  void ground(char c, std::vector<Key>& keys);
  void character(char c, std::vector<Key>& keys);
  void escape(char c, std::vector<Key>& keys);
  void sequence(char c, std::vector<Key>& keys);
  void paste(char c, std::vector<Key>& keys);

  State state_ = State::kGround;
  bool alt_ = false;     // a second escape before a sequence
  std::string waiting_;  // of the character, the sequence (without the escape) or the paste
};

}  // namespace dsmoe::terminal
