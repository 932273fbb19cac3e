#include "apps/help_format.h"

#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "apps/examples.h"
#include "terminal/window_size.h"

namespace dsmoe::apps {
namespace {

constexpr size_t kLeftColumn = 26, kNarrowest = 60, kWidest = 100, kUsual = 80;
constexpr size_t kGroupIndent = 2;  // CLI11 moves the options of a group to the right

size_t terminal_width() {
  const auto size = terminal::window_size(STDOUT_FILENO);
  return size ? std::clamp<size_t>(size->columns, kNarrowest, kWidest) : kUsual;
}

void wrap_line(const std::string& line, size_t width, size_t indent, std::string& out) {
  const std::string margin(std::max(indent, std::min(line.find_first_not_of(' '), line.size())), ' ');
  size_t column = 0;
  for (size_t at = 0; at <= line.size();) {
    const size_t end = std::min(line.find(' ', at), line.size());
    const std::string word = line.substr(at, end - at);
    if (column > margin.size() && !word.empty() && column + 1 + word.size() > width) {
      out += "\n" + margin;
      column = margin.size();
    } else if (at > 0) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    at = end + 1;
  }
}

}  // namespace

std::string wrapped(const std::string& text, size_t width, size_t indent) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!out.empty()) out += "\n" + std::string(indent, ' ');
    wrap_line(line, width, indent, out);
  }
  return out;
}

std::string command_path(const CLI::App& command) {
  const std::string above = command.get_parent() == nullptr ? "" : command_path(*command.get_parent()) + " ";
  return above + command.get_name();
}

HelpFormat::HelpFormat(size_t width) : width_(width > 0 ? width : terminal_width()) { column_width(kLeftColumn); }

std::string HelpFormat::row(const std::string& left, const std::string& right) const {
  std::string text = "  " + left;
  if (right.empty()) return text + "\n";
  if (text.size() + 1 > kLeftColumn) text += "\n";
  const size_t begun = text.back() == '\n' ? 0 : text.size();
  text += std::string(kLeftColumn - begun, ' ');
  const std::string block = wrapped(right, width_ - kLeftColumn - kGroupIndent);
  for (const char c : block) {
    text += c;
    if (c == '\n') text += std::string(kLeftColumn, ' ');
  }
  return text + "\n";
}

std::string HelpFormat::make_description(const CLI::App* command) const {
  return wrapped(CLI::Formatter::make_description(command), width_) + "\n";
}

std::string HelpFormat::make_option(const CLI::Option* option, bool is_positional) const {
  return row(make_option_name(option, is_positional) + make_option_opts(option), make_option_desc(option));
}

// The values that an option takes say enough: {f32,f16}, not TEXT:{f32,f16}.
std::string HelpFormat::make_option_opts(const CLI::Option* option) const {
  std::string text = CLI::Formatter::make_option_opts(option);
  if (const size_t at = text.find(" TEXT:{"); at != std::string::npos) text.erase(at + 1, 5);
  return text;
}

std::string HelpFormat::make_subcommand(const CLI::App* command) const {
  return row(command->get_name(), command->get_description());
}

std::string HelpFormat::make_footer(const CLI::App* command) const {
  std::string text;
  if (const std::string examples = examples_text(command_path(*command)); !examples.empty()) {
    text += "Examples:\n" + examples;
  }
  if (const std::string footer = command->get_footer(); !footer.empty()) {
    text += (text.empty() ? "" : "\n") + wrapped(footer, width_) + "\n";
  }
  return text;
}

}  // namespace dsmoe::apps
