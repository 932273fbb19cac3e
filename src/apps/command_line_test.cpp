// What a person types, and what dsmoe says to it: commands, options and numbers that are not there, near misses, words
// of other systems.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "apps/testing.h"
#include "apps/whole_number.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal_of(std::vector<std::string> words) {
  const Outcome result = run(std::move(words));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  return result.err;
}

void for_each_option(const CLI::App& command, const std::function<void(const CLI::App&, const CLI::Option&)>& visit) {
  for (const CLI::Option* option : command.get_options()) visit(command, *option);
  for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; })) {
    for_each_option(*below, visit);
  }
}

TEST(CommandLine, UsageErrorsAreOneLineThatSaysWhatToDo) {
  EXPECT_EQ(refusal_of({"generat"}),
            "error: [usage] unknown command: \"generat\"; did you mean generate? dsmoe --help tells more\n");
  EXPECT_EQ(refusal_of({"eval", "taste"}), "error: [usage] unknown command: \"taste\"; dsmoe eval --help tells more\n");
  EXPECT_THAT(refusal_of({"logits", "--tokens", "1"}), HasSubstr("[usage] --"));
  EXPECT_EQ(refusal_of({"logits", "--tokns", "1"}),
            "error: [usage] unknown option: \"--tokns\"; did you mean --tokens? dsmoe logits --help tells more\n");
  EXPECT_THAT(refusal_of({"eval"}), HasSubstr("dsmoe eval --help tells more"));
  EXPECT_THAT(refusal_of({"--fast", "plan", "tiny"}), HasSubstr("unknown option: \"--fast\"; dsmoe --help"));
}

TEST(CommandLine, WhatCannotBePrintedIsAFault) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"help"}, {"generate", "--help"}, {"--version"}, {"version"}}) {
    std::cout.setstate(std::ios::badbit);
    const Outcome outcome = run(words);
    std::cout.clear();
    EXPECT_EQ(outcome.exit_code, 4) << words.front();
    EXPECT_THAT(outcome.err, HasSubstr("cannot write to standard output"));
  }
}

// A stranger's first word is the program's name alone.
TEST(CommandLine, TheProgramAloneAndItsHelpListCommandsInTheOrderOfALife) {
  const Outcome alone = run({});
  EXPECT_EQ(alone.exit_code, 0);
  EXPECT_EQ(alone.err, "");
  EXPECT_EQ(alone.out, run({"--help"}).out);
  size_t at = 0;
  for (const char* word : {"Data:", "tokenizer ", "Train:", "train ", "Look:", "study ", "Run:", "generate "}) {
    const size_t next = alone.out.find(word, at);
    ASSERT_NE(next, std::string::npos) << word << " in its place of\n" << alone.out;
    at = next;
  }
}

TEST(CommandLine, HelpIsOfWhatIsThere) {
  const Outcome help = run({"help", "generate"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.out, run({"generate", "--help"}).out);
  EXPECT_EQ(help.out, run({"generate", "-m", "x", "-h"}).out);
  EXPECT_THAT(help.out, HasSubstr("--threads N=0 "));
  EXPECT_EQ(run({"help", "eval", "perplexity"}).out, run({"eval", "perplexity", "--help"}).out);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"taste", "--help"},
                                                {"help", "taste"},
                                                {"--help", "taste"},
                                                {"eval", "taste", "--help"},
                                                {"data", "--help", "taste"},
                                                {"generate", "--taste", "--help"}}) {
    EXPECT_THAT(refusal_of(words), HasSubstr("taste"));
  }
}

TEST(CommandLine, CommandsOfOtherSystemsAndOfGroupsAreFound) {
  EXPECT_THAT(refusal_of({"run"}), HasSubstr("did you mean generate?"));
  EXPECT_THAT(refusal_of({"perplexity", "-m", "x"}), HasSubstr("did you mean eval perplexity?"));
  EXPECT_THAT(refusal_of({"encode"}), HasSubstr("did you mean tokenizer encode?"));
  EXPECT_THAT(refusal_of({"serve"}), Not(HasSubstr("did you mean")));
}

// llama.cpp's words have several letters behind one dash; read as `-n gl` they would be another option's value.
TEST(CommandLine, LettersBehindAShortOptionAreNotItsValue) {
  const auto hint = [](const std::string& word) { return refusal_of({"generate", "-m", "x", "-p", "y", word, "99"}); };
  EXPECT_THAT(hint("-ngl"), HasSubstr("unknown option: \"-ngl\"; everything is computed on the processor"));
  EXPECT_THAT(hint("-fa"), HasSubstr("attention never keeps its scores"));
  EXPECT_THAT(hint("-hf"), HasSubstr("models are not fetched"));
  EXPECT_THAT(hint("-nkvo"), HasSubstr("nothing is offloaded"));
  EXPECT_THAT(hint("--mlock"), HasSubstr("weights are mapped"));
  EXPECT_THAT(hint("-kvt"), Not(HasSubstr("did you mean")));
  EXPECT_THAT(hint("--kv-type"), HasSubstr("did you mean --cache-type?"));
  EXPECT_THAT(hint("-temp"), HasSubstr("did you mean --temp?"));
  EXPECT_THAT(hint("--max_tokens"), HasSubstr("did you mean --predict?"));
  EXPECT_THAT(hint("--keep"), HasSubstr("the oldest questions"));
  EXPECT_THAT(hint("--jinja"), HasSubstr("--chat-format"));
  EXPECT_THAT(hint("-e"), HasSubstr("taken as it stands"));
  EXPECT_THAT(hint("-n5"), HasSubstr("its value is the next word: -n VALUE"));
  EXPECT_THAT(hint("-zz"), Not(HasSubstr("did you mean")));
  EXPECT_THAT(refusal_of({"init", "tiny", "-o", "x", "--lr", "1"}),
              HasSubstr("settings have no dashes; did you mean train.learning_rate=VALUE?"));
}

// llama-quantize takes its files and type without names.
TEST(CommandLine, AWordThatNothingTakesIsRefusedBeforeWhatIsMissing) {
  EXPECT_EQ(
      refusal_of({"quantize", "a", "a.gguf", "q4_0"}),
      "error: [usage] every value follows an option's name here: \"a\"; a model is -m MODEL; dsmoe quantize --help "
      "tells more\n");
  EXPECT_THAT(refusal_of({"chat", "-m", "a", "more"}), HasSubstr("\"more\""));
}

// As llama.cpp writes them: -np, -pg. A name of two letters that is not there is refused as any other.
TEST(CommandLine, NamesOfTwoLettersMayHaveOneDash) {
  EXPECT_THAT(refusal_of({"bench", "-m", "x", "-pg", "512"}), HasSubstr("--pg takes PROMPT,GEN"));
  EXPECT_THAT(refusal_of({"bench", "-m", "x", "-pg=512"}), HasSubstr("--pg takes PROMPT,GEN"));
  EXPECT_THAT(refusal_of({"serve", "-m", "x", "-np", "0"}), HasSubstr("from 1 to 256"));
  EXPECT_THAT(refusal_of({"generate", "-m", "x", "-np", "2"}), HasSubstr("unknown option: \"-np\""));
}

TEST(CommandLine, OtherSystemsWordsThatMeanTheSameAreRead) {
  const auto fails_at_the_model = [](std::vector<std::string> more) {
    std::vector<std::string> words = {"generate", "-m", "nowhere", "-p", "y"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome result = run(words);
    EXPECT_EQ(result.exit_code, 4) << result.err;
  };
  fails_at_the_model({"--n-predict", "5", "--temperature", "0.5"});
  fails_at_the_model({"-c", "2048"});
  fails_at_the_model({"--ctx-size=2048", "-ub", "64"});
  fails_at_the_model({"-ctk", "q8_0", "-ctv", "q8_0"});
  fails_at_the_model({"--cache-type-k=f16"});
  const auto refused = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"generate", "-m", "nowhere", "-p", "y"});
    return refusal_of(more);
  };
  EXPECT_THAT(refused({"-ctk", "q8_0", "-ctv", "f16"}), HasSubstr("--cache-type"));
  EXPECT_THAT(refused({"-ctk", "q9"}), HasSubstr("q9"));
  EXPECT_THAT(refused({"-ctk", ""}), HasSubstr("--cache-type"));
  EXPECT_THAT(refused({"--n-predict", "1.5"}), HasSubstr("--predict must be a whole number"));
}

// A letter that means two things is a trap; what scripts of before say with it is still understood, and told.
TEST(CommandLine, TIsThreadsEverywhere) {
  CLI::App program("", "dsmoe");
  add_commands(program, kCommands);
  for_each_option(program, [&](const CLI::App& command, const CLI::Option& option) {
    for (const std::string& letter : option.get_snames()) {
      EXPECT_TRUE(letter != "t" || option.check_lname("threads")) << command.get_name();
      EXPECT_TRUE(letter != "m" || option.check_lname("model")) << command.get_name();
    }
  });
  const Outcome type = run({"quantize", "-m", "nowhere", "-t", "q8_0", "-o", "x"});
  EXPECT_EQ(type.exit_code, 4) << type.err;
  EXPECT_THAT(type.err, HasSubstr("note: -t is the number of threads; --type q8_0 says"));
  EXPECT_THAT(run({"tokenizer", "decode", "-t", "nowhere", "1"}).err, HasSubstr("--tokenizer nowhere says"));
  EXPECT_THAT(refusal_of({"quantize", "-m", "nowhere", "-t", "2", "-o", "x"}), HasSubstr("--type is required"));
  EXPECT_THAT(refusal_of({"generate", "-m", "x", "-p", "y", "-t", "q8_0"}), HasSubstr("--threads must be"));
}

TEST(CommandLine, ValuesAreTheNextWordOrBehindAnEqualsSign) {
  const base::TestFolder folder;
  const std::string a = folder / "a", b = folder / "b";
  EXPECT_EQ(run({"init", "tiny", "-o=" + a, "--seed=3", "-t=1", "--json"}).exit_code, 0);
  EXPECT_EQ(run({"init", "--seed", "3", "tiny", "--output", b, "--", "model.num_hidden_layers=2"}).exit_code, 0);
  EXPECT_TRUE(base::fs::exists(a));
  EXPECT_TRUE(base::fs::exists(b));
  EXPECT_THAT(refusal_of({"init", "tiny", "--output"}), HasSubstr("--output"));
  EXPECT_EQ(run({"tokenizer", "encode", "-m", a, "-p", "-ngl"}).exit_code, 4) << "a value may begin with a dash";
}

// CLI11 names the types that it reads itself INT, UINT and FLOAT.
TEST(CommandLine, EveryNumberIsReadByItsOneReader) {
  CLI::App program("", "dsmoe");
  add_commands(program, kCommands);
  size_t numbers = 0;
  for_each_option(program, [&](const CLI::App& command, const CLI::Option& option) {
    EXPECT_THAT(option.get_type_name(), Not(HasSubstr("INT"))) << command.get_name() << " " << option.get_name();
    EXPECT_THAT(option.get_type_name(), Not(HasSubstr("FLOAT"))) << command.get_name() << " " << option.get_name();
    numbers += option.get_type_name() == "N";
  });
  EXPECT_GT(numbers, 20u);
}

TEST(CommandLine, WhatNamesSomethingIsNotEmpty) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> cases = {
      {{"generate", "-m", "x", "-f", ""}, "--file must not be empty: \"\"; dsmoe generate --help"},
      {{"generate", "-m", "", "-p", "y"}, "--model must not be empty"},
      {{"generate", "-m", "x", "-p", "y", "--quantize="}, "--quantize must not be empty"},
      {{"chat", "-m", "x", "--chat-format", ""}, "--chat-format must not be empty"},
      {{"tokenizer", "encode", "-m", "x", ""}, "an argument must not be empty"},
      {{"tokenizer", "chat", "-m", "x", ""}, "an argument must not be empty"},
      {{"compare", "plan.toml", "-o", ""}, "--output must not be empty"},
      {{"compare", "--report", ""}, "--report must not be empty"},
      {{"data", "show", "x", "--domain", ""}, "--domain must not be empty"},
      {{"quantize", "-m", "x", "--type", "q8_0", "-o", "y", "--report", ""}, "--report must not be empty"},
  };
  for (const auto& [words, rule] : cases) EXPECT_THAT(refusal_of(words), HasSubstr(rule));
  EXPECT_EQ(run({"generate", "-m", "nowhere", "-p", ""}).exit_code, 4) << "a prompt may be empty";
  EXPECT_EQ(run({"chat", "-m", "nowhere", "--system="}).exit_code, 4) << "and so may the system text";
}

TEST(CommandLine, WhatCompareIsToDoIsOneThing) {
  EXPECT_THAT(refusal_of({"compare", "--pause", "a", "--resume", "b"}), HasSubstr("excludes"));
  EXPECT_THAT(refusal_of({"compare", "plan.toml", "--report", "a"}), HasSubstr("excludes"));
}

TEST(CommandLine, RealNumbersAreDecimal) {
  for (const char* bad : {"", " 1", "1 ", "+1", "0x10", "nan", "inf", "1e999", "1,5", "one", "1e"}) {
    EXPECT_THAT(refusal_of({"generate", "-m", "x", "-p", "y", "--temp", bad}),
                HasSubstr("--temp must be a decimal number: "));
    EXPECT_THAT(refusal_of({"data", "build", "--tokenizer", "t", "--out", "o", "a=b", "--valid-share", bad}),
                HasSubstr("--valid-share must be a decimal number: "));
  }
  EXPECT_EQ(run({"generate", "-m", "nowhere", "-p", "y", "--temp", ".5", "--top-p", "9e-1"}).exit_code, 4);
  EXPECT_THAT(run({"generate", "--help"}).out, HasSubstr("--top-p X=0.95 "));
}

TEST(CommandLine, SizesAreWholeNumbersThatFit) {
  for (const char* bad : {"", "-1", "+1", "1e3", "99999999999999999999", "20000000000GB", "KB"}) {
    EXPECT_THAT(refusal_of({"tokenizer", "train", "--out", "o", "f", "--longest-document", bad}),
                HasSubstr("--longest-document"));
  }
}

TEST(CommandLine, NumbersAreDecimalAndWithinTheirBounds) {
  const auto refused = [](std::vector<std::string> words, const char* rule) {
    EXPECT_THAT(refusal_of(std::move(words)), HasSubstr(rule));
  };
  refused({"generate", "-m", "x", "-p", "y", "-s", "-5"},
          "[usage] --seed, unless it is -1, must be a whole number from 0 on: \"-5\"");
  refused({"chat", "-m", "x", "--seed=-2"}, "--seed, unless it is -1, must be");
  refused({"bench", "-m", "x", "-s", "-1"}, "--seed must be a whole number from 0 on: \"-1\"");
  refused({"data", "build", "--tokenizer", "t", "--out", "o", "--seed", "-1", "a=b"}, "--seed must be");
  refused({"data", "show", "d", "--bytes", "-1"}, "--bytes must be a whole number from 0 on: \"-1\"");
  refused({"tokenizer", "train", "--out", "o", "--min-frequency", "-1", "f"},
          "--min-frequency must be a whole number from 1 to 1000000000: \"-1\"");
  refused({"generate", "-m", "x", "-p", "y", "-t", "1025"}, "--threads must be a whole number from 0 to 1024");
  for (const char* bad : {"", " 1", "1 ", "+1", "0x10", "1e3", "1.0", "18446744073709551616", "one"}) {
    refused({"init", "tiny", "-o", "o", "--seed", bad}, "--seed must be a whole number from 0 on: ");
  }
  uint64_t value = 0;
  read_whole_number("--x", "18446744073709551615", Bounds<uint64_t>{}, value);
  EXPECT_EQ(value, 18446744073709551615u);
  read_whole_number("--x", "010", Bounds<uint64_t>{}, value);
  EXPECT_EQ(value, 10u) << "not octal";
  int64_t negative = 0;
  read_whole_number("--x", "-1", Bounds<int64_t>{-1, 9}, negative);
  EXPECT_EQ(negative, -1);
}

}  // namespace
}  // namespace dsmoe::apps
