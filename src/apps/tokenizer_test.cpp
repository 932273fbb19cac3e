// `dsmoe tokenizer` as a user meets it: what it prints, and the exit codes of bad input.
#include <gtest/gtest.h>

#include "apps/testing.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {
namespace {

class TokenizerCommand : public testing::Test {
 protected:
  void SetUp() override {
    std::string text, lines;
    base::Rng rng(1);
    const char* words[] = {"the ", "cat ", "sat ", "on ", "a ", "mat.\n", "中文", "été "};
    for (int i = 0; i < 3000; ++i) text += words[rng.below(std::size(words))];
    base::write_file(file("text.txt"), text);
    base::write_file(file("text.jsonl"),
                     base::dump_json({{"text", text}}) + "\n\n" + R"({"text": "cat", "id": 3})" + "\n");
  }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  Outcome train(const std::vector<std::string>& files, const std::string& size = "280") {
    std::vector<std::string> arguments = {"tokenizer", "train", "--vocab-size", size, "--force", "--out", file("made")};
    for (const std::string& name : files) arguments.push_back(file(name));
    return run(arguments);
  }
  void expect_error(const Outcome& result, int exit_code, const std::string& word) {
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_NE(result.err.find(word), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }

  base::TestFolder folder_;
};

TEST_F(TokenizerCommand, TrainsEncodesDecodes) {
  ASSERT_EQ(train({"text.txt", "text.jsonl"}).exit_code, 0);
  const auto tokenizer = tokenizer::load_tokenizer(folder_ / "made");
  EXPECT_EQ(tokenizer.vocab_size(), 280);
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  const std::string text = "the cat, 中 \n ½";
  const Outcome ids = run({"tokenizer", "encode", "-m", file("made"), "-p", text});
  EXPECT_EQ(ids.exit_code, 0);
  std::istringstream numbers(ids.out);
  std::vector<std::string> arguments = {"tokenizer", "decode", "-m", file("made/tokenizer.json")};
  for (std::string number; numbers >> number;) arguments.push_back(number);
  EXPECT_EQ(run(arguments).out, text);

  base::write_file(file("input"), text);
  EXPECT_EQ(run({"tokenizer", "encode", "-m", file("made"), file("input")}).out, ids.out);
  base::write_file(file("marked"), std::string(base::kByteOrderMark) + text);
  EXPECT_EQ(run({"tokenizer", "encode", "-m", file("made"), file("marked")}).out, ids.out) << "no part of the text";
  EXPECT_EQ(run({"tokenizer", "encode", "-m", file("made")}, base::read_file(file("marked"))).out, ids.out);
  const auto json =
      base::parse_json(run({"tokenizer", "encode", "-m", file("made"), "-p", text, "--json", "--special"}).out, "out");
  EXPECT_EQ(json["ids"][0], 0);
  EXPECT_EQ(json["count"], json["ids"].size());
  EXPECT_EQ(json["bytes"], text.size());
  EXPECT_EQ(run({"tokenizer", "decode", "-m", file("made"), "--skip-special", "0", "1"}).out, "");

  base::write_file(file("lines"), "\xef\xbb\xbf\n\"the\"\r\n  \n{\"text\": \"cat\\n\"}\n\n");
  const Outcome lines = run({"tokenizer", "encode", "-m", file("made"), "--lines", file("lines")});
  EXPECT_EQ(lines.out, run({"tokenizer", "encode", "-m", file("made"), "-p", "the"}).out +
                           run({"tokenizer", "encode", "-m", file("made"), "-p", "cat\n"}).out);
}

TEST_F(TokenizerCommand, LinesAreReadAsACorpusReadsThem) {
  ASSERT_EQ(train({"text.txt"}).exit_code, 0);
  const auto encode = [&](std::vector<std::string> words, const std::string& input = "") {
    words.insert(words.begin(), {"tokenizer", "encode", "-m", file("made"), "--lines"});
    return run(words, input);
  };
  const std::string half = R"({"text": "the \udc00"})";
  base::write_file(file("half.jsonl"), half + "\n");
  expect_error(encode({file("half.jsonl")}), 3, "half.jsonl line 1");
  const Outcome replaced = encode({file("half.jsonl"), "--invalid-utf8", "replace"});
  EXPECT_EQ(replaced.out, run({"tokenizer", "encode", "-m", file("made"), "-p", "the \ufffd"}).out);
  EXPECT_NE(replaced.err.find("1 escapes"), std::string::npos) << replaced.err;
  EXPECT_EQ(encode({"-", "--invalid-utf8", "replace"}, half).out, replaced.out) << "from standard input too";
}

TEST_F(TokenizerCommand, AFolderGivesItsTextFilesOnce) {
  base::fs::create_directory(folder_ / "text");
  base::fs::rename(folder_ / "text.txt", folder_ / "text" / "a.TXT");
  base::fs::rename(folder_ / "text.jsonl", folder_ / "text" / "b.jsonl");
  base::fs::create_symlink("a.TXT", folder_ / "text" / "again.txt");
  const Outcome trained = train({"text", "text/b.jsonl"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_NE(trained.err.find(" in 3 documents"), std::string::npos) << trained.err;
}

TEST_F(TokenizerCommand, TrainingAgainGivesTheSameFiles) {
  ASSERT_EQ(train({"text.txt", "text.jsonl"}).exit_code, 0);
  const std::string first = base::read_file(file("made/tokenizer.json"));
  ASSERT_EQ(train({"text.jsonl", "text.txt"}).exit_code, 0);
  EXPECT_EQ(base::read_file(file("made/tokenizer.json")), first);
}

TEST_F(TokenizerCommand, WritesConversationsInTheFormatOfTheModel) {
  ASSERT_EQ(train({"text.txt"}).exit_code, 0);
  const auto chat = [&](const std::string& input, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"tokenizer", "chat", "-m", file("made")});
    return run(more, input);
  };
  const std::string bos = "<｜begin▁of▁sentence｜>", eos = "<｜end▁of▁sentence｜>";
  const std::string talk = R"([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}])";
  EXPECT_EQ(chat(talk).out, bos + "User: hi\n\nAssistant: yes" + eos + "Assistant:")
      << "tokenizers made here are plain";
  EXPECT_EQ(chat(talk, {"--no-generation-prompt"}).out, bos + "User: hi\n\nAssistant: yes" + eos);
  const Outcome lines =
      chat(talk + "\n{\"messages\": " + talk + ", \"add_generation_prompt\": false}\n", {"--lines", "--json"});
  const size_t second = lines.out.find('\n') + 1;
  EXPECT_EQ(base::parse_json(lines.out.substr(0, second), "first")["format"], "plain");
  const base::Json last = base::parse_json(lines.out.substr(second), "second");
  EXPECT_EQ(last["text"], bos + "User: hi\n\nAssistant: yes" + eos);
  EXPECT_EQ(last["ids"].back(), 1) << "eos is one token";
  expect_error(chat(talk, {"--chat-format", "llama3"}), 3, "the format llama3 needs its markers");
  expect_error(chat(talk, {"--chat-format", "lama3"}), 2, "there are plain, ");
  expect_error(chat(R"([{"role": "tool", "content": "x"}])"), 3, "system, user or assistant");
  expect_error(chat(R"([{"role": "user", "content": "x", "tool_calls": []}])"), 3, "tool_calls");
  expect_error(chat("{}"), 3, "messages");
  base::write_file(file("made/chat_template.jinja"), "{{ messages[0].content }}");
  expect_error(chat(talk), 3, "{{ messages[0].content }}");
}

TEST_F(TokenizerCommand, BadInputHasItsExitCode) {
  expect_error(train({"absent.txt"}), 4, "absent.txt");
  base::write_file(file("empty.txt"), "");
  expect_error(train({"empty.txt"}), 3, "empty");
  base::write_file(file("latin1.txt"), "caf\xe9 au lait");
  expect_error(train({"latin1.txt"}), 3, "UTF-8");
  base::write_file(file("cut.jsonl"), "{\"text\": \"a");
  expect_error(train({"cut.jsonl"}), 3, "JSON");
  expect_error(train({"text.txt"}, "100000"), 3, "at most");
  expect_error(train({"text.txt"}, "258"), 3, "at least 259");
  expect_error(train({"text.txt"}, "many"), 2, "vocab-size");
  EXPECT_FALSE(base::fs::exists(folder_ / "made"));  // nothing half-written

  ASSERT_EQ(train({"text.txt"}).exit_code, 0);
  expect_error(run({"tokenizer", "encode", "-m", file("absent"), "-p", "x"}), 4, "absent");
  expect_error(run({"tokenizer", "encode", "-m", file("text.txt"), "-p", "x"}), 3, "JSON");
  expect_error(run({"tokenizer", "encode", "-m", file("made"), file("absent")}), 4, "absent");
  expect_error(run({"tokenizer", "encode", "-m", file("made"), "--lines", file("text.txt")}), 3, "line 1");
  expect_error(run({"tokenizer", "decode", "-m", file("made"), "280"}), 3, "0 to 279");
  expect_error(run({"tokenizer", "decode", "-m", file("made"), "-1"}), 3, "-1");
  expect_error(run({"tokenizer"}), 2, "subcommand");
}

TEST_F(TokenizerCommand, ReplacesWhatIsNotUtf8OnlyIfAsked) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "caf\xe9 ";
  base::write_file(file("latin1.txt"), text);
  const Outcome result = run({"tokenizer", "train", "--invalid-utf8", "replace", "--vocab-size", "262", "--out",
                              file("made"), file("latin1.txt")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("50 bytes that were not UTF-8"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace dsmoe::apps
