#include "terminal/window_size.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace dsmoe::terminal {

std::optional<ScreenSize> window_size(int descriptor) {
  winsize size{};
  if (::isatty(descriptor) != 1 || ::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return std::nullopt;
  ScreenSize screen;
  screen.columns = size.ws_col;
  if (size.ws_row > 0) screen.rows = size.ws_row;
  return screen;
}

}  // namespace dsmoe::terminal
