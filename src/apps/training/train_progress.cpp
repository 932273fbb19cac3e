#include "apps/training/train_progress.h"

#include <cstdio>
#include <iostream>

#include "apps/progress.h"

namespace dsmoe::apps {
namespace {

constexpr double kRenewSeconds = 0.2, kPlainSeconds = 5;

template <class... Values>
std::string format(const char* form, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, form, values...);
  return text;
}

double seconds_between(std::chrono::steady_clock::time_point a, std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

void TrainProgress::line(const std::string& text) {
  if (line_open_) std::cerr << "\r\x1b[K";
  line_open_ = false;
  std::cerr << text << "\n";
}

void TrainProgress::on_notice(const std::string& text) { line("train: " + text); }

void TrainProgress::on_start(const train::RunStart& start) {
  start_ = start;
  begun_ = printed_ = Clock::now();
  last_step_ = start.step;
  last_checkpoint_ = start.resumed_from;
  if (quiet_) return;
  const std::string where = start.step > 0 ? ", going on after step " + std::to_string(start.step) : "";
  line(format("train: %s parameters, %lld steps of %s tokens, into %s", count_text(double(start.parameters)).c_str(),
              static_cast<long long>(start.steps), count_text(double(start.tokens_per_step)).c_str(),
              start.output.c_str()) +
       where);
}

std::string TrainProgress::progress_text(const train::StepRecord& record) {
  // The rate over the whole run, so that validations and saving count in the time left.
  const double spent = seconds_between(begun_, Clock::now());
  const auto done = static_cast<double>(record.step - start_.step);
  const double left = done > 0 ? spent / done * static_cast<double>(start_.steps - record.step) : 0;
  std::string text = format("step %lld/%lld  mean loss %.4f  lr %.2e  %s tokens/s  ETA %s",
                            static_cast<long long>(record.step), static_cast<long long>(start_.steps), mean_loss_,
                            record.lr, count_text(record.tokens_per_s).c_str(), duration_text(left).c_str());
  if (!record.layers.empty()) text += format("  MaxVio %.2f", record.max_vio());
  if (dropped_ > 0) text += format("  dropped %s", count_text(static_cast<double>(dropped_)).c_str());
  return text;
}

void TrainProgress::on_step(const train::StepRecord& record) {
  last_step_ = record.step;
  const double keep = shown_steps_ == 0 ? 0 : 0.9;
  mean_loss_ = keep * mean_loss_ + (1 - keep) * record.loss;
  ++shown_steps_;
  dropped_ += record.dropped();
  const auto now = Clock::now();
  const bool ends = record.step == start_.steps;
  if (quiet_ || (!ends && seconds_between(printed_, now) < (live_ ? kRenewSeconds : kPlainSeconds))) return;
  printed_ = now;
  if (!live_ || ends) return line(progress_text(record));
  std::cerr << "\r" << one_row(progress_text(record)) << "\x1b[K" << std::flush;
  line_open_ = true;
}

void TrainProgress::on_validation(const train::ValidationRecord& record) {
  if (quiet_) return;
  line(format("step %lld  validation: %.4f nats/token, %.4f bits/byte", static_cast<long long>(record.step),
              record.all.nats_per_token, record.all.bits_per_byte));
  if (record.domains.size() < 2) return;
  std::string domains = "  bits/byte:";
  for (const train::DomainScore& score : record.domains) {
    domains += " " + score.domain + format(" %.3f", score.bits_per_byte);
  }
  line(domains);
}

void TrainProgress::on_checkpoint(const train::CheckpointRecord& record) {
  last_checkpoint_ = record.path;
  if (quiet_) return;
  line(format("step %lld  saved ", static_cast<long long>(record.step)) + record.path +
       format(" (%s, %.1f s)", bytes_text(static_cast<double>(record.bytes)).c_str(), record.seconds));
}

void TrainProgress::on_alarm(const train::AlarmRecord& record) {
  line(format("step %lld  ALARM: ", static_cast<long long>(record.step)) + record.text);
}

void TrainProgress::on_sample(const train::SampleRecord& record) {
  if (!quiet_) line(format("step %lld  sample: ", static_cast<long long>(record.step)) + record.text);
}

}  // namespace dsmoe::apps
