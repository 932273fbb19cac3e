#include "train/records.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "train/tensorboard.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;
using base::Json;

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// The lines up to a step, and the types of that step's own.
struct Kept {
  std::string lines;
  std::set<std::string> of_last_step;
};

// A line that is no record can only be one that a power loss tore; it ends what is kept.
Kept kept_lines(const std::string& text, int64_t last_step) {
  Kept kept;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    const std::string_view line = std::string_view(text).substr(at, end + 1 - at);
    try {
      const Json record = base::parse_json(line, "metrics.jsonl");
      const int64_t step = base::require_int(record, "step", 0, INT64_MAX, "metrics.jsonl");
      const std::string type = base::require_string(record, "type", "metrics.jsonl");
      if (step == last_step) kept.of_last_step.insert(type);
      if (step <= last_step) kept.lines += line;
    } catch (const base::Error&) {
      break;
    }
    at = end + 1;
  }
  return kept;
}

std::string layer_tag(const char* what, int64_t layer) {
  char tag[64];
  std::snprintf(tag, sizeof tag, "moe/%s/layer_%02lld", what, static_cast<long long>(layer));
  return tag;
}

}  // namespace

RunRecords::RunRecords(const fs::path& folder, int64_t step, int64_t tensorboard_every, base::FileSystem& files)
    : tensorboard_every_(tensorboard_every), step_(step) {
  const fs::path metrics = folder / "metrics.jsonl";
  if (fs::exists(metrics)) {
    const std::string text = base::read_file(metrics);
    Kept kept = step > 0 ? kept_lines(text, step) : Kept{};
    if (kept.lines != text) base::write_file(metrics, kept.lines, files);
    held_ = std::move(kept.of_last_step);
  }
  metrics_.emplace(metrics, files);
  if (tensorboard_every_ > 0) {
    files.create_directory(folder / "tensorboard");
    events_.emplace(folder / "tensorboard" / event_file_name(now()), files);
    add_event(version_event(now()));
    if (step_ > 0) add_event(session_start_event(now(), step_ + 1));
  }
}

void RunRecords::add(const StepRecord& record) {
  add_line(record.to_json());
  if (tensorboard_every_ == 0 || record.step % tensorboard_every_ != 0) return;
  Scalars scalars = {{"train/loss", record.loss},
                     {"train/balance_loss", record.balance_loss},
                     {"train/lr", record.lr},
                     {"train/grad_norm", record.grad_norm},
                     {"perf/tokens_per_s", record.tokens_per_s}};
  if (!record.layers.empty()) {
    scalars.emplace_back("moe/max_vio", record.max_vio());
    scalars.emplace_back("moe/dropped", static_cast<double>(record.dropped()));
  }
  for (const LayerLoad& layer : record.layers) {
    scalars.emplace_back(layer_tag("max_vio", layer.layer), layer.max_vio());
    scalars.emplace_back(layer_tag("least_load", layer.layer), layer.least_load());
  }
  add_event(scalar_event(now(), record.step, scalars));
}

void RunRecords::add(const ValidationRecord& record) {
  add_line(record.to_json());
  if (tensorboard_every_ == 0) return;
  Scalars scalars = {{"valid/nats_per_token", record.all.nats_per_token},
                     {"valid/bits_per_byte", record.all.bits_per_byte},
                     {"valid/max_vio", record.max_vio}};
  for (const DomainScore& score : record.domains) {
    scalars.emplace_back("valid/bits_per_byte/" + score.domain, score.bits_per_byte);
  }
  add_event(scalar_event(now(), record.step, scalars));
}

void RunRecords::add_line(const Json& record) {
  step_ = std::max(step_, record.value("step", int64_t{0}));
  waiting_ = !metrics_->append(base::dump_json(record) + "\n");
  if (!waiting_) told_ = false;
}

void RunRecords::add_event(const std::string& event) {
  // Events are a view of metrics.jsonl: losing some to a full disk costs nothing that cannot be drawn again.
  events_->append(tf_record(event));
}

void RunRecords::sync() { metrics_->sync(); }

std::optional<AlarmRecord> RunRecords::take_alarm() {
  if (!waiting_ || told_) return std::nullopt;
  told_ = true;
  return AlarmRecord{step_, "records_waiting", "records wait in memory: " + metrics_->error()};
}

}  // namespace dsmoe::train
