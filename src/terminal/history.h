// What was typed before: in memory, and in a file of the user's own from one session to the next.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace dsmoe::terminal {

/// The file `name` in $XDG_STATE_HOME/dsmoe, or else in $HOME/.local/state/dsmoe; none where neither is an absolute
/// path.
std::optional<std::filesystem::path> state_file(std::string_view name);

class History {
 public:
  static constexpr size_t kMost = 1000;  ///< texts that are kept
  static constexpr size_t kLongest = size_t{16}
                                     << 10;  ///< bytes of a text in the file; a longer one is not written there

  /// In memory only.
  History();
  ~History();
  History(History&&) noexcept;
  History& operator=(History&&) noexcept;

  /// Reads the file and from then on adds to it: one text a line, with \n for the end of a line in it and \\ for a
  /// backslash. The file is made where it is not there, with its folders, and is nobody else's to read (mode 600). When
  /// it has grown beyond twice what is kept, the oldest go. Several programs may add to it at a time. Throws Error(kIo)
  /// or Error(kInvalid) where it cannot be used; the history then stays in memory.
  void keep_in(const std::filesystem::path& file);
  /// The oldest first.
  const std::vector<std::string>& texts() const { return texts_; }
  /// A text that is empty or the same as the one before is left out. A file that can no longer be written to is given
  /// up without a word.
  void add(const std::string& text);

 private:
  std::vector<std::string> texts_;
  std::unique_ptr<base::AppendLog> file_;
};

}  // namespace dsmoe::terminal
