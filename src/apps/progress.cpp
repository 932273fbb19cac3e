#include "apps/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>

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

void Progress::finish() { show(clock_(), true); }

std::string Progress::line(double now) const {
  const double seconds = std::max(now - start_, 1e-9);
  const double rate = static_cast<double>(done_) / seconds;
  std::string text = unit_(static_cast<double>(done_));
  if (total_ > 0) {
    char percent[16];
    std::snprintf(percent, sizeof percent, " (%.0f%%)",
                  100.0 * static_cast<double>(done_) / static_cast<double>(total_));
    text += " of " + unit_(static_cast<double>(total_)) + percent;
  }
  text += ", " + unit_(rate) + "/s";
  if (total_ > done_ && done_ > 0) {
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
  constexpr int kWidth = 24;
  const double share = total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 0.0;
  const int full = static_cast<int>(std::lround(share * kWidth));
  const std::string bar =
      std::string(static_cast<size_t>(full), '#') + std::string(static_cast<size_t>(kWidth - full), '.');
  const std::string colored = style_.color ? "\033[32m" + bar + "\033[0m" : bar;
  out_ << "\r\033[K" << (total_ > 0 ? "[" + colored + "] " : "") << text << (last ? "\n" : "") << std::flush;
  drawn_ = !last;
}

}  // namespace dsmoe::apps
