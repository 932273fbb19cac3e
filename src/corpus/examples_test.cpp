// Conversations as tokens: what is learnt of them, what is held out, how a step is put together.
#include "corpus/examples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "corpus/example_batches.h"
#include "corpus/test_corpus.h"

namespace dsmoe::corpus {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using tokenizer::ChatEncoder;
using tokenizer::ChatRole;

/// Bytes with <s> and </s>, and the markers that ChatML needs.
struct Chat {
  explicit Chat(const std::string& format) : tokenizer(spec()) {
    encoder.emplace(tokenizer, tokenizer::chat_format_named(format), tokenizer::ChatBinding{256, 257, "today"});
  }
  static tokenizer::TokenizerSpec spec() {
    tokenizer::TokenizerSpec spec = byte_tokenizer({"<s>", "</s>"});
    for (const std::string marker : {"<|im_start|>", "<|im_end|>"}) {
      spec.added_tokens.push_back({.id = static_cast<int32_t>(spec.tokens.size()), .content = marker, .special = true});
      spec.tokens.push_back(marker);
    }
    return spec;
  }
  /// The text of an example, what is learnt of it in brackets.
  std::string marked(const Example& example) const {
    std::string text;
    for (size_t i = 0; i < example.ids.size(); ++i) {
      const bool before = i > 0 && example.trained[i - 1];
      if (example.trained[i] && !before) text += "[";
      if (!example.trained[i] && before) text += "]";
      text += tokenizer.token_bytes(example.ids[i]);
    }
    return text + (example.trained.back() ? "]" : "");
  }
  tokenizer::Tokenizer tokenizer;
  std::optional<ChatEncoder> encoder;
};

Conversation conversation(const std::vector<std::string>& turns, const std::set<size_t>& left_out = {}) {
  Conversation conversation;
  for (size_t i = 0; i < turns.size(); ++i) {
    conversation.messages.push_back({i % 2 == 0 ? ChatRole::kUser : ChatRole::kAssistant, turns[i]});
    conversation.trained.push_back(i % 2 == 1 && !left_out.contains(i));
  }
  return conversation;
}

TEST(Examples, AnswersAndTheirEndsAreLearntAndNothingElse) {
  const Chat plain("plain"), chatml("chatml"), open("qwen1.5");
  const Conversation two = conversation({"q", "a", "r", "b"});
  EXPECT_EQ(plain.marked(encode_example(*plain.encoder, two)),
            "<s>User: q\n\nAssistant:[ a</s>]User: r\n\nAssistant:[ b</s>]");
  EXPECT_EQ(chatml.marked(encode_example(*chatml.encoder, two)),
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]\n"
            "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>]");
  EXPECT_THAT(open.marked(encode_example(*open.encoder, conversation({"q", "a"}))),
              HasSubstr("assistant\n[a<|im_end|>]"))
      << "a format that leaves the last message open";
  EXPECT_EQ(plain.marked(encode_example(*plain.encoder, conversation({"q", "a", "r", "b"}, {1}))),
            "<s>User: q\n\nAssistant: a</s>User: r\n\nAssistant:[ b</s>]");
  EXPECT_EQ(plain.marked(encode_example(*plain.encoder, conversation({"q", "a", "r", "b"}, {3}))),
            "<s>User: q\n\nAssistant:[ a</s>]")
      << "nothing behind what is learnt last";
  EXPECT_EQ(plain.marked(encode_example(*plain.encoder, conversation({"q", "</s>[x"}))),
            "<s>User: q\n\nAssistant:[ </s>[x</s>]")
      << "what spells a marker in an answer is text";
  EXPECT_EQ(encode_example(*plain.encoder, conversation({"q", "</s>"})).ids.back(), 257);
}

// The model is asked with the tokens that stood before the answer when it learnt.
TEST(Examples, BeginAsTheModelIsAsked) {
  for (const std::string format : {"plain", "chatml", "qwen2.5"}) {
    const Chat chat(format);
    const Example example = encode_example(*chat.encoder, conversation({"why?", "so"}));
    const Conversation question = conversation({"why?"});
    const std::vector<int32_t> asked = chat.encoder->encode(chat.encoder->render(question.messages, true));
    ASSERT_GT(example.ids.size(), asked.size());
    EXPECT_TRUE(std::equal(asked.begin(), asked.end(), example.ids.begin())) << format;
    for (size_t i = 0; i < example.ids.size(); ++i) EXPECT_EQ(example.trained[i], i >= asked.size()) << format << i;
  }
}

std::string line(const std::string& question, const std::string& answer) {
  return base::dump_json({{"instruction", question}, {"output", answer}}) + "\n";
}

class ExampleFiles : public ::testing::Test {
 protected:
  ExampleData read(const std::string& text, const ExampleOptions& options, const std::string& name = "qa.jsonl") {
    return read_examples({folder_.write(name, text)}, *chat_.encoder, options);
  }
  base::TestFolder folder_{"examples"};
  Chat chat_{"plain"};
};

TEST_F(ExampleFiles, LongOnesAreCutOrLeftOutAndCounted) {
  // "<s>User: q\n\nAssistant:" are 20 tokens.
  const std::string text = line("q", "abc") + line("q2", std::string(100, 'x')) + line(std::string(50, 'q'), "a");
  const ExampleData cut = read(text, {.longest = 40, .valid_share = 0});
  EXPECT_EQ(cut.read, 3);
  EXPECT_EQ(cut.cut, 1);
  EXPECT_EQ(cut.too_long, 1) << "its answer begins beyond the length";
  ASSERT_EQ(cut.train.size(), 2);
  EXPECT_EQ(cut.train.length(0), 19 + 5);
  EXPECT_EQ(cut.train.targets(0), 5);
  EXPECT_EQ(cut.train.length(1), 40);
  const ExampleData skipped = read(text, {.longest = 40, .long_examples = LongExamples::kSkip, .valid_share = 0});
  EXPECT_EQ(skipped.cut, 0);
  EXPECT_EQ(skipped.too_long, 2);
  EXPECT_EQ(skipped.train.size(), 1);
  TokenBatch batch;
  cut.train.add_to(0, batch);
  EXPECT_THAT(batch.lengths, ElementsAre(24));
  EXPECT_EQ(batch.targets[18], kNotScored);
  EXPECT_EQ(batch.targets[19], ' ');
  EXPECT_EQ(batch.targets[23], 257);
}

TEST_F(ExampleFiles, AQuestionIsOnOneSide) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += line("question " + std::to_string(i / 2), "answer " + std::to_string(i));
  const ExampleData data = read(text, {.valid_share = 0.1});
  EXPECT_EQ(data.train.size() + data.valid.size(), 200);
  EXPECT_EQ(data.valid.size(), 20);
  std::set<std::vector<int32_t>> held;
  const auto question = [](const ExampleSet& set, int64_t i) {
    TokenBatch batch;
    set.add_to(i, batch);
    batch.ids.resize(22);
    return batch.ids;
  };
  for (int64_t i = 0; i < data.valid.size(); ++i) held.insert(question(data.valid, i));
  for (int64_t i = 0; i < data.train.size(); ++i) EXPECT_FALSE(held.contains(question(data.train, i)));
  EXPECT_EQ(read(line("a", "b") + line("c", "d"), {.valid_share = 0.01}).valid.size(), 1) << "one at least";
  EXPECT_EQ(read(line("a", "b") + line("a", "d"), {.valid_share = 0.5}).train.size(), 2) << "never all";
}

TEST_F(ExampleFiles, AFaultStopsOrIsCounted) {
  const std::string text = line("q", "a") + "\n" + line("q", " ") + "{\n";
  EXPECT_THAT(base::message_of([&] { read(text, {}); }), AllOf(HasSubstr("qa.jsonl:3"), HasSubstr("answer")));
  const ExampleData data = read(text, {.faulty = FaultyExamples::kSkip, .valid_share = 0});
  EXPECT_EQ(data.faulty, 2);
  EXPECT_THAT(data.first_faulty, HasSubstr("qa.jsonl:3"));
  EXPECT_EQ(data.train.size(), 1);
  EXPECT_THAT(base::message_of([&] { read("{\n", {.faulty = FaultyExamples::kSkip}); }),
              AllOf(HasSubstr("left to learn from"), HasSubstr("1 faulty"), HasSubstr("qa.jsonl:1")));
  EXPECT_THAT(base::message_of([&] { read("\n\n", {}, "empty.jsonl"); }), HasSubstr("empty.jsonl holds none"));
  EXPECT_THAT(base::message_of([&] { read(line(std::string(99, 'q'), "a"), {.longest = 9}); }),
              AllOf(HasSubstr("1 too long"), HasSubstr("train.sequence_length")));
}

TEST_F(ExampleFiles, EveryExampleComesOnceAnEpochWholeAndWithoutPadding) {
  std::string text;
  for (int i = 0; i < 23; ++i) text += line("q", std::string(static_cast<size_t>(1 + i), 'x'));
  const ExampleData data = read(text, {.valid_share = 0});
  const ExampleBatches batches(data.train, {.seed = 3, .examples = 7, .micro_tokens = 80});
  EXPECT_EQ(batches.steps_for(2), 7);
  std::multiset<int64_t> lengths, all;
  for (int64_t i = 0; i < 23; ++i) all.insert(data.train.length(i));
  std::vector<std::vector<int64_t>> epochs;
  int64_t tokens = 0;
  for (int64_t step = 0; step < 23; ++step) {
    EXPECT_EQ(batches.tokens_before(step), tokens);
    StepSize seen;
    int64_t examples = 0;
    for (int64_t micro = 0; micro < batches.micro_batches(step); ++micro) {
      TokenBatch batch;
      batches.read(step, micro, batch);
      EXPECT_EQ(batch.ids.size(), batch.targets.size());
      EXPECT_LE(std::ssize(batch.ids), 80);
      seen.tokens += std::ssize(batch.ids);
      for (const int32_t target : batch.targets) seen.targets += target != kNotScored;
      examples += std::ssize(batch.lengths);
    }
    EXPECT_EQ(examples, 7);
    EXPECT_EQ(seen.tokens, batches.size(step).tokens);
    EXPECT_EQ(seen.targets, batches.size(step).targets);
    tokens += seen.tokens;
  }
  std::vector<int64_t> orders[2];
  for (int64_t n = 0; n < 46; ++n) orders[n / 23].push_back(batches.example(n));
  EXPECT_NE(orders[0], orders[1]) << "each epoch has an order of its own";
  for (auto& order : orders) {
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < 23; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  }
}

}  // namespace
}  // namespace dsmoe::corpus
