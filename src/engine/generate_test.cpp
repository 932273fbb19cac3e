// Generation: stop strings across any borders, whole characters only, every way to end, and bits that match logits.
#include "engine/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/utf8.h"
#include "engine/stop_filter.h"
#include "engine/testing.h"
#include "tokenizer/bpe_alphabet.h"

namespace dsmoe::engine {
namespace {

// However text is cut, what is shown is the text before the first stop string.
RC_GTEST_PROP(StopFilter, ShowsExactlyWhatComesBeforeTheFirstStop, ()) {
  const auto letters = rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab")));
  const auto text = *letters;
  const auto stops = *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty(letters));
  StopFilter filter(stops);
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const auto count = *rc::gen::inRange<size_t>(1, 4);
    shown += filter.push(text.substr(at, count));
    at += count;
  }
  if (!filter.stopped()) shown += filter.flush();
  size_t first = text.size();
  bool found = false;
  for (const auto& stop : stops) {
    const size_t at = text.find(stop);
    if (at == std::string::npos) continue;
    found = true;
    first = std::min(first, at);
  }
  RC_ASSERT(filter.stopped() == found);
  // With several stop strings, one that ends earlier may win over one that begins earlier, never the other way round.
  RC_ASSERT(shown.size() >= first);
  RC_ASSERT(text.compare(0, shown.size(), shown) == 0);
  for (const auto& stop : stops) RC_ASSERT(shown.find(stop) == std::string::npos);
  if (stops.size() <= 1) RC_ASSERT(shown.size() == first);
}

TEST(StopFilter, AnEmptyStopIsRefused) { EXPECT_THROW(StopFilter({"a", ""}), base::Error); }

/// A model that, greedily, says given pieces one after another and then eos. Token i says piece i - 1, token 0 is eos
/// and the last one begins; embeddings are one-hot, layers add nothing, and the head's row of a token looks at the one
/// before it.
class Talker {
 public:
  explicit Talker(const std::vector<std::string>& pieces, int64_t positions = 40) {
    tokenizer::TokenizerSpec spec;
    spec.tokens = {"<end>"};
    for (const auto& piece : pieces) spec.tokens.push_back(tokenizer::bytes_to_alphabet(piece));
    start_ = static_cast<int32_t>(spec.tokens.size());
    spec.tokens.push_back("<start>");
    tokenizer_ = std::make_unique<tokenizer::Tokenizer>(spec);

    spec::ModelConfig config;
    config.vocab_size = start_ + 1;
    config.hidden_size = (start_ + 2) / 2 * 2;
    config.num_hidden_layers = config.num_attention_heads = config.num_key_value_heads = 1;
    config.intermediate_size = 2;
    config.max_position_embeddings = positions;
    config.bos_token_id = start_;
    config.eos_token_id = 0;
    FloatTensors tensors;
    spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
      const bool norm = tensor.role == spec::TensorRole::kNorm;
      tensors[tensor.name] = {tensor.shape, std::vector<float>(static_cast<size_t>(tensor.numel()), norm ? 1.f : 0.f)};
    });
    const auto D = static_cast<size_t>(config.hidden_size), V = static_cast<size_t>(config.vocab_size);
    for (size_t token = 0; token < V; ++token) {
      tensors["model.embed_tokens.weight"].values[token * D + token] = 1;
      const size_t next = token + 1 == V ? 1 : token + 2 == V ? 0 : token + 1;
      tensors["lm_head.weight"].values[next * D + token] = 10;
    }
    engine_ = std::make_unique<Engine>(Weights::from_tensors(config, std::move(tensors)), EngineOptions{1});
  }

  Generation say(GenerateOptions options, int give_up_after = 1000) {
    options.sampling.temperature = 0;
    if (options.ends.empty()) options.ends = {0};
    shown.clear();
    Session session(*engine_);
    const std::vector<int32_t> prompt = {start_};
    return generate(session, engine_->config(), prompt, options, tokenizer_.get(), [&](int32_t, std::string_view text) {
      shown.emplace_back(text);
      return static_cast<int>(shown.size()) < give_up_after;
    });
  }
  std::vector<std::string> shown;

 private:
  std::unique_ptr<tokenizer::Tokenizer> tokenizer_;
  std::unique_ptr<Engine> engine_;
  int32_t start_ = 0;
};

GenerateOptions stopping_at(std::vector<std::string> stops) {
  GenerateOptions options;
  options.stop = std::move(stops);
  return options;
}

TEST(Generate, EndsWithTheDocument) {
  Talker talker({"Once", " upon", " a time"});
  const Generation result = talker.say({});
  EXPECT_EQ(result.text, "Once upon a time");
  EXPECT_EQ(result.tokens, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(result.finish, Finish::kEos);
  EXPECT_EQ(talker.shown, (std::vector<std::string>{"Once", " upon", " a time"}));
}

TEST(Generate, EndsAtItsLimits) {
  Talker talker({"a", "b", "c", "d"}, 4);
  GenerateOptions options;
  options.max_tokens = 2;
  EXPECT_EQ(talker.say(options).text, "ab");
  EXPECT_EQ(talker.say(options).finish, Finish::kLength);
  options.max_tokens = 0;
  EXPECT_EQ(talker.say(options).text, "");
  options.max_tokens = -1;
  const Generation full = talker.say(options);  // prompt and three tokens fill four positions; a fourth is sampled
  EXPECT_EQ(full.text, "abcd");
  EXPECT_EQ(full.finish, Finish::kContext);
  EXPECT_EQ(talker.say({}, 3).finish, Finish::kInterrupted);
  EXPECT_EQ(talker.shown.size(), 3u);
}

TEST(Generate, AnyOfTheEndsEnds) {
  Talker talker({"a", "b", "c"});
  GenerateOptions options;
  options.ends = {0, 3};
  EXPECT_EQ(talker.say(options).tokens, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(talker.say(options).finish, Finish::kEos);
  options.ends = {2, 0};
  EXPECT_EQ(talker.say(options).text, "a");
}

TEST(Generate, IgnoredEndsAreNeverChosen) {
  Talker talker({"x", "y", "z"});
  GenerateOptions options;
  options.ends = {0, 2};
  options.ignore_eos = true;
  options.max_tokens = 12;
  const Generation result = talker.say(options);
  EXPECT_EQ(result.finish, Finish::kLength);
  EXPECT_EQ(result.tokens.size(), 12u);
  for (const int32_t end : options.ends) EXPECT_THAT(result.tokens, ::testing::Not(::testing::Contains(end)));
}

// A penalty weakens what the whole text holds, and not only what the session had not read yet.
TEST(Generate, GoesOnFromWhatTheSessionHolds) {
  Engine engine(testing::random_weights(testing::small_config()), {.threads = 1});
  const auto prompt = testing::random_ids(engine.config(), 9);
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.sampling.repeat_penalty = 3;
  options.sampling.repeat_last_n = -1;
  options.max_tokens = 12;
  const auto after = [&](size_t held) {
    Session session(engine);
    if (held > 0) session.append(std::span(prompt).first(held));
    return generate(session, engine.config(), prompt, options, nullptr, [](int32_t, std::string_view) { return true; })
        .tokens;
  };
  const auto fresh = after(0);
  EXPECT_EQ(after(5), fresh);
  EXPECT_EQ(after(8), fresh);
  options.sampling.repeat_penalty = 1;
  EXPECT_NE(after(0), fresh) << "the penalty has something to do here";
}

TEST(Generate, EndsWithAnyOfItsEnds) {
  Talker talker({"Once", " upon", " a time"});
  GenerateOptions options;
  options.ends = {30, 2};
  const Generation result = talker.say(options);
  EXPECT_EQ(result.text, "Once");
  EXPECT_EQ(result.finish, Finish::kEos);
}

TEST(Generate, StopStringsMayCrossTokens) {
  Talker talker({"one", "\nUs", "er: ", "two"});
  const Generation result = talker.say(stopping_at({"\nUser:"}));
  EXPECT_EQ(result.text, "one");
  EXPECT_EQ(result.finish, Finish::kStop);
  EXPECT_EQ(result.tokens.size(), 3u) << "the token that completed the stop string is the last";
  EXPECT_EQ(talker.shown, (std::vector<std::string>{"one", "", ""}));
  EXPECT_EQ(talker.say(stopping_at({"er: x", "never"})).text, "one\nUser: two") << "what was kept back comes out";
}

// A character cut over tokens is shown whole, and a broken one as U+FFFD; nothing shown is ever invalid UTF-8.
TEST(Generate, NeverSplitsACharacter) {
  Talker talker({"\xe4", "\xb8\xad", "\xf0\x9f", "\x98", "\x80!", "\xe4\xb8"});
  const Generation result = talker.say({});
  EXPECT_EQ(result.text, "\xe4\xb8\xad\xf0\x9f\x98\x80!\xef\xbf\xbd");
  for (const auto& piece : talker.shown) EXPECT_EQ(base::first_invalid_utf8(piece), std::string::npos);
  EXPECT_EQ(talker.shown,
            (std::vector<std::string>{"", "\xe4\xb8\xad", "", "", "\xf0\x9f\x98\x80!", "", "\xef\xbf\xbd"}));
  EXPECT_EQ(talker.say(stopping_at({"\xf0\x9f\x98\x80"})).text, "\xe4\xb8\xad");
}

TEST(Generate, StopsWithoutATokenizerAreRefused) {
  Engine engine(testing::random_weights(testing::small_config()), {.threads = 1});
  Session session(engine);
  const std::vector<int32_t> prompt = {1};
  EXPECT_THROW(generate(session, engine.config(), prompt, stopping_at({"x"}), nullptr,
                        [](int32_t, std::string_view) { return true; }),
               base::Error);
  const Generation ids = generate(session, engine.config(), prompt, {}, nullptr,
                                  [](int32_t, std::string_view text) { return text.empty(); });
  EXPECT_GT(ids.tokens.size(), 0u);
  EXPECT_EQ(ids.text, "");
}

// Greedy generation is the arg max of the logits that appending its own output gives.
TEST(Generate, GreedyTokensAreTheLikeliestOnes) {
  Engine engine(testing::random_weights(testing::small_config()), {.threads = 2});
  Session session(engine), again(engine);
  const auto prompt = testing::random_ids(engine.config(), 9);
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.ignore_eos = true;
  options.max_tokens = 30;
  const auto result =
      generate(session, engine.config(), prompt, options, nullptr, [](int32_t, std::string_view) { return true; });
  auto all = prompt;
  all.insert(all.end(), result.tokens.begin(), result.tokens.end());
  const auto logits = again.append_all(all);
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    const auto row = logits.subspan((prompt.size() - 1 + i) * 37, 37);
    EXPECT_EQ(result.tokens[i], std::max_element(row.begin(), row.end()) - row.begin());
  }
}

}  // namespace
}  // namespace dsmoe::engine
