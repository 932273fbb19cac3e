#include "apps/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "terminal/window_size.h"

namespace dsmoe::apps {
namespace {

std::string scaled(double value, const char* const* names, int last) {
  int step = 0;
  while (value >= 999.5 && step < last) {
    value /= 1000;
    ++step;
  }
  char text[32];
  std::snprintf(text, sizeof text, step == 0 ? "%.0f%s" : value < 100 ? "%.2f%s" : "%.0f%s", value, names[step]);
  return text;
}

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Progress::Style style_of_stderr() {
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string(terminal) == "dumb";
  const char* no_color = std::getenv("NO_COLOR");
  Progress::Style style;
  style.bar = ::isatty(STDERR_FILENO) == 1 && !dumb;
  style.color = style.bar && (no_color == nullptr || *no_color == '\0');
  if (style.bar) style.every = 0.1;
  return style;
}

size_t columns_of_stderr() {
  const auto size = terminal::window_size(STDERR_FILENO);
  return size ? size->columns : 0;
}

std::string bar(double share, size_t width, bool color) {
  const auto full = static_cast<size_t>(std::llround(std::min(share, 1.0) * static_cast<double>(width)));
  const std::string marks = std::string(full, '#') + std::string(width - full, '.');
  return "[" + (color ? "\033[32m" + marks + "\033[0m" : marks) + "] ";
}

}  // namespace

std::string bytes_text(double bytes) {
  static constexpr const char* kNames[] = {" B", " kB", " MB", " GB", " TB"};
  return scaled(bytes, kNames, 4);
}

std::string count_text(double count) {
  static constexpr const char* kNames[] = {"", "k", "M", "G", "T"};
  return scaled(count, kNames, 4);
}

std::string duration_text(double seconds) {
  char text[32];
  const auto whole = std::llround(seconds);
  if (seconds < 59.95) {
    std::snprintf(text, sizeof text, "%.1fs", seconds);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lldm%02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lldh%02lldm", whole / 3600, whole % 3600 / 60);
  }
  return text;
}

// A terminal goes to the next row when the last column is filled.
std::string progress_row(double share, std::string text, size_t columns, bool color) {
  constexpr size_t kWidest = 24, kNarrowest = 4, kAround = 4;  // brackets, a space, and the column that stays free
  if (columns > 0 && text.size() >= columns) text.resize(columns - 1);
  if (share < 0) return text;
  const size_t taken = text.size() + kAround;
  const size_t width = columns == 0 ? kWidest : std::min(kWidest, columns > taken ? columns - taken : 0);
  return width < kNarrowest ? text : bar(share, width, color) + text;
}

std::string one_row(std::string text) { return progress_row(-1, std::move(text), columns_of_stderr()); }

Progress::Progress(std::string label, uint64_t total, std::function<std::string(double)> unit)
    : Progress(std::move(label), total, std::move(unit), std::cerr, style_of_stderr(), steady_seconds) {}

Progress::Progress(std::string label, uint64_t total, std::function<std::string(double)> unit, std::ostream& out,
                   Style style, Clock clock)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      out_(out),
      style_(style),
      clock_(std::move(clock)),
      start_(clock_()),
      shown_(start_) {}

Progress::~Progress() {
  if (drawn_) out_ << "\n" << std::flush;
}

void Progress::update(uint64_t done) {
  done_ = done;
  const double now = clock_();
  if (now - shown_ >= style_.every) show(now, false);
}

void Progress::say(const std::string& text) {
  out_ << (drawn_ ? "\r\033[K" : "") << text << "\n" << std::flush;
  drawn_ = false;
}

void Progress::finish() { show(clock_(), true); }

std::string Progress::line(double now) const {
  const double seconds = std::max(now - start_, 1e-9);
  const double rate = static_cast<double>(done_ - std::min(done_before_, done_)) / seconds;
  std::string text = unit_(static_cast<double>(done_));
  if (total_ > 0) {
    char percent[16];
    std::snprintf(percent, sizeof percent, " (%.0f%%)",
                  100.0 * static_cast<double>(done_) / static_cast<double>(total_));
    text += " of " + unit_(static_cast<double>(total_)) + percent;
  }
  text += ", " + unit_(rate) + "/s";
  if (total_ > done_ && rate > 0) {
    text += ", " + duration_text(static_cast<double>(total_ - done_) / rate) + " left";
  }
  return text;
}

void Progress::show(double now, bool last) {
  shown_ = now;
  const std::string text = label_ + ": " + line(now) + (last ? ", took " + duration_text(now - start_) : "");
  if (!style_.bar) {
    out_ << text << "\n" << std::flush;
    return;
  }
  const double share = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : -1;
  const size_t columns = &out_ == &std::cerr ? columns_of_stderr() : 0;
  out_ << "\r\033[K" << progress_row(share, text, columns, style_.color) << (last ? "\n" : "") << std::flush;
  drawn_ = !last;
}

}  // namespace dsmoe::apps
