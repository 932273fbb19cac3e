// A run as a person sees it, on standard error: one line that renews itself on a terminal, a plain line every few
// seconds elsewhere; events on lines of their own.
#pragma once

#include <chrono>
#include <string>

#include "train/loop.h"

namespace dsmoe::apps {

class TrainProgress : public train::RunListener {
 public:
  /// `quiet`: alarms and notices only. `live`: standard error is a terminal that takes a renewing line.
  TrainProgress(bool quiet, bool live) : quiet_(quiet), live_(live) {}

  void on_notice(const std::string& text) override;
  void on_start(const train::RunStart& start) override;
  void on_step(const train::StepRecord& record) override;
  void on_validation(const train::ValidationRecord& record) override;
  void on_checkpoint(const train::CheckpointRecord& record) override;
  void on_alarm(const train::AlarmRecord& record) override;
  void on_sample(const train::SampleRecord& record) override;

  int64_t last_step() const { return last_step_; }
  const std::string& last_checkpoint() const { return last_checkpoint_; }

 private:
  using Clock = std::chrono::steady_clock;
  /// Prints a line, clearing a live one first.
  void line(const std::string& text);
  std::string progress_text(const train::StepRecord& record);

  bool quiet_, live_, line_open_ = false;
  train::RunStart start_;
  Clock::time_point begun_, printed_;
  double mean_loss_ = 0;  // a running mean: each step counts a tenth, what was before nine tenths
  int64_t dropped_ = 0, last_step_ = 0, shown_steps_ = 0;
  std::string last_checkpoint_;
};

}  // namespace dsmoe::apps
