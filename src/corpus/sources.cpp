#include "corpus/sources.h"

#include <glob.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

namespace dsmoe::corpus {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }
bool is_separator(std::string_view line) { return line == "\f\n" || line == "\f\r\n" || line == "\f"; }

[[noreturn]] void refuse_utf8(const Record& record, const base::fs::path& path, size_t at) {
  const auto breaks = std::count(record.bytes.begin(), record.bytes.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  base::fail_invalid("data", "text is not valid UTF-8",
                     path.string() + " line " + std::to_string(record.line + breaks) + ", byte " +
                         std::to_string(record.offset + static_cast<int64_t>(at)) + " holds " +
                         base::in_quotes(std::string_view(record.bytes).substr(at, 1)),
                     "convert the file to UTF-8, or replace such bytes with --invalid-utf8 replace");
}

// Each byte that is not part of a valid character becomes U+FFFD.
std::string replace_invalid(std::string_view text, int64_t& replaced) {
  std::string out;
  out.reserve(text.size() + 16);
  for (;;) {
    const size_t bad = base::first_invalid_utf8(text);
    out.append(text.substr(0, bad));
    if (bad == std::string_view::npos) return out;
    out.append(kReplacement);
    ++replaced;
    text.remove_prefix(bad + 1);
  }
}

std::vector<base::fs::path> plain_matches(const std::string& pattern) {
  glob_t found{};
  const int result = ::glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE | GLOB_NOSORT, nullptr, &found);
  std::vector<base::fs::path> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (result != 0 && result != GLOB_NOMATCH) base::fail(base::ErrorKind::kIo, "data", "cannot expand", pattern);
  return paths;
}

// A path as a pattern that matches only it.
std::string literally(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (std::string_view("*?[]{},~\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// The C library knows no **: here it is every folder below what stands before it, and that folder too.
std::vector<base::fs::path> paths_matching(const std::string& pattern) {
  const size_t stars = pattern.find("**/");
  if (stars == std::string::npos || (stars > 0 && pattern[stars - 1] != '/')) return plain_matches(pattern);
  const std::string rest = pattern.substr(stars + 3);
  std::vector<base::fs::path> paths;
  const auto add = [&](const base::fs::path& folder) {
    for (base::fs::path& path : paths_matching(literally(folder.string()) + "/" + rest))
      paths.push_back(std::move(path));
  };
  for (const base::fs::path& top :
       stars == 0 ? std::vector<base::fs::path>{"."} : plain_matches(pattern.substr(0, stars))) {
    std::error_code ignored;
    if (!base::fs::is_directory(top, ignored)) continue;
    add(top);
    const auto options = base::fs::directory_options::skip_permission_denied;
    for (base::fs::recursive_directory_iterator at(top, options, ignored), end; !ignored && at != end;
         at.increment(ignored)) {
      if (at->is_directory(ignored) && !at->is_symlink(ignored)) add(at->path());
    }
  }
  return paths;
}

}  // namespace

SourceFormat source_format(const base::fs::path& path) {
  const base::fs::path ending = without_compression_ending(path).extension();
  if (ending == ".jsonl" || ending == ".ndjson") return SourceFormat::kJsonLines;
  return ending == ".txt" ? SourceFormat::kFormFeeds : SourceFormat::kWholeFile;
}

RecordReader::RecordReader(const base::fs::path& path, ReadLimits limits)
    : path_(path), format_(source_format(path)), limits_(limits), stream_(path) {
  while (buffer_.size() < kByteOrderMark.size() && refill()) {
  }
  if (std::string_view(buffer_).substr(0, kByteOrderMark.size()) == kByteOrderMark) {
    at_ = scanned_ = kByteOrderMark.size();
    offset_ = static_cast<int64_t>(at_);
  }
}

void RecordReader::too_long(int64_t line) const {
  base::fail_invalid("data", "a document is longer than " + std::to_string(limits_.longest_document) + " bytes",
                     path_.string() + " line " + std::to_string(line),
                     "split it: a .txt file separates documents by a line holding only a form feed");
}

bool RecordReader::refill() {
  if (ended_) return false;
  buffer_.erase(0, at_);
  scanned_ -= at_;
  at_ = 0;
  const size_t filled = buffer_.size();
  // the allowance is for JSON, whose escapes can be six times as long as what they stand for
  if (filled > 6 * limits_.longest_document + 4096) too_long(line_);
  buffer_.resize(filled + limits_.chunk);
  const size_t got = stream_.read(std::span(buffer_).subspan(filled));
  buffer_.resize(filled + got);
  ended_ = got == 0;
  return !ended_;
}

// A line with its line break (the last one may have none); valid until the next call.
bool RecordReader::next_line(std::string_view& line) {
  for (;;) {
    const void* found = std::memchr(buffer_.data() + scanned_, '\n', buffer_.size() - scanned_);
    if (found != nullptr) {
      const auto length = static_cast<size_t>(static_cast<const char*>(found) - buffer_.data()) + 1 - at_;
      line = std::string_view(buffer_).substr(at_, length);
      break;
    }
    scanned_ = buffer_.size();
    if (refill()) continue;
    if (at_ == buffer_.size()) return false;
    line = std::string_view(buffer_).substr(at_);
    break;
  }
  at_ += line.size();
  scanned_ = at_;
  return true;
}

bool RecordReader::next(Record& record) {
  record.bytes.clear();
  record.line = line_;
  record.offset = offset_;
  std::string_view line;
  while (next_line(line)) {
    ++line_;
    offset_ += static_cast<int64_t>(line.size());
    if (format_ == SourceFormat::kJsonLines) {
      if (!is_blank(line)) {
        record.bytes.assign(line);
        return true;
      }
    } else if (format_ == SourceFormat::kFormFeeds && is_separator(line)) {
      if (!record.bytes.empty()) return true;
    } else {
      record.bytes.append(line);
      if (record.bytes.size() > limits_.longest_document) too_long(record.line);
      continue;
    }
    record.line = line_;  // nothing of a record yet
    record.offset = offset_;
  }
  return !record.bytes.empty();
}

std::string document_text(Record record, SourceFormat format, const base::fs::path& path, InvalidUtf8 policy,
                          TextRepairs& repairs) {
  const size_t bad = base::first_invalid_utf8(record.bytes);
  if (bad != std::string::npos) {
    if (policy == InvalidUtf8::kRefuse) refuse_utf8(record, path, bad);
    record.bytes = replace_invalid(record.bytes, repairs.replaced_bytes);
  }
  if (format != SourceFormat::kJsonLines) return std::move(record.bytes);
  const std::string where = path.string() + " line " + std::to_string(record.line);
  return base::require_string(base::parse_json(record.bytes, where), "text", where);
}

void for_each_document(const base::fs::path& path, InvalidUtf8 policy,
                       const std::function<void(std::string&& text)>& action, ReadLimits limits) {
  RecordReader reader(path, limits);
  TextRepairs repairs;
  for (Record record; reader.next(record);) {
    action(document_text(std::move(record), reader.format(), path, policy, repairs));
  }
}

std::vector<base::fs::path> match_files(const std::string& pattern) {
  std::vector<base::fs::path> files;
  size_t folders = 0;
  for (const base::fs::path& path : paths_matching(pattern)) {
    std::error_code ignored;
    if (base::fs::is_directory(path, ignored)) {
      ++folders;
    } else {
      files.push_back(path);
    }
  }
  if (files.empty()) {
    base::fail(base::ErrorKind::kIo, "data", "no file matches", base::in_quotes(pattern),
               folders > 0 ? "it names a folder; add /* for the files in it" : "check the path, and quote the pattern");
  }
  // the C library sorts by the language settings of whoever runs it; bytes are the same everywhere
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.native() < b.native(); });
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

}  // namespace dsmoe::corpus
