// How --help looks: two columns that fit the terminal, and examples at the end.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace dsmoe::apps {

/// `text` in lines of at most `width` columns, cut at spaces, each after the first begun with `indent` spaces. Lines
/// that are there stay lines; a word that is too long stays whole.
std::string wrapped(const std::string& text, size_t width, size_t indent = 0);

/// "dsmoe eval perplexity": the words before a command's options.
std::string command_path(const CLI::App& command);

class HelpFormat : public CLI::Formatter {
 public:
  /// `width`: columns; 0: the terminal's on standard output, 80 where that is none.
  explicit HelpFormat(size_t width = 0);

  std::string make_description(const CLI::App* command) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_footer(const CLI::App* command) const override;

 private:
  std::string row(const std::string& left, const std::string& right) const;
  size_t width_;
};

}  // namespace dsmoe::apps
