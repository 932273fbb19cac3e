#include "base/limits.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace dsmoe::base {
namespace {

namespace fs = std::filesystem;

// A mounted hierarchy of groups. Version 2 has one for all controllers; of version 1 each mount names its own.
struct Hierarchy {
  bool unified = false;
  std::string controllers;  // "cpu,cpuacct"
  std::string top;          // the group that is mounted
  fs::path mount;
};

bool lists(const std::string& controllers, std::string_view wanted) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == wanted) return true;
  }
  return false;
}

// A line is: id, parent, device, top, mount point, options, tags ..., "-", type, source, options of the file system.
std::vector<Hierarchy> hierarchies(const fs::path& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string skipped, type;
    Hierarchy mounted;
    std::string mount;
    words >> skipped >> skipped >> skipped >> mounted.top >> mount;
    while (words >> skipped && skipped != "-") {
    }
    words >> type >> skipped >> mounted.controllers;
    mounted.unified = type == "cgroup2";
    mounted.mount = root / fs::path(mount).relative_path();
    if (mounted.unified || type == "cgroup") found.push_back(std::move(mounted));
  }
  return found;
}

// The process's group in a hierarchy, as proc/self/cgroup has it: "id:controllers:/path", without controllers in
// version 2.
std::string group_in(const Hierarchy& hierarchy, const fs::path& root) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool same = hierarchy.unified ? controllers.empty()
                                        : !controllers.empty() && lists(hierarchy.controllers,
                                                                        controllers.substr(0, controllers.find(',')));
    if (same) return line.substr(second + 1);
  }
  return "/";
}

// The folders of the group and of those around it, the process's own first. A group outside what is mounted is not in
// sight: then the mount itself stands for it.
std::vector<fs::path> folders_of(const Hierarchy& hierarchy, const fs::path& root) {
  std::string group = group_in(hierarchy, root);
  if (hierarchy.top != "/") {
    const bool inside = group.rfind(hierarchy.top, 0) == 0;
    group = inside ? group.substr(hierarchy.top.size()) : "/";
  }
  fs::path below = fs::path(group).relative_path().lexically_normal();
  if (group.find("..") != group.npos || below == ".") below.clear();
  std::vector<fs::path> folders;
  for (; !below.empty(); below = below.parent_path()) folders.push_back(hierarchy.mount / below);
  folders.push_back(hierarchy.mount);
  return folders;
}

// Its first number, or nothing where there is none ("max").
std::optional<double> number_in(const fs::path& path) {
  std::ifstream file(path);
  double number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

template <class Number>
void lower(std::optional<Number>& limit, Number other) {
  limit = limit ? std::min(*limit, other) : other;
}

void read_processors(const fs::path& folder, bool unified, GroupLimits& limits) {
  double quota = -1, period = 0;
  if (unified) {
    std::ifstream file(folder / "cpu.max");
    if (!(file >> quota >> period)) return;
  } else {
    quota = number_in(folder / "cpu.cfs_quota_us").value_or(-1);
    period = number_in(folder / "cpu.cfs_period_us").value_or(0);
  }
  if (quota > 0 && period > 0) lower(limits.processors, quota / period);
}

// Bytes of file pages that the group's memory.stat counts.
double file_pages(const fs::path& folder, bool unified) {
  std::ifstream file(folder / "memory.stat");
  const std::string prefix = unified ? "" : "total_";
  double pages = 0, value = 0;
  for (std::string key; file >> key >> value;) {
    if (key == prefix + "inactive_file" || key == prefix + "active_file") pages += value;
  }
  return pages;
}

void read_memory(const fs::path& folder, bool unified, GroupLimits& limits) {
  constexpr double kNoLimit = 0x1p62;  // version 1 writes the largest page-aligned number
  double most = kNoLimit;
  for (const char* name : {"memory.max", "memory.high", "memory.limit_in_bytes"}) {
    most = std::min(most, number_in(folder / name).value_or(kNoLimit));
  }
  if (most >= kNoLimit || most < 0) return;
  const double used = number_in(folder / (unified ? "memory.current" : "memory.usage_in_bytes")).value_or(0);
  const double held = std::max(0.0, used - file_pages(folder, unified));
  lower(limits.memory, static_cast<uint64_t>(most));
  lower(limits.memory_left, static_cast<uint64_t>(std::max(0.0, most - held)));
}

int affinity() {
  constexpr int kMostProcessors = 1 << 16;
  for (int count = 1024; count <= kMostProcessors; count *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(count));
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(count));
    const int number = ::sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (number > 0) return number;
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

GroupLimits group_limits(const fs::path& root) {
  GroupLimits limits;
  for (const Hierarchy& hierarchy : hierarchies(root)) {
    const bool processors = hierarchy.unified || lists(hierarchy.controllers, "cpu");
    const bool memory = hierarchy.unified || lists(hierarchy.controllers, "memory");
    if (!processors && !memory) continue;
    for (const fs::path& folder : folders_of(hierarchy, root)) {
      if (processors) read_processors(folder, hierarchy.unified, limits);
      if (memory) read_memory(folder, hierarchy.unified, limits);
    }
  }
  return limits;
}

int usable_processors(const fs::path& root) {
  const double quota = group_limits(root).processors.value_or(1 << 20);
  return std::max(1, std::min(affinity(), static_cast<int>(std::ceil(std::min(quota, 0x1p20)))));
}

}  // namespace dsmoe::base
