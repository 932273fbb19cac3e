// How large the window of a terminal is.
#pragma once

#include <cstddef>
#include <optional>

namespace dsmoe::terminal {

struct ScreenSize {
  size_t columns = 80, rows = 24;
};

/// The size of the terminal behind a file descriptor; nothing where it is no terminal or does not tell its width.
std::optional<ScreenSize> window_size(int descriptor);

}  // namespace dsmoe::terminal
