// From what a person names to files: paths, folders and patterns.
//
//   a path      what exists under the very name is meant, whatever signs are in it: a[1].txt, {x}.txt
//   a folder    its text files at any depth: those named .txt, .text, .md, .markdown, .rst, .jsonl or .ndjson, with
//               .gz or .zst after it or not, upper or lower case; what else lies there is left out, with a note
//   a pattern   * (any characters but /), ? (one), [a-z], [!a-z] within a name; {a,b} anywhere; ** as a name of its own
//               for folders of any depth, none too; ~ in front for a home folder; a backslash takes the next sign as it
//               is. Each choice of its braces may be a path or a folder, and of each the longest front that exists is
//               a path: data[1]/*.txt looks into data[1].
//
// Hidden files and folders (a name that begins with a dot) are left out of folders, **, * and ?; a pattern that spells
// the dot names them. Linked files are files. Linked folders are entered, in ** and in folders too, but no folder twice
// and real ones first, so that loops end; and no file is named twice, by whatever links or patterns it is reached.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace dsmoe::corpus {

struct SourceFiles {
  std::vector<base::fs::path> files;
  std::vector<std::string> notes;  ///< what was left out, for a person
};

/// The files of each source in turn, of each in order of their bytes. Throws base::Error: kIo where one gives no file,
/// kUsage for a pattern whose braces stand for more than kMostAlternatives.
SourceFiles find_sources(const std::vector<std::string>& sources);

inline constexpr size_t kMostAlternatives = 1000;

/// Whether a name (without /) is what a pattern without braces means: * ? [..] and backslashes. `?` and `[..]` stand
/// for a character, of however many bytes.
bool name_matches(std::string_view pattern, std::string_view name);

/// `pattern` for each choice of its braces, in order: a{b,c}d is abd and acd. {} and a brace without its partner are
/// themselves. Throws as find_sources; the number is counted before anything is made.
std::vector<std::string> brace_alternatives(std::string_view pattern);

}  // namespace dsmoe::corpus
