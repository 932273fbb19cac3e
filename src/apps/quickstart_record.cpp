#include "apps/quickstart_record.h"

#include <cstdio>

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::apps {
namespace {

namespace fs = base::fs;
using base::Json;

constexpr const char* kFormat = "dsmoe quickstart 1";

bool holds_something(const fs::path& folder) {
  std::error_code fault;
  const fs::directory_iterator entries(folder, fault);
  return !fault && entries != fs::directory_iterator();
}

std::vector<std::string> texts(const Json& object, const char* key, const std::string& where) {
  std::vector<std::string> all;
  for (const Json& each : base::require_member(object, key, where)) all.push_back(each.get<std::string>());
  return all;
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

[[noreturn]] void refuse(const fs::path& file, const std::string& what, const std::string& then,
                         const std::string& now) {
  base::fail(base::ErrorKind::kUsage, "quickstart", file.parent_path().string() + " was begun with " + what,
             then + ", and now " + now, "the same command as then goes on with it; another -o begins anew");
}

}  // namespace

QuickstartRecord::QuickstartRecord(const fs::path& folder, const QuickstartRequest& request)
    : file_(folder / "quickstart.json"), request_(request) {
  std::error_code ignored;
  if (fs::exists(file_, ignored)) {
    read(request);
    return;
  }
  if (fs::exists(folder, ignored) && !fs::is_directory(folder, ignored)) {
    base::fail(base::ErrorKind::kIo, "quickstart", "the output must be a folder", folder.string(), "name another -o");
  }
  if (holds_something(folder)) {
    base::fail(base::ErrorKind::kIo, "quickstart", "the output folder holds something else", folder.string(),
               "name another with -o");
  }
  std::error_code fault;
  fs::create_directories(folder, fault);
  if (fault) base::fail_io("quickstart", "cannot make the folder", folder.string(), fault.value());
  write();
}

void QuickstartRecord::choose(const TrainingChoice& choice) {
  training_ = choice;
  write();
}

void QuickstartRecord::read(const QuickstartRequest& request) {
  const std::string where = file_.string();
  const Json json = base::parse_json(base::read_file(file_, 1 << 20), where);
  if (base::require_string(json, "format", where) != kFormat) {
    base::fail_invalid("quickstart", "not a record of this version", where, "name another with -o");
  }
  const auto list = [](const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
  };
  const std::vector<std::string> sources = texts(json, "sources", where);
  if (sources != request.sources) refuse(file_, "other text", list(sources), list(request.sources));
  const auto bytes = static_cast<uint64_t>(base::require_int(json, "bytes", 0, INT64_MAX, where));
  if (bytes != request.bytes) {
    refuse(file_, "text that has changed", std::to_string(bytes) + " bytes", std::to_string(request.bytes));
  }
  const double minutes = base::require_number(json, "minutes", where);
  if (minutes != request.minutes) {
    refuse(file_, "--minutes", number_text(minutes), number_text(request.minutes));
  }
  const std::string preset = base::require_string(json, "preset", where);
  if (preset != request.preset) refuse(file_, "--preset", base::in_quotes(preset), base::in_quotes(request.preset));
  if (!json.contains("training")) return;
  const Json& training = json["training"];
  training_ = {base::require_string(training, "preset", where), texts(training, "settings", where),
               texts(training, "reasons", where)};
}

void QuickstartRecord::write() const {
  Json json = {{"format", kFormat},
               {"sources", request_.sources},
               {"bytes", request_.bytes},
               {"minutes", request_.minutes},
               {"preset", request_.preset}};
  if (training_) {
    json["training"] = {
        {"preset", training_->preset}, {"settings", training_->settings}, {"reasons", training_->reasons}};
  }
  base::write_file(file_, base::dump_json(json, 2) + "\n");
}

}  // namespace dsmoe::apps
