// Counting experts over a corpus: every token of it once a layer, and for models with more rows than it has tokens.
#include "study/routing_study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "corpus/test_corpus.h"
#include "engine/testing.h"

namespace dsmoe::study {
namespace {

class RoutingStudy : public ::testing::Test {
 protected:
  RoutingStudy() {
    corpus::BuildOptions options;
    options.valid_share = 0;
    corpus::build_test_corpus(folder_, {{"prose", {"once upon a time", "there was"}}, {"code", {"int main() {}", "x"}}},
                              corpus::byte_encoder(), options);
  }
  RoutingCounts study(int64_t vocab_size) const {
    auto config = engine::testing::small_config();
    config.vocab_size = vocab_size;
    engine::Engine engine(engine::testing::random_weights(config), {.threads = 1});
    return study_routing(engine, corpus::TokenDataset::open(folder_ / "out", "train"));
  }
  base::TestFolder folder_{"routing_study"};
};

TEST_F(RoutingStudy, EveryTokenIsCountedInEveryLayerAlsoWhereTheVocabularyIsPadded) {
  for (const int64_t vocab_size : {258, 320}) {
    const RoutingCounts counts = study(vocab_size);
    EXPECT_EQ(counts.tokens, (std::vector<int64_t>{25 + 4 - 1, 14 + 4 - 1}));
    for (const auto& layer : counts.counts) {
      for (size_t domain = 0; domain < 2; ++domain) {
        EXPECT_EQ(std::accumulate(layer[domain].begin(), layer[domain].end(), int64_t{0}),
                  counts.tokens[domain] * counts.num_experts_per_tok);
      }
    }
  }
}

TEST_F(RoutingStudy, DamagedWeightsAreNotCounted) {
  auto config = engine::testing::small_config();
  config.vocab_size = 258;
  auto tensors = engine::testing::random_tensors(config, 1);
  tensors.at("model.layers.0.self_attn.o_proj.weight").values.front() = std::nanf("");
  engine::Engine engine(engine::Weights::from_tensors(config, tensors), {.threads = 1});
  try {
    study_routing(engine, corpus::TokenDataset::open(folder_ / "out", "train"));
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kNonFinite);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("the router's weights are not finite: layer 0"));
  }
}

TEST_F(RoutingStudy, ACorpusOfMoreTokensThanRowsIsRefused) {
  try {
    study(257);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("258 and 257"));
  }
}

}  // namespace
}  // namespace dsmoe::study
