// What the program says about itself: help, examples, completion, manual. All of it comes from the commands' own
// tables.
#include <gmock/gmock.h>

#include <cstdio>
#include <sstream>

#include "apps/command_line.h"
#include "apps/command_table.h"
#include "apps/examples.h"
#include "apps/help_format.h"
#include "apps/testing.h"
#include "base/test_files.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// What a shell prints; empty where it is not there.
std::string printed_by(const std::string& command) {
  std::string out;
  FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  for (size_t got; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, got);
  ::pclose(pipe);
  return out;
}

std::string path_of_shell(const std::string& shell) { return printed_by("command -v " + shell); }

class Help : public ::testing::Test {
 protected:
  Help() : program_("", "dsmoe") {
    add_commands(program_, kCommands);
    table_ = command_table(program_);
  }
  /// Those that do something themselves.
  std::vector<const TableCommand*> leaves() const {
    std::vector<const TableCommand*> all = all_commands(table_);
    std::erase_if(all, [](const TableCommand* command) { return !command->commands.empty(); });
    return all;
  }
  std::vector<std::string> help_words(const TableCommand& command) const {
    std::vector<std::string> words = command.path;
    words.emplace_back("--help");
    return words;
  }
  CLI::App program_;
  TableCommand table_;
  base::TestFolder folder_;
};

TEST_F(Help, FitsEightyColumns) {
  for (const TableCommand* command : all_commands(table_)) {
    if (command->options.empty()) continue;  // another program has its help
    std::istringstream lines(run(help_words(*command)).out);
    bool examples = false;  // what is typed stays on its line
    for (std::string line; std::getline(lines, line);) {
      if (line == "Examples:") examples = true;
      if (line.empty()) examples = false;
      const bool one_word = line.find(' ', line.find_first_not_of(' ')) == std::string::npos;
      EXPECT_TRUE(examples || one_word || line.size() <= 80u) << path_text(*command) << ": " << line;
    }
  }
  EXPECT_EQ(wrapped("one two three", 7), "one two\nthree");
  EXPECT_EQ(wrapped("  a bb ccc", 6), "  a bb\n  ccc");
  EXPECT_EQ(wrapped("unbreakable x", 5), "unbreakable\nx");
}

// An example that does not work is worse than none: each is read by the options it is an example of.
TEST_F(Help, EveryCommandHasExamplesThatItTakes) {
  for (const TableCommand* command : leaves()) {
    if (command->path == std::vector<std::string>{"version"}) continue;
    if (command->options.empty()) continue;  // another program has its help
    EXPECT_THAT(run(help_words(*command)).out, HasSubstr("Examples:\n")) << path_text(*command);
  }
  for (const Example& example : examples()) {
    if (!example.command.starts_with("dsmoe ")) continue;
    // printf shows a shell's words one to a line; what is behind > or | is the shell's own.
    const std::string typed = std::string(example.command.substr(6)) + " " + std::string(example.words);
    const std::string line = typed.substr(0, typed.find(" > "));
    std::istringstream shown(printed_by("set -f; printf '%s\\n' " + line));
    std::vector<std::string> words;
    for (std::string word; std::getline(shown, word);) words.push_back(word);
    CLI::App program("", "dsmoe");
    program.require_subcommand(1);  // as run_program has it: a command's arguments may be called like commands
    add_commands(program, kCommands);
    program.parse_complete_callback([] { throw CLI::Success(); });  // before the command's own action
    words = read_words(program, words);
    std::reverse(words.begin(), words.end());
    EXPECT_THROW(program.parse(words), CLI::Success) << typed;
  }
}

TEST_F(Help, ManualHasAPageForEveryCommand) {
  const std::string out = folder_ / "man";
  EXPECT_EQ(run({"manual", "-o", out}).exit_code, 0);
  EXPECT_EQ(run({"manual", "-o", out}).exit_code, 4) << "nothing is written over unasked";
  EXPECT_EQ(run({"manual", "-o", out, "--force"}).exit_code, 0);
  const std::string page = base::read_file(folder_ / "man/dsmoe-eval-perplexity.1");
  EXPECT_EQ(page, run({"manual", "eval", "perplexity"}).out);
  for (const char* part : {".TH DSMOE-EVAL-PERPLEXITY 1", ".SH SYNOPSIS", "\\fB\\-\\-model\\fR", ".SH EXAMPLES"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  EXPECT_EQ(static_cast<size_t>(std::distance(base::fs::directory_iterator(out), {})), all_commands(table_).size());
  EXPECT_THAT(run({"manual", "eval", "perplexty"}).err, HasSubstr("did you mean eval perplexity?"));
  if (path_of_shell("groff").empty()) return;
  for (const TableCommand* command : leaves()) {
    const std::string file = folder_ / ("man/dsmoe-" + path_text(*command, "-") + ".1");
    EXPECT_THAT(printed_by("groff -man -ww -z " + file), IsEmpty()) << file;
  }
}

TEST_F(Help, CompletionCompletes) {
  const std::string script = folder_.write("bash", run({"completion", "bash"}).out);
  if (path_of_shell("bash").empty()) GTEST_SKIP() << "no bash";
  const auto completed = [&](const std::string& words) {
    return printed_by("bash -c 'source " + script + "; COMP_WORDS=(" + words +
                      "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _dsmoe; echo \"${COMPREPLY[*]}\"'");
  };
  EXPECT_EQ(completed("dsmoe gen"), "generate\n");
  EXPECT_EQ(completed("dsmoe eval p"), "perplexity\n");
  EXPECT_EQ(completed("dsmoe tokenizer ch"), "chat\n");
  EXPECT_EQ(completed("dsmoe chat --cache-ty"), "--cache-type\n");
  EXPECT_EQ(completed("dsmoe generate --cache-type f"), "f32 f16\n");
  EXPECT_EQ(completed("dsmoe train demo-g"), "demo-gshard\n");
  EXPECT_EQ(completed("dsmoe completion fi"), "fish\n");
  EXPECT_EQ(completed("dsmoe quantize --type q8"), "q8_0\n");
  EXPECT_EQ(completed("dsmoe chat -q q6"), "q6_k\n");
  EXPECT_EQ(completed("dsmoe export --type b"), "bf16\n");
  EXPECT_EQ(completed("dsmoe chat --chat-format chatml-"), "chatml-bos\n");
  EXPECT_EQ(completed("dsmoe eval perplexity --split v"), "valid\n");
  EXPECT_EQ(completed("dsmoe generate -m fi"), "\n") << "files are the shell's to complete";
}

TEST_F(Help, CompletionOfOtherShellsIsWellFormed) {
  for (const std::string shell : {"zsh", "fish"}) {
    const std::string text = run({"completion", shell}).out;
    EXPECT_THAT(text, HasSubstr("perplexity"));
    const std::string script = folder_.write(shell, text);
    if (path_of_shell(shell).empty()) continue;
    EXPECT_THAT(printed_by(shell + " -n " + script), IsEmpty());
  }
  EXPECT_EQ(run({"completion", "tcsh"}).exit_code, 2);
}

}  // namespace
}  // namespace dsmoe::apps
