#include "terminal/history.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "terminal/characters.h"

namespace dsmoe::terminal {
namespace {

/// Files that are nobody else's to read.
class PrivateFiles : public base::FileSystem {
 public:
  int create(const base::fs::path& path) override { return made_private(FileSystem::create(path), path); }
  int append(const base::fs::path& path) override { return made_private(FileSystem::append(path), path); }

 private:
  int made_private(int fd, const base::fs::path& path) {
    if (::fchmod(fd, S_IRUSR | S_IWUSR) == 0) return fd;
    const int number = errno;
    FileSystem::close(fd, path);
    base::fail_io("history", "cannot be made private", path.string(), number);
  }
};

PrivateFiles& private_files() {
  static PrivateFiles files;
  return files;
}

std::string as_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c == '\\' || c == '\n') line += '\\';
    line += c == '\n' ? 'n' : c;
  }
  return line + "\n";
}

std::string from_line(std::string_view line) {
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool escaped = line[i] == '\\' && i + 1 < line.size();
    if (escaped) ++i;
    text += escaped && line[i] == 'n' ? '\n' : line[i];
  }
  return cleaned(text);
}

std::vector<std::string> texts_of(std::string_view file) {
  std::vector<std::string> texts;
  while (!file.empty()) {
    const size_t end = std::min(file.find('\n'), file.size());
    if (end > 0) texts.push_back(from_line(file.substr(0, end)));
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  return texts;
}

void forget_oldest(std::vector<std::string>& texts) {
  if (texts.size() > History::kMost) texts.erase(texts.begin(), texts.end() - History::kMost);
}

}  // namespace

std::optional<std::filesystem::path> state_file(std::string_view name) {
  const auto absolute = [](const char* variable) {
    const char* value = std::getenv(variable);
    const std::filesystem::path path = value == nullptr ? "" : value;
    return path.is_absolute() ? path : std::filesystem::path();
  };
  if (const auto state = absolute("XDG_STATE_HOME"); !state.empty()) return state / "dsmoe" / name;
  if (const auto home = absolute("HOME"); !home.empty()) return home / ".local/state/dsmoe" / name;
  return std::nullopt;
}

History::History() = default;
History::~History() = default;
History::History(History&&) noexcept = default;
History& History::operator=(History&&) noexcept = default;

void History::keep_in(const std::filesystem::path& file) {
  constexpr uint64_t kLongestFile = uint64_t{2} * kMost * (2 * kLongest + 1);
  private_files().create_directory(file.parent_path());
  auto log = std::make_unique<base::AppendLog>(file, private_files());
  std::vector<std::string> texts = texts_of(base::read_file(file, kLongestFile));
  if (texts.size() > 2 * kMost) {
    forget_oldest(texts);
    std::string kept;
    for (const std::string& text : texts) kept += as_line(text);
    log.reset();
    base::write_file(file, kept, private_files());
    log = std::make_unique<base::AppendLog>(file, private_files());
  }
  forget_oldest(texts);
  texts_ = std::move(texts);
  file_ = std::move(log);
}

void History::add(const std::string& text) {
  if (text.empty() || (!texts_.empty() && texts_.back() == text)) return;
  texts_.push_back(text);
  forget_oldest(texts_);
  if (file_ != nullptr && text.size() <= kLongest && !file_->append(as_line(text))) file_.reset();
}

}  // namespace dsmoe::terminal
