// Progress for a person, on standard error: a bar with rate and time left on a terminal, a plain line every few seconds
// elsewhere. NO_COLOR is obeyed. Results never go here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <utility>

namespace dsmoe::apps {

/// "32.75 GB", "812 kB", "7 B": powers of 1000, as disks are sold.
std::string bytes_text(double bytes);
/// "1.6M", "512": powers of 1000.
std::string count_text(double count);
/// "2h05m", "4m10s", "3.2s".
std::string duration_text(double seconds);

/// A row of a terminal of `columns` (0: of any width) that can be drawn again: a bar as wide as there is room for,
/// where `share` is known (not below 0), then the text, cut where it is too long. ASCII; the last column stays free.
std::string progress_row(double share, std::string text, size_t columns, bool color = false);
/// The text alone, for the terminal behind standard error; all of it where there is none.
std::string one_row(std::string text);

class Progress {
 public:
  using Clock = std::function<double()>;  ///< seconds, never going back
  struct Style {
    bool bar = false;  ///< redraw one line instead of adding lines
    bool color = false;
    double every = 5.0;  ///< seconds between lines; a bar redraws ten times a second
  };
  /// `total` in bytes or items; 0 where it is not known, which leaves the time left out.
  Progress(std::string label, uint64_t total, std::function<std::string(double)> unit);
  /// For tests: where to, how, and by which clock.
  Progress(std::string label, uint64_t total, std::function<std::string(double)> unit, std::ostream& out, Style style,
           Clock clock);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// What was done before the clock started (by an earlier process): the rate and the time left leave it out.
  void set_done_before(uint64_t done) { done_before_ = done; }
  void set_label(std::string label) { label_ = std::move(label); }
  void update(uint64_t done);
  /// A line of its own; a bar that is drawn goes away first, and the next update draws it below.
  void say(const std::string& text);
  /// The last line, with the whole time. Without it the destructor only ends the bar's line.
  void finish();
  double seconds() const { return clock_() - start_; }

 private:
  std::string line(double now) const;
  void show(double now, bool last);

  std::string label_;
  uint64_t total_, done_before_ = 0, done_ = 0;
  std::function<std::string(double)> unit_;
  std::ostream& out_;
  Style style_;
  Clock clock_;
  double start_, shown_;
  bool drawn_ = false;
};

}  // namespace dsmoe::apps
