#include "compare/build.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::compare {

namespace fs = base::fs;

namespace {

using base::Json;

constexpr const char* kFormat = "dsmoe-comparison-probe 1";
constexpr uint64_t kLongest = 1 << 16;

Json json_of(const Build& build) { return {{"program", build.program}, {"isa", build.isa}}; }

Build build_of(const Json& json, const std::string& where) {
  return {base::require_string(json, "program", where), base::require_string(json, "isa", where)};
}

Probe probe_of(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("format") || json["format"] != kFormat) {
    base::fail_invalid(where, std::string("not a probe of a comparison (format ") + kFormat + ")", {});
  }
  return {base::require_string(json, "run", where), build_of(base::require_member(json, "first", where), where),
          build_of(base::require_member(json, "second", where), where)};
}

}  // namespace

fs::path probes_folder(const fs::path& folder) { return folder / "probes"; }

std::vector<Probe> read_probes(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(probes_folder(folder), ignored)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Probe> probes;
  for (const fs::path& file : files) {
    probes.push_back(probe_of(base::parse_json(base::read_file(file, kLongest), file.string()), file.string()));
  }
  return probes;
}

bool builds_agree(const Build& one, const Build& other, const std::vector<Probe>& probes) {
  std::vector<Build> reached = {one};
  for (size_t i = 0; i < reached.size(); ++i) {
    if (reached[i] == other) return true;
    const auto reach = [&](const Build& build) {
      if (std::find(reached.begin(), reached.end(), build) == reached.end()) reached.push_back(build);
    };
    for (const Probe& probe : probes) {
      if (probe.first == reached[i]) reach(probe.second);
      if (probe.second == reached[i]) reach(probe.first);
    }
  }
  return false;
}

void write_probe(const fs::path& folder, const Probe& probe, double nats_per_token) {
  const Json json = {{"format", kFormat},
                     {"run", probe.run},
                     {"first", json_of(probe.first)},
                     {"second", json_of(probe.second)},
                     {"nats_per_token", nats_per_token}};
  fs::path file = probes_folder(folder) / (probe.run + ".json");
  for (int i = 2; fs::exists(file); ++i) file.replace_filename(probe.run + "-" + std::to_string(i) + ".json");
  base::write_file(file, base::dump_json(json, 1) + "\n");
}

}  // namespace dsmoe::compare
