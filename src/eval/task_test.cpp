// A task's folder as it is read: what items become, and what is refused by file and line.
#include "eval/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "eval/template.h"
#include "eval/test_task.h"

namespace dsmoe::eval {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Template, PutsFieldsInTheirPlaces) {
  const Template text("Q: {question}{{}}\n{n}", "here");
  EXPECT_EQ(text.render({{"question", "Why?"}, {"n", "3"}}), "Q: Why?{}\n3");
  EXPECT_EQ(*text.first_missing({{"question", "x"}}), "n");
  EXPECT_TRUE(text.uses("n"));
  EXPECT_FALSE(text.uses("question}{"));
  for (const char* bad : {"{question", "question}", "a{}b", "}{"})
    EXPECT_THROW(Template(bad, "here"), base::Error) << bad;
}

class TaskFolder : public ::testing::Test {
 protected:
  Task read(const std::string& settings, const std::vector<base::Json>& items) {
    return read_task(write_task(folder_, "exam", settings, items));
  }
  std::string message(const std::string& settings, const std::vector<base::Json>& items) {
    return base::message_of([&] { read(settings, items); });
  }
  base::TestFolder folder_;
  const std::vector<base::Json> two_ = {choice_item("a", "One?", {"yes", "no"}, 0, "P"),
                                        choice_item("b", "Two?", {"left", "right", "up"}, 2)};
};

TEST_F(TaskFolder, ItemsBecomeText) {
  const Task task = read("kind = \"choice\"\nquestion = \"Q: {question}\\nA:\"\nmetric = \"acc_norm\"", two_);
  EXPECT_EQ(task.name, "exam");
  EXPECT_EQ(task.metric, "acc_norm");
  ASSERT_EQ(task.items.size(), 2u);
  EXPECT_EQ(task.items[1].question, "Q: Two?\nA:");
  EXPECT_THAT(task.items[1].choices, ElementsAre(" left", " right", " up"));
  EXPECT_EQ(task.items[1].shown_answer, " up");
  EXPECT_EQ(task.items[0].pool, "P");
  EXPECT_THAT(task.items[1].place, HasSubstr("items.jsonl:2"));
  EXPECT_EQ(task.hash.size(), 32u);
}

TEST_F(TaskFolder, LettersNameTheChoices) {
  const Task task =
      read("kind = \"choice\"\nquestion = \"{question}\\n{choices}\\nAnswer:\"\nchoice = \" {letter}\"", {two_[1]});
  EXPECT_EQ(task.items[0].question, "Two?\nA. left\nB. right\nC. up\nAnswer:");
  EXPECT_THAT(task.items[0].choices, ElementsAre(" A", " B", " C"));
}

TEST_F(TaskFolder, ShotsComeFromASplitOrAFileOfTheirOwn) {
  auto items = two_;
  items[0]["split"] = "train";
  const Task split = read("kind = \"choice\"\n[shots]\nsplit = \"train\"\ncount = 1", items);
  EXPECT_EQ(split.items.size(), 1u);
  ASSERT_EQ(split.shots.size(), 1u);
  EXPECT_EQ(split.shots[0].id, "a");
  EXPECT_EQ(split.shot_count, 1);

  write_task(folder_, "exam", "", {});
  folder_.write("exam/shots.jsonl", base::dump_json(two_[0]) + "\n\n");
  const Task file = read("kind = \"choice\"\n[shots]\nfile = \"shots.jsonl\"", {two_[1]});
  EXPECT_EQ(file.shots.size(), 1u);
  const std::string hash = file.hash;
  folder_.write("exam/shots.jsonl", base::dump_json(two_[0]) + "\n");
  EXPECT_NE(read("kind = \"choice\"\n[shots]\nfile = \"shots.jsonl\"", {two_[1]}).hash, hash);
}

TEST_F(TaskFolder, QuestionsThatAreAnsweredInWords) {
  const Task task = read("kind = \"generate\"\nstop = [\"\\n\", \"Q:\"]\nmax_tokens = 5\nnormalise = \"triviaqa\"",
                         {open_item("x", "Capital?", {"Paris", "City of Paris"})});
  EXPECT_THAT(task.items[0].answers, ElementsAre("Paris", "City of Paris"));
  EXPECT_EQ(task.items[0].shown_answer, " Paris");
  EXPECT_EQ(task.max_tokens, 5);
  EXPECT_EQ(task.stop.size(), 2u);
  EXPECT_EQ(task.normalisation, Normalisation::kTriviaQa);
}

TEST_F(TaskFolder, WrongItemsAreRefusedByFileAndLine) {
  const std::string choice = "kind = \"choice\"";
  const auto refused = [&](base::Json second, const char* rule) {
    EXPECT_THAT(message(choice, {two_[0], std::move(second)}), AllOf(HasSubstr(rule), HasSubstr("items.jsonl:2")));
  };
  refused(choice_item("b", "?", {"x", "y"}, 2), "answer must be the number of the right choice, from 0 to 1");
  refused(choice_item("b", "?", {"x", "y"}, -1), "answer must be the number");
  refused({{"id", "b"}, {"question", "?"}, {"choices", {"x", "y"}}}, "answer must be the number");
  refused({{"id", "b"}, {"question", "?"}, {"choices", {"x", "y"}}, {"answer", "x"}}, "answer must be the number");
  refused(choice_item("b", "?", {"x"}, 0), "at least 2 strings");
  refused(choice_item("b", "?", {"x", " "}, 0), "may be empty");
  refused(choice_item("b", "?", {"x", "x"}, 0), "may be alike");
  refused(choice_item("a", "?", {"x", "y"}, 0), "an id may be there once");
  refused({{"id", "b"}, {"choices", {"x", "y"}}, {"answer", 0}}, "a field that the item lacks: \"question\"");
  refused(7, "an item must be an object");
  const auto wrong_template = [&](const std::string& text, const char* rule) {
    EXPECT_THAT(message("kind = \"choice\"\nchoice = \"" + text + "\"", two_),
                AllOf(HasSubstr(rule), HasSubstr("items.jsonl:1")));
  };
  wrong_template(" yes", "the texts that the template choice makes may be alike: \" yes\"");
  wrong_template("\\n", "the texts that the template choice makes may be empty");
  wrong_template("", "the texts that the template choice makes may be empty");
  const auto other = [&](base::Json item, const char* rule) {
    EXPECT_THAT(message("kind = \"generate\"", {open_item("a", "?", {"x"}), std::move(item)}),
                AllOf(HasSubstr(rule), HasSubstr("items.jsonl:2")));
  };
  other({{"question", "?"}}, "answers must be a list of at least 1 strings");
  other({{"question", "?"}, {"answers", base::Json::array()}}, "at least 1 strings");
  other({{"question", "?"}, {"answers", {1}}}, "at least 1 strings");

  write_task(folder_, "broken", choice, {two_[0]});
  folder_.write("broken/items.jsonl", base::dump_json(two_[0]) + "\n{\"id\": ");
  EXPECT_THAT(base::message_of([&] { read_task(folder_ / "broken"); }), HasSubstr("items.jsonl:2"));
}

TEST_F(TaskFolder, WrongSettingsAreRefusedByFile) {
  const auto refused = [&](const std::string& settings, const char* rule) {
    EXPECT_THAT(message(settings, two_), AllOf(HasSubstr(rule), HasSubstr("task.toml")));
  };
  refused("", "kind is missing");
  refused("kind = \"quiz\"", "kind must be one of choice, generate: \"quiz\"");
  refused("kind = \"choice\"\nmetric = \"f1\"", "metric must be one of acc, acc_norm, acc_bytes, nats: \"f1\"");
  refused("kind = \"generate\"\nmetric = \"acc\"", "metric must be one of exact_match");
  refused("kind = \"choice\"\nquestoin = \"\"", "did you mean question?");
  refused("kind = \"choice\"\nstop = [\"x\"]", "unknown key: \"stop\"");
  refused("kind = \"generate\"\nstop = [\"\"]", "stop must be a list");
  refused("kind = \"choice\"\nquestion = \"{\"", "an opening brace");
  refused("kind = \"choice\"\n[shots]\ncount = 2", "a file or from a split: neither");
  refused("kind = \"choice\"\n[shots]\nfile = \"../x\"", "a name in the task's folder");
  refused("kind = \"choice\"\nkind", "task.toml");
}

TEST_F(TaskFolder, ATaskNeedsItsFilesAndAnItem) {
  EXPECT_THAT(message("kind = \"choice\"", {}), AllOf(HasSubstr("needs an item"), HasSubstr("items.jsonl")));
  auto train = two_;
  for (base::Json& item : train) item["split"] = "train";
  EXPECT_THAT(message("kind = \"choice\"\n[shots]\nsplit = \"train\"", train), HasSubstr("are shots"));
  EXPECT_THAT(base::message_of([&] { read_task(folder_ / "nowhere"); }), HasSubstr("it has no task.toml"));
  base::fs::remove(write_task(folder_, "exam", "kind = \"choice\"", two_) / "items.jsonl");
  EXPECT_THAT(base::message_of([&] { read_task(folder_ / "exam"); }), HasSubstr("no such file"));
}

}  // namespace
}  // namespace dsmoe::eval
