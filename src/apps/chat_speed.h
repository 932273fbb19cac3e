// How fast a conversation goes: its prompts and its answers apart.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace dsmoe::apps {

class ChatSpeed {
 public:
  using Clock = std::function<double()>;  ///< seconds, never going back
  ChatSpeed();
  explicit ChatSpeed(Clock clock) : clock_(std::move(clock)) {}

  /// An answer begins: of the `prompt` tokens `cached` need not be read again.
  void begin(int64_t cached, int64_t prompt);
  /// The next token of the answer is there. The first comes with the prompt read, so it is none that took a step.
  void token();
  /// Lines for a person: the last answer, and all of them where there are more.
  std::string text() const;

 private:
  struct Part {
    int64_t prompt = 0, cached = 0, generated = 0;
    int64_t steps = 0;  // those of `generated` that were timed
    double prompt_seconds = 0, step_seconds = 0;
  };
  static std::string line(const std::string& name, const Part& part);

  Clock clock_;
  Part last_, all_;
  int64_t answers_ = 0;
  double since_ = 0;
};

}  // namespace dsmoe::apps
