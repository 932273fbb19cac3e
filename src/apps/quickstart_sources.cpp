#include "apps/quickstart_sources.h"

#include <algorithm>
#include <map>

#include "apps/progress.h"
#include "apps/quickstart_plan.h"
#include "base/error.h"
#include "corpus/source_files.h"

namespace dsmoe::apps {
namespace {

namespace fs = base::fs;

constexpr uint64_t kPackedHolds = 4;

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// NAME=PATH, unless there is a file that is called so.
bool is_named(const std::string& given) {
  std::error_code ignored;
  const size_t equals = given.find('=');
  return equals != std::string::npos && equals > 0 && equals + 1 < given.size() && !fs::exists(given, ignored);
}

// "books.jsonl.gz" and "books/" are "books"; what a domain's name cannot have becomes "-".
std::string domain_name(const fs::path& path) {
  const fs::path named = path.has_filename() ? path : path.parent_path();
  std::string name = is_folder(path.string()) ? named.filename().string() : named.filename().stem().stem().string();
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  };
  std::replace_if(
      name.begin(), name.end(), [&](char c) { return !allowed(c); }, '-');
  const bool says_nothing = name.find_first_not_of('-') == std::string::npos;
  return says_nothing ? "text" : name;
}

std::vector<std::string> named_domains(const std::vector<std::string>& paths) {
  std::map<std::string, int> used;
  std::vector<std::string> domains;
  for (const std::string& path : paths) {
    std::string name = domain_name(path);
    if (const int before = used[name]++; before > 0) name += "-" + std::to_string(before + 1);
    domains.push_back(name + "=" + path);
  }
  return domains;
}

// One pattern for all of them, whatever signs are in their names.
std::string pattern_of(const std::vector<std::string>& paths) {
  std::string pattern;
  for (const std::string& path : paths) {
    pattern += pattern.empty() ? "{" : ",";
    for (const char c : path) {
      if (std::string_view("*?[]{},\\").find(c) != std::string_view::npos) pattern += '\\';
      pattern += c;
    }
  }
  return pattern + "}";
}

// What lies directly in a folder and holds text.
std::vector<std::string> parts_of(const std::string& folder, const std::vector<fs::path>& files) {
  std::vector<std::string> parts;
  for (const fs::path& file : files) {
    const fs::path below = file.lexically_relative(folder);
    if (below.empty()) return {folder};
    const std::string part = (fs::path(folder) / *below.begin()).string();
    if (parts.empty() || parts.back() != part) parts.push_back(part);
  }
  return parts;
}

std::vector<std::string> domains_of(const std::vector<std::string>& paths, const std::vector<fs::path>& files) {
  if (paths.size() == 1 && is_folder(paths.front())) {
    const std::vector<std::string> parts = parts_of(paths.front(), files);
    const bool few = parts.size() > 1 && parts.size() <= kMostDomains;
    return named_domains(few ? parts : paths);
  }
  if (paths.size() <= kMostDomains) return named_domains(paths);
  return {"text=" + pattern_of(paths)};
}

bool lies_below(const fs::path& file, const fs::path& folder) {
  std::error_code ignored;
  const fs::path from = fs::weakly_canonical(file, ignored).lexically_relative(fs::weakly_canonical(folder, ignored));
  return !from.empty() && *from.begin() != "..";
}

uint64_t text_bytes(const std::vector<fs::path>& files) {
  uint64_t bytes = 0;
  for (const fs::path& file : files) {
    std::error_code fault;
    const uint64_t size = fs::file_size(file, fault);
    if (fault) base::fail_io("quickstart", "cannot be read", file.string(), fault.value());
    const bool packed = file.extension() == ".gz" || file.extension() == ".zst";
    bytes += packed ? kPackedHolds * size : size;
  }
  return bytes;
}

}  // namespace

QuickstartSources find_quickstart_sources(const std::vector<std::string>& given, const fs::path& output) {
  QuickstartSources sources;
  const bool named = std::all_of(given.begin(), given.end(), is_named);
  for (const std::string& each : given) sources.paths.push_back(named ? each.substr(each.find('=') + 1) : each);
  corpus::SourceFiles found = corpus::find_sources(sources.paths);
  sources.files = std::move(found.files);
  if (!output.empty()) std::erase_if(sources.files, [&](const fs::path& file) { return lies_below(file, output); });
  sources.notes = std::move(found.notes);
  sources.bytes = text_bytes(sources.files);
  if (sources.bytes < kLeastText) {
    base::fail_invalid("quickstart", "there must be text to learn from: at least " + bytes_text(double(kLeastText)),
                       bytes_text(static_cast<double>(sources.bytes)) + " in " + std::to_string(sources.files.size()) +
                           (sources.files.size() == 1 ? " file" : " files"),
                       "a megabyte is a good beginning");
  }
  sources.domains = named ? given : domains_of(sources.paths, sources.files);
  return sources;
}

}  // namespace dsmoe::apps
