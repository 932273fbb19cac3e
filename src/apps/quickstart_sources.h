// What dsmoe quickstart was given to learn from: text files, and the domains that the report tells apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"

namespace dsmoe::apps {

struct QuickstartSources {
  std::vector<std::string> paths;    ///< as dsmoe tokenizer train takes them
  std::vector<std::string> domains;  ///< NAME=PATH, as dsmoe data build takes them
  std::vector<base::fs::path> files;
  std::vector<std::string> notes;  ///< what was left out, for a person
  uint64_t bytes = 0;              ///< of text, as far as sizes of files tell: packed ones hold about four times theirs
};

/// `given`: files, folders, patterns, or NAME=PATH. A folder whose text lies in a few subfolders or files gives a
/// domain for each of them; several paths are a domain each; more than kMostDomains are one. Throws Error: kIo where
/// there is no text, kInvalid where there is too little to learn from.
/// Files below `output`, which an earlier try may have made there, do not count.
QuickstartSources find_quickstart_sources(const std::vector<std::string>& given, const base::fs::path& output = {});

inline constexpr size_t kMostDomains = 24;

}  // namespace dsmoe::apps
