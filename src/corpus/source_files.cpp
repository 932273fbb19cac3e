#include "corpus/source_files.h"

#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "corpus/byte_stream.h"

namespace dsmoe::corpus {
namespace {

using base::fs::path;

// What a file or folder is, whatever names lead to it.
using FileId = std::pair<dev_t, ino_t>;

std::optional<FileId> id_of(const path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

bool is_folder(const path& file) {
  std::error_code ignored;
  return base::fs::is_directory(file, ignored);
}

// A link to nothing is there too: opening it will say what is wrong.
bool is_there(const path& file) {
  std::error_code ignored;
  return base::fs::symlink_status(file, ignored).type() > base::fs::file_type::not_found;
}

// A name below a folder; the folder "" is the current one.
path below(const path& folder, const std::string& name) { return folder.empty() ? path(name) : folder / name; }

bool has_signs(std::string_view part) { return part.find_first_of("*?[\\") != std::string_view::npos; }

bool is_text_name(const path& file) {
  static const std::set<std::string> endings = {".txt", ".text", ".md", ".markdown", ".rst", ".jsonl", ".ndjson"};
  return endings.count(ending_of(without_compression_ending(file))) > 0;
}

class Finder {
 public:
  void add(const std::string& source) {
    std::vector<path> found;
    bool folders = false;
    for (const std::string& choice :
         is_there(source) ? std::vector<std::string>{source} : brace_alternatives(with_home(source))) {
      for (path& match : is_folder(choice) ? text_files_of(choice) : matches(choice)) {
        if (is_folder(match)) {
          folders = true;
        } else {
          found.push_back(std::move(match));
        }
      }
    }
    if (found.empty()) fail_empty(source, folders);
    // the C library sorts by the language settings of whoever runs it; bytes are the same everywhere
    std::sort(found.begin(), found.end(), [](const path& a, const path& b) { return a.native() < b.native(); });
    for (path& file : found) {
      const auto id = id_of(file);
      const bool first = id ? files_.insert(*id).second : true;
      if (first) result_.files.push_back(std::move(file));
    }
  }

  SourceFiles take() { return std::move(result_); }

 private:
  [[noreturn]] static void fail_empty(const std::string& source, bool folders) {
    if (is_folder(source)) {
      base::fail(base::ErrorKind::kIo, "data", "a folder has no text file", source,
                 "text is .txt, .md, .rst or .jsonl; a pattern names others: '" + source + "/**/*.py'");
    }
    base::fail(base::ErrorKind::kIo, "data", "no file matches", base::in_quotes(source),
               folders ? "it names folders; add /** for what is in them" : "check the path, and quote a pattern");
  }

  // ~ and ~name in front.
  static std::string with_home(const std::string& source) {
    if (source.empty() || source[0] != '~') return source;
    const size_t end = std::min(source.find('/'), source.size());
    const std::string user = source.substr(1, end - 1);
    const char* home = user.empty() ? std::getenv("HOME") : nullptr;
    if (const passwd* entry = user.empty() ? nullptr : ::getpwnam(user.c_str())) home = entry->pw_dir;
    return home == nullptr ? source : home + source.substr(end);
  }

  std::vector<path> text_files_of(const path& folder) {
    std::vector<path> files;
    std::map<std::string, int> others;  // by ending
    for (const path& each : folders_below({folder})) {
      for (const std::string& name : names_in(each)) {
        const path file = each / name;
        if (is_folder(file)) continue;
        if (is_text_name(file)) {
          files.push_back(file);
        } else {
          ++others[ending_of(file)];
        }
      }
    }
    if (!others.empty()) note_others(folder, others);
    return files;
  }

  void note_others(const path& folder, const std::map<std::string, int>& others) {
    int count = 0;
    std::string endings;
    for (const auto& [ending, number] : others) {
      count += number;
      if (endings.size() < 60) endings += (endings.empty() ? "" : " ") + (ending.empty() ? "none" : ending);
    }
    result_.notes.push_back(folder.string() + ": " + std::to_string(count) + (count == 1 ? " file" : " files") +
                            " left out, not text by name (" + endings + "); a pattern takes them");
  }

  // What a pattern without braces names, files and folders. The front that exists is taken as it is.
  std::vector<path> matches(const std::string& pattern) {
    path front = pattern[0] == '/' ? "/" : "";
    std::deque<std::string> parts;
    for (size_t at = 0; at < pattern.size();) {
      const size_t end = std::min(pattern.find('/', at), pattern.size());
      if (end > at) parts.push_back(pattern.substr(at, end - at));
      at = end + 1;
    }
    while (!parts.empty() && is_there(below(front, parts.front()))) {
      front = below(front, parts.front());
      parts.pop_front();
    }
    if (!parts.empty() && parts.back() == "**") parts.push_back("*");
    std::vector<path> found = {front};
    for (const std::string& part : parts) {
      std::erase_if(found, [](const path& each) { return !each.empty() && !is_folder(each); });
      found = part == "**" ? folders_below(found) : children(found, part);
    }
    return found;
  }

  std::vector<path> children(const std::vector<path>& folders, const std::string& part) {
    std::vector<path> out;
    for (const path& folder : folders) {
      if (!has_signs(part)) {
        const path child = below(folder, part);
        if (is_there(child)) out.push_back(child);
        continue;
      }
      for (const std::string& name : names_in(folder, part[0] == '.')) {
        if (name_matches(part, name)) out.push_back(below(folder, name));
      }
    }
    return out;
  }

  // These folders and all below them, each once: real ones first, then what links lead to.
  std::vector<path> folders_below(const std::vector<path>& tops) {
    std::vector<path> out;
    std::set<FileId> entered;
    std::vector<path> stack(tops.rbegin(), tops.rend());
    std::deque<path> links;
    while (!stack.empty() || !links.empty()) {
      if (stack.empty()) {
        stack.push_back(std::move(links.front()));
        links.pop_front();
      }
      const path folder = std::move(stack.back());
      stack.pop_back();
      const auto id = id_of(folder.empty() ? path(".") : folder);
      if (!id || !entered.insert(*id).second) continue;
      for (const std::string& name : names_in(folder)) {
        path child = below(folder, name);
        if (!is_folder(child)) continue;
        if (base::fs::is_symlink(child)) {
          links.push_back(std::move(child));
        } else {
          stack.push_back(std::move(child));
        }
      }
      out.push_back(folder);
    }
    return out;
  }

  // The names in a folder in order of their bytes, hidden ones left out or alone. One that cannot be read is noted.
  std::vector<std::string> names_in(const path& folder, bool hidden = false) {
    std::vector<std::string> names;
    std::error_code fault;
    const path opened = folder.empty() ? path(".") : folder;
    for (base::fs::directory_iterator at(opened, fault), end; !fault && at != end; at.increment(fault)) {
      std::string name = at->path().filename().string();
      if ((name[0] == '.') == hidden) names.push_back(std::move(name));
    }
    if (fault && unreadable_.insert(opened).second) {
      result_.notes.push_back(opened.string() + ": left out, it cannot be read (" + fault.message() + ")");
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  SourceFiles result_;
  std::set<FileId> files_;
  std::set<path> unreadable_;
};

}  // namespace

SourceFiles find_sources(const std::vector<std::string>& sources) {
  Finder finder;
  for (const std::string& source : sources) finder.add(source);
  return finder.take();
}

}  // namespace dsmoe::corpus
