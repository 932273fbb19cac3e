// The terminal of standard input and standard error while keys are read one by one.
#pragma once

#include <string>
#include <string_view>

#include "terminal/line_display.h"

namespace dsmoe::terminal {

/// Whether a person types there: both are terminals, and this one knows escape sequences.
bool can_edit();

/// While one lives, keys come unechoed and as they are typed, pasted text comes in marks, and a signal that ends the
/// program leaves the terminal as it was. One at a time, none while the program does anything else.
class RawTerminal {
 public:
  RawTerminal();
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  enum class Event {
    kInput,
    kResized,
    kContinued,  ///< the program had been stopped: the screen may show anything
    kEnd,        ///< nothing more will come
  };
  /// Waits. For kInput `bytes` is what came, not empty.
  Event wait(std::string& bytes);
  ScreenSize size() const;
  void write(std::string_view bytes) const;
  /// Ctrl-Z: the terminal as it was, until the shell lets the program go on.
  void suspend();
};

}  // namespace dsmoe::terminal
