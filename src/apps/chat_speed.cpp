#include "apps/chat_speed.h"

#include <chrono>
#include <cstdio>
#include <utility>

namespace dsmoe::apps {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// "12 tokens read at 830.1 tokens/s"; without a speed where none was measured.
std::string at_speed(int64_t tokens, const char* verb, int64_t timed, double seconds) {
  std::string text = std::to_string(tokens) + (tokens == 1 ? " token " : " tokens ") + verb;
  if (timed == 0 || seconds <= 0) return text;
  char speed[64];
  std::snprintf(speed, sizeof speed, " at %.1f tokens/s", static_cast<double>(timed) / seconds);
  return text + speed;
}

}  // namespace

ChatSpeed::ChatSpeed() : clock_(steady_seconds) {}

void ChatSpeed::begin(int64_t cached, int64_t prompt) {
  last_ = {.prompt = prompt - cached, .cached = cached};
  ++answers_;
  all_.prompt += last_.prompt;
  all_.cached += last_.cached;
  since_ = clock_();
}

void ChatSpeed::token() {
  const double now = clock_(), seconds = now - std::exchange(since_, now);
  const bool first = last_.generated == 0;
  for (Part* part : {&last_, &all_}) {
    ++part->generated;
    (first ? part->prompt_seconds : part->step_seconds) += seconds;
    if (!first) ++part->steps;
  }
}

std::string ChatSpeed::line(const std::string& name, const Part& part) {
  return name + ": " + at_speed(part.prompt, "read", part.prompt, part.prompt_seconds) +
         (part.cached > 0 ? " (" + std::to_string(part.cached) + " more were in the cache)" : "") + ", " +
         at_speed(part.generated, "generated", part.steps, part.step_seconds) + "\n";
}

std::string ChatSpeed::text() const {
  if (answers_ == 0) return "nothing has been answered\n";
  return line("last answer", last_) +
         (answers_ > 1 ? line("all " + std::to_string(answers_) + " answers", all_) : std::string());
}

}  // namespace dsmoe::apps
