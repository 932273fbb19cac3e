// Perplexity: a model that knows nothing scores log V, figures do not depend on pieces, every byte is counted once.
#include "eval/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "corpus/test_corpus.h"
#include "engine/reference.h"
#include "engine/testing.h"

namespace dsmoe::eval {
namespace {

engine::Engine byte_model(int64_t vocab, bool knows_nothing, int64_t positions = 24) {
  auto config = engine::testing::small_config();
  config.vocab_size = vocab;
  config.max_position_embeddings = positions;
  config.bos_token_id = 256, config.eos_token_id = 257;
  auto tensors = engine::testing::random_tensors(config, 3);
  if (knows_nothing) {
    for (float& value : tensors["lm_head.weight"].values) value = 0;
  }
  return engine::Engine(engine::Weights::from_tensors(config, std::move(tensors)), {.threads = 2});
}

tokenizer::Tokenizer byte_tokenizer() { return tokenizer::Tokenizer(corpus::byte_tokenizer()); }

TEST(TokenNats, IsTheNegativeLogOfTheSoftmax) {
  const std::vector<float> logits = {1, 2, 3, -50, 3};
  double total = 0;
  for (const float x : logits) total += std::exp(double{x});
  for (int32_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(token_nats(logits, i), std::log(total) - logits[static_cast<size_t>(i)], 1e-6) << i;
  }
  EXPECT_NEAR(token_nats(std::vector<float>{1e30f, 0}, 1) / 1e30, 1, 1e-6) << "no overflow";
}

TEST(TextPerplexity, AModelThatKnowsNothingScoresLogV) {
  auto engine = byte_model(300, true);
  std::vector<int64_t> progress;
  const std::string text = "The quick brown fox jumps over the lazy dog, \xe4\xb8\xad!";
  const Perplexity result = perplexity(engine, byte_tokenizer(), text, {}, [&](int64_t done, int64_t all) {
    progress = {done, all};
  });
  EXPECT_EQ(result.total.tokens, static_cast<int64_t>(text.size()));
  EXPECT_EQ(result.total.bytes, static_cast<int64_t>(text.size()));
  EXPECT_NEAR(result.total.nats_per_token(), std::log(300), 1e-6);
  EXPECT_NEAR(result.total.bits_per_byte(), std::log2(300), 1e-6);
  EXPECT_EQ(progress, (std::vector<int64_t>{result.total.tokens, result.total.tokens}));
}

// Window by window, by hand, with the reference.
TEST(TextPerplexity, IsTheSumOverWindowsThatTheDefinitionGives) {
  auto engine = byte_model(300, false, 10);
  const std::string text = "abcdefghijklmnopqrstuvw";  // with bos, windows of 10, 10 and 3 inputs
  std::vector<int32_t> ids = {256};
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  double nats = 0;
  for (size_t at = 0; at + 1 < ids.size(); at += 10) {
    const size_t count = std::min<size_t>(10, ids.size() - 1 - at);
    const auto defined = engine::reference_forward(engine.weights(), std::span(ids).subspan(at, count));
    for (size_t t = 0; t < count; ++t) {
      double total = 0;
      for (size_t v = 0; v < 300; ++v) total += std::exp(defined.logits_TV[t * 300 + v]);
      nats += std::log(total) - defined.logits_TV[t * 300 + static_cast<size_t>(ids[at + t + 1])];
    }
  }
  const Perplexity result = perplexity(engine, byte_tokenizer(), text, {});
  EXPECT_NEAR(result.total.nats, nats, 1e-3);
  EXPECT_EQ(result.total.tokens, 23);
}

TEST(TextPerplexity, TheSecondHalfOfWholeWindowsIsWhatLlamaPerplexityScores) {
  auto engine = byte_model(300, false);
  const std::string text = "abcdefghijklmnopqrs";  // two windows of eight, and three that are left out
  const Perplexity result = perplexity(engine, byte_tokenizer(), text, {.sequence_length = 8, .second_half = true});
  EXPECT_EQ(result.total.tokens, 2 * 3) << "of a window of 8, the tokens at 5, 6 and 7";
  EXPECT_EQ(result.total.bytes, 2 * 3);
  double nats = 0;
  const std::vector<int32_t> ids = byte_tokenizer().encode(text);
  for (const size_t window : {0, 8}) {
    engine::Session session(engine);
    const auto logits = session.append_all(std::span(ids).subspan(window, 7));
    for (size_t t = 4; t < 7; ++t) nats += token_nats(logits.subspan(t * 300, 300), ids[window + t + 1]);
  }
  EXPECT_NEAR(result.total.nats, nats, 1e-9);
  EXPECT_THROW(perplexity(engine, byte_tokenizer(), "abc", {.sequence_length = 8, .second_half = true}), base::Error);
}

TEST(TextPerplexity, EverySecondHalfsWindowBeginsWithBosWhereTheTextDoes) {
  auto engine = byte_model(300, false);
  const tokenizer::Tokenizer tokenizer(corpus::byte_tokenizer({"<s>", "</s>"}));
  const std::string text = "abcdefgHijklmno";  // with bos two windows of eight, the second in the place of H
  const Perplexity result = perplexity(engine, tokenizer, text, {.sequence_length = 8, .second_half = true});
  EXPECT_EQ(result.total.tokens, 2 * 3);
  double nats = 0;
  for (const char* bytes : {"abcdefg", "ijklmno"}) {
    const std::vector<int32_t> ids = tokenizer.encode(bytes, true);
    engine::Session session(engine);
    const auto logits = session.append_all(std::span(ids).first(7));
    for (size_t t = 4; t < 7; ++t) nats += token_nats(logits.subspan(t * 300, 300), ids[t + 1]);
  }
  EXPECT_NEAR(result.total.nats, nats, 1e-9);
}

TEST(TextPerplexity, RefusesWhatCannotBeScored) {
  auto engine = byte_model(300, true);
  EXPECT_THROW(perplexity(engine, byte_tokenizer(), "", {}), base::Error);
  EXPECT_THROW(perplexity(engine, byte_tokenizer(), "abc", {.sequence_length = 25}), base::Error);
}

class CorpusPerplexity : public ::testing::Test {
 protected:
  CorpusPerplexity() {
    corpus::BuildOptions options;
    options.valid_share = 0;
    corpus::build_test_corpus(folder_, {{"prose", {"once upon a time", "there was"}}, {"code", {"int main() {}", "x"}}},
                              corpus::byte_encoder(), options);
  }
  corpus::TokenDataset corpus() const { return corpus::TokenDataset::open(folder_ / "out", "train"); }
  base::TestFolder folder_;
};

TEST_F(CorpusPerplexity, ScoresEveryDomainAndTheirSum) {
  auto engine = byte_model(258, true);
  int64_t last = 0;
  const Perplexity result = perplexity(engine, corpus(), {}, [&](int64_t done, int64_t) { last = done; });
  ASSERT_EQ(result.domains.size(), 2u);
  EXPECT_EQ(result.domains[0].name, "prose");
  // Every byte, bos and eos of two documents, but for the first token of the domain.
  EXPECT_EQ(result.domains[0].score.tokens, 25 + 4 - 1);
  EXPECT_EQ(result.domains[0].score.bytes, 25);
  EXPECT_NEAR(result.domains[0].score.nats, 28 * std::log(258), 1e-4);
  EXPECT_EQ(result.total.tokens, result.domains[0].score.tokens + result.domains[1].score.tokens);
  EXPECT_EQ(result.total.bytes, 25 + 14);
  EXPECT_EQ(last, result.total.tokens);
}

TEST_F(CorpusPerplexity, AWindowIsScoredAsItsLogitsSay) {
  auto engine = byte_model(258, false);
  const Perplexity result = perplexity(engine, corpus(), {.sequence_length = 7});
  const auto dataset = corpus();
  const corpus::ValidationWindows windows(dataset, 7);
  std::vector<int32_t> inputs(7), targets(7);
  double nats = 0;
  for (int64_t w = 0; w < windows.size(); ++w) {
    windows.read(w, inputs, targets);
    engine::Session session(engine);
    const auto logits = session.append_all(inputs);  // padding included: it must not matter
    for (size_t t = 0; t < 7; ++t) {
      if (targets[t] != corpus::kNotScored) nats += token_nats(logits.subspan(t * 258, 258), targets[t]);
    }
  }
  EXPECT_DOUBLE_EQ(result.total.nats, nats);
}

// A document's nats are those of its tokens, wherever the windows begin.
TEST_F(CorpusPerplexity, DocumentsHaveWhatTheirTokensScored) {
  auto engine = byte_model(258, false);
  const Perplexity result = perplexity(engine, corpus(), {.sequence_length = 7});
  const std::vector<std::string> texts = {"once upon a time", "there was", "int main() {}", "x"};
  ASSERT_EQ(result.documents.size(), texts.size());
  for (size_t domain = 0; domain < 2; ++domain) {
    std::vector<int32_t> stream = corpus::framed(texts[2 * domain]);
    const size_t second = stream.size();
    for (const int32_t id : corpus::framed(texts[2 * domain + 1])) stream.push_back(id);
    std::vector<double> nats(2);
    for (size_t at = 0; at + 1 < stream.size(); at += 7) {
      const std::span<const int32_t> window = std::span(stream).subspan(at, std::min<size_t>(8, stream.size() - at));
      engine::Session session(engine);
      const auto logits = session.append_all(window.first(window.size() - 1));
      for (size_t t = 0; t + 1 < window.size(); ++t) {
        nats[at + t + 1 < second ? 0 : 1] += token_nats(logits.subspan(t * 258, 258), window[t + 1]);
      }
    }
    for (size_t i = 0; i < 2; ++i) {
      const DocumentScore& document = result.documents[2 * domain + i];
      const std::string& text = texts[2 * domain + i];
      EXPECT_EQ(document.domain, domain == 0 ? "prose" : "code");
      EXPECT_EQ(document.score.bytes, std::ssize(text));
      EXPECT_EQ(document.score.tokens, std::ssize(text) + 2 - (i == 0 ? 1 : 0)) << "a domain's first is not scored";
      EXPECT_DOUBLE_EQ(document.score.nats, nats[i]) << text;
    }
  }
}

TEST_F(CorpusPerplexity, ALimitKeepsTheScoresOfItsDocuments) {
  auto engine = byte_model(258, false);
  const Perplexity result = perplexity(engine, corpus(), {.token_limit = 25});
  ASSERT_EQ(result.documents.size(), 2u) << "one of each domain";
  EXPECT_EQ(result.total.tokens, result.documents[0].score.tokens + result.documents[1].score.tokens);
  EXPECT_EQ(result.total.bytes, result.documents[0].score.bytes + result.documents[1].score.bytes);
}

TEST_F(CorpusPerplexity, AnEmptySplitIsRefused) {
  auto engine = byte_model(258, true);
  const auto empty = corpus::TokenDataset::open(folder_ / "out", "valid");
  const std::string message = base::message_of([&] { perplexity(engine, empty, {}); });
  EXPECT_THAT(message, ::testing::HasSubstr("valid")) << message;
}

TEST_F(CorpusPerplexity, ASmallerVocabularyIsRefused) {
  auto config = engine::testing::small_config();
  engine::Engine engine(engine::testing::random_weights(config), {.threads = 1});
  try {
    perplexity(engine, corpus(), {});
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("258 and 37"));
  }
}

}  // namespace
}  // namespace dsmoe::eval
