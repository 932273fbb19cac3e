#include "apps/manual.h"

#include <algorithm>

#include "apps/examples.h"

namespace dsmoe::apps {
namespace {

// Text for troff: a backslash and a dash as they are, no macro at the beginning of a line.
std::string escaped(const std::string& text) {
  std::string out;
  bool begins = true;
  for (const char c : text) {
    if (begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    begins = c == '\n';
  }
  return out;
}

std::string title_of(const std::string& program, const TableCommand& command) {
  std::string title = program;
  for (const std::string& word : command.path) title += "-" + word;
  return title;
}

std::string typed(const std::string& program, const TableCommand& command) {
  return command.path.empty() ? program : program + " " + path_text(command);
}

std::string joined_bold(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "\\fB" : ", \\fB") + escaped(name) + "\\fR";
  return text;
}

std::string rows(const std::vector<TableOption>& options) {
  std::string text;
  for (const TableOption& option : options) {
    text += ".TP\n" + joined_bold(option.names);
    if (!option.value.empty() && option.names.front()[0] == '-') text += " \\fI" + escaped(option.value) + "\\fR";
    text += "\n" + escaped(option.help);
    if (!option.default_value.empty()) text += " (default: " + escaped(option.default_value) + ")";
    if (option.required) text += " (required)";
    text += "\n";
  }
  return text;
}

std::string synopsis(const std::string& program, const TableCommand& command) {
  std::string text = ".B " + escaped(typed(program, command)) + "\n";
  text += command.commands.empty() ? "[\\fIoptions\\fR]" : "\\fIcommand\\fR [\\fIoptions\\fR]";
  for (const TableOption& each : command.positionals) {
    const std::string name = "\\fI" + escaped(each.names.front()) + "\\fR" + (each.repeats ? " ..." : "");
    text += each.required ? " " + name : " [" + name + "]";
  }
  return text + "\n";
}

std::string commands_below(const std::string& program, const TableCommand& command) {
  std::string text, group;
  for (const TableCommand& below : command.commands) {
    if (command.path.empty() && below.group != group) text += ".SS " + escaped(group = below.group) + "\n";
    text += ".TP\n.BR " + escaped(title_of(program, below)) + " (1)\n" + escaped(below.description) + "\n";
  }
  return text;
}

}  // namespace

std::string manual_name(const std::string& program, const TableCommand& command) {
  return title_of(program, command) + ".1";
}

std::string manual_page(const std::string& program, const TableCommand& command, const std::string& version) {
  std::string title = title_of(program, command);
  std::string upper = title;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  std::string text = ".TH " + upper + " 1 \"\" \"" + program + " " + version + "\" \"User Commands\"\n";
  text += ".SH NAME\n" + escaped(title) + " \\- " + escaped(command.description) + "\n";
  text += ".SH SYNOPSIS\n" + synopsis(program, command);
  if (!command.commands.empty()) text += ".SH COMMANDS\n" + commands_below(program, command);
  if (!command.positionals.empty()) text += ".SH ARGUMENTS\n" + rows(command.positionals);
  if (!command.options.empty()) text += ".SH OPTIONS\n" + rows(command.options);
  if (!command.footer.empty()) text += ".SH NOTES\n.nf\n" + escaped(command.footer) + "\n.fi\n";
  if (const std::string examples = examples_text(typed(program, command)); !examples.empty()) {
    text += ".SH EXAMPLES\n.nf\n" + escaped(examples) + ".fi\n";
  }
  if (!command.path.empty()) text += ".SH SEE ALSO\n.BR " + escaped(program) + " (1)\n";
  return text;
}

}  // namespace dsmoe::apps
