// The whole study on tiny models against brute force over the engine's reference; tokens and pairs on routing that is
// known; the record's length.
#include "study/routing_study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "base/error.h"
#include "corpus/test_corpus.h"
#include "corpus/validation.h"
#include "engine/reference.h"
#include "engine/testing.h"
#include "study/routing_testing.h"
#include "study/routing_text.h"
#include "study/token_text.h"

namespace dsmoe::study {
namespace {

using testing::draw, testing::make_trace, testing::TraceShape;
using ::testing::HasSubstr;

class RoutingStudyTest : public ::testing::Test {
 protected:
  RoutingStudyTest() {
    corpus::BuildOptions options;
    options.valid_share = 0;
    corpus::build_test_corpus(
        folder_,
        {{"prose", {"once upon a time there was", "there was once"}}, {"code", {"int main() {}", "x = x + 1"}}},
        corpus::byte_encoder(), options);
  }
  corpus::TokenDataset dataset() const { return corpus::TokenDataset::open(folder_ / "out", "train"); }
  static spec::ModelConfig byte_config(const std::string& odd, int64_t vocab_size = 258) {
    spec::ModelConfig config = engine::testing::odd_config(odd).config;
    config.vocab_size = vocab_size;
    return config;
  }
  RoutingStudy study(const spec::ModelConfig& config, RoutingStudyOptions options = {}) const {
    engine::Engine engine(engine::testing::random_weights(config), {.threads = 1, .chunk = 7});
    return study_routing(engine, dataset(), std::move(options));
  }
  base::TestFolder folder_{"routing_study"};
};

TEST_F(RoutingStudyTest, EveryTokenIsCountedInEveryLayerAlsoWhereTheVocabularyIsPadded) {
  for (const int64_t vocab_size : {258, 320}) {
    const RoutingCounts counts = study(byte_config("softmax_topk", vocab_size)).counts;
    EXPECT_EQ(counts.tokens, (std::vector<int64_t>{28 + 16 - 1, 15 + 11 - 1}));
    for (const auto& layer : counts.counts) {
      for (size_t domain = 0; domain < 2; ++domain) {
        EXPECT_EQ(std::accumulate(layer[domain].begin(), layer[domain].end(), int64_t{0}),
                  counts.tokens[domain] * counts.num_experts_per_tok);
      }
    }
  }
}

// What a layer did, from the reference's choices: each token's experts, how often an expert met a token id, and how
// often and how alike (cosines summed) two experts wrote of one token.
struct LayerFacts {
  std::vector<std::vector<int32_t>> picks;
  std::map<std::pair<int, int32_t>, int64_t> takes;
  std::map<std::pair<int, int>, std::pair<int64_t, double>> together;

  void add(int32_t token, const engine::Reference::Choice& choice) {
    picks.push_back(choice.experts);
    const auto dot = [&](size_t a, size_t b) {
      return std::inner_product(choice.outputs[a].begin(), choice.outputs[a].end(), choice.outputs[b].begin(), 0.0);
    };
    for (size_t i = 0; i < choice.experts.size(); ++i) {
      ++takes[{choice.experts[i], token}];
      for (size_t j = 0; j < choice.experts.size(); ++j) {
        if (choice.experts[i] >= choice.experts[j]) continue;
        auto& [count, cosine] = together[{choice.experts[i], choice.experts[j]}];
        ++count;
        cosine += dot(i, j) / std::sqrt(dot(i, i) * dot(j, j));
      }
    }
  }
};

// [L], window by window, token by token.
std::vector<LayerFacts> brute_force(const engine::Weights& weights, const corpus::TokenDataset& text,
                                    const std::vector<int64_t>& layers, int64_t window) {
  const corpus::ValidationWindows windows(text, window);
  std::vector<int32_t> inputs(static_cast<size_t>(window)), targets(inputs.size());
  std::vector<LayerFacts> facts(layers.size());
  for (int64_t w = 0; w < windows.size(); ++w) {
    windows.read(w, inputs, targets);
    const auto want =
        engine::reference_forward(weights, std::span(inputs).first(static_cast<size_t>(windows.scored(w))));
    for (size_t t = 0; t < want.margins_T.size(); ++t) {
      EXPECT_GT(want.margins_T[t], 1e-6) << "choose another seed, float32 may choose otherwise";
      for (size_t l = 0; l < layers.size(); ++l)
        facts[l].add(inputs[t], want.choices[static_cast<size_t>(layers[l])][t]);
    }
  }
  return facts;
}

void expect_facts(const RoutingStudy& got, size_t l, LayerFacts& want) {
  ASSERT_EQ(static_cast<int64_t>(want.picks.size()), got.trace.size());
  for (size_t t = 0; t < want.picks.size(); ++t) {
    ASSERT_TRUE(std::ranges::equal(got.trace.picks(l, static_cast<int64_t>(t)), want.picks[t])) << "token " << t;
  }
  const ExpertPairs& pairs = got.pairs[l];
  const ExpertSimilarity& similarity = got.similarity[l];
  for (int a = 0; a < got.counts.n_routed_experts; ++a) {
    for (const ExpertToken& one : got.tokens[l][static_cast<size_t>(a)].tokens) {
      EXPECT_EQ(one.count, (want.takes[{a, one.id}]));
    }
    for (int b = a + 1; b < got.counts.n_routed_experts; ++b) {
      const auto [count, cosine] = want.together[{a, b}];
      EXPECT_EQ(pairs.counts[pairs.at(b, a)], count);
      EXPECT_EQ(similarity.counts[similarity.at(a, b)], count);
      EXPECT_NEAR(similarity.cosines[similarity.at(a, b)], cosine, 1e-4 * (1.0 + static_cast<double>(count)));
    }
  }
}

TEST_F(RoutingStudyTest, IsWhatBruteForceOverTheDefinitionFinds) {
  RoutingStudyOptions options;
  options.sequence_length = 20;
  for (const char* name : {"softmax_topk", "no_shared_many_experts", "first_layers_dense", "gshard", "hash_two",
                           "deepseek_v3_groups", "all_experts"}) {
    SCOPED_TRACE(name);
    const spec::ModelConfig config = byte_config(name);
    const RoutingStudy got = study(config, options);
    auto facts = brute_force(engine::testing::random_weights(config), dataset(), got.trace.layers, 20);
    for (size_t l = 0; l < facts.size(); ++l) expect_facts(got, l, facts[l]);
    EXPECT_EQ(got.router_entropy.empty(), std::string(name) == "hash_two");
    for (const double bits : got.router_entropy) {
      EXPECT_GT(bits, 0);
      EXPECT_LE(bits, std::log2(static_cast<double>(config.n_routed_experts)) + 1e-6);
    }
  }
}

// Each expert of a model becomes two identical ones: the router's rows and the experts' tensors twice.
TEST_F(RoutingStudyTest, AModelOfSplitExpertsSpecialisesAsTheWholeOne) {
  spec::ModelConfig coarse = byte_config("normalised_gates"), fine = coarse;
  fine.n_routed_experts *= 2, fine.num_experts_per_tok *= 2;
  const auto tensors = engine::testing::random_tensors(coarse, 1);
  engine::FloatTensors split;
  spec::for_each_tensor(fine, [&](const spec::TensorSpec& tensor) {
    std::string name = tensor.name;
    if (const size_t at = name.find(".experts."); at != std::string::npos) {
      const size_t begin = at + 9, end = name.find('.', begin);
      name.replace(begin, end - begin, std::to_string(std::stoi(name.substr(begin, end - begin)) / 2));
    }
    auto values = tensors.at(name);
    if (tensor.role == spec::TensorRole::kRouter) {
      std::vector<float> twice;
      const auto width = static_cast<std::ptrdiff_t>(coarse.hidden_size);
      for (auto row = values.values.begin(); row != values.values.end(); row += width) {
        for (int i = 0; i < 2; ++i) twice.insert(twice.end(), row, row + width);
      }
      values = {tensor.shape, std::move(twice)};
    }
    split[tensor.name] = std::move(values);
  });
  engine::Engine whole(engine::Weights::from_tensors(coarse, tensors), {.threads = 1}),
      halves(engine::Weights::from_tensors(fine, split), {.threads = 1});
  const RoutingStudy a = study_routing(whole, dataset()), b = study_routing(halves, dataset());
  for (size_t l = 0; l < a.domains.size(); ++l) {
    EXPECT_NEAR(a.domains[l].pick.share(), b.domains[l].pick.share(), 1e-9);
    EXPECT_NEAR(a.domains[l].token.share(), b.domains[l].token.share(), 1e-9);
    EXPECT_NE(a.domains[l].pick.share(), 0);
    EXPECT_GT(b.pairs[l].bits, a.pairs[l].bits) << "partners";
    EXPECT_GT(b.similarity[l].most_alike(1).at(0).cosine, 0.999) << "identical experts are alike";
  }
}

TEST_F(RoutingStudyTest, DamagedWeightsAreNotCounted) {
  const spec::ModelConfig config = byte_config("softmax_topk");
  auto tensors = engine::testing::random_tensors(config, 1);
  tensors.at("model.layers.0.self_attn.o_proj.weight").values.front() = std::nanf("");
  engine::Engine engine(engine::Weights::from_tensors(config, tensors), {.threads = 1});
  const std::vector<int32_t> ids = {1, 2, 3};
  const std::vector<std::function<void()>> ways = {[&] { study_routing(engine, dataset()); },
                                                   [&] { route_text(engine, ids); }};
  for (const auto& way : ways) {
    try {
      way();
      FAIL();
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kNonFinite);
      EXPECT_THAT(error.what(), HasSubstr("the router's weights are not finite: layer 0"));
    }
  }
}

TEST_F(RoutingStudyTest, WhatCannotBeStudiedIsRefused) {
  const auto message = [&](const spec::ModelConfig& config) -> std::string {
    try {
      study(config);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message(byte_config("softmax_topk", 257)), HasSubstr("258 and 257"));
  EXPECT_THAT(message(byte_config("dense_llama_grouped_heads")), HasSubstr("the model has no mixture layer"));
  engine::Engine engine(engine::testing::random_weights(byte_config("softmax_topk")), {.threads = 1});
  EXPECT_THROW(study_routing(engine, corpus::TokenDataset::open(folder_ / "out", "valid")), base::Error);
}

TEST(RoutingTokens, ThoseThatAnExpertTakesMoreThanByChanceInOrder) {
  const TraceShape shape{.experts = 3, .picks = 1, .domains = 1, .windows = 2, .window = 30};
  int64_t at = 0;  // token ids are 0, 1, 2, 0, ...; 0 goes to expert 0, 1 mostly to 1, 2 to any
  const RoutingTrace trace = make_trace(shape, [&](base::Rng& rng, size_t, size_t) {
    const int64_t t = at++;
    const auto any = static_cast<uint16_t>(rng.below(3));
    return std::vector<uint16_t>{t % 3 == 0 ? uint16_t{0} : t % 3 == 1 && t % 4 > 0 ? uint16_t{1} : any};
  });
  const auto experts = tokens_by_expert(trace, 2).at(0);
  ASSERT_FALSE(experts[0].tokens.empty());
  EXPECT_EQ(experts[0].tokens[0].id, 0);
  EXPECT_EQ(experts[0].tokens[0].count, 20);
  EXPECT_DOUBLE_EQ(experts[0].tokens[0].share, 1);
  EXPECT_DOUBLE_EQ(experts[0].tokens[0].lift, 60.0 / static_cast<double>(experts[0].picks));
  EXPECT_EQ(experts[1].tokens[0].id, 1);
  EXPECT_EQ(experts[0].picks + experts[1].picks + experts[2].picks, 60);
  for (size_t e = 0; e < 3; ++e) {
    EXPECT_LE(experts[e].tokens.size(), 2u);
    for (const ExpertToken& token : experts[e].tokens) {
      EXPECT_EQ(trace.tokens[static_cast<size_t>(token.example)], token.id);
      EXPECT_EQ(trace.picks(0, token.example)[0], e);
      EXPECT_GT(token.lift, 1);
      EXPECT_GE(token.count, 3);
    }
  }
}

TEST(RoutingPairs, RandomPicksMeetAsOftenAsByChance) {
  const TraceShape shape{.experts = 8, .picks = 2, .domains = 1, .windows = 1, .window = 40000};
  // Loads differ by a factor of four: still no pair is more than its loads say.
  std::vector<double> weights;
  for (int e = 0; e < 8; ++e) weights.push_back(1 + 3.0 * e / 7);
  const RoutingTrace even = make_trace(shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape); });
  const RoutingTrace uneven =
      make_trace(shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape, weights); });
  const ExpertPairs pairs = pairs_of_experts(even).at(0), loaded = pairs_of_experts(uneven).at(0);
  EXPECT_NEAR(pairs.bits, pairs.chance, 5 * pairs.chance);
  EXPECT_NEAR(pairs.lift(2, 5), 1, 0.1);
  EXPECT_LT(loaded.bits, 0.002);
  for (const ExpertPairs* one : {&pairs, &loaded}) {
    for (int64_t a = 0; a < 8; ++a) {
      double sum = 0, want = 0;
      for (int64_t b = 0; b < 8; ++b) {
        sum += one->expected[one->at(a, b)];
        want += static_cast<double>(one->counts[one->at(a, b)]);
      }
      EXPECT_NEAR(sum, want, 1e-6 * want) << "chance has the loads";
    }
  }
}

TEST(RoutingPairs, PartnersAreFound) {
  const TraceShape shape{.experts = 9, .picks = 3, .domains = 1, .windows = 1, .window = 3000};
  const RoutingTrace trace = make_trace(shape, [&](base::Rng& rng, size_t, size_t) {
    std::vector<uint16_t> picked = draw(rng, shape);
    if (std::ranges::count(picked, 4) > 0 && std::ranges::count(picked, 7) == 0) {
      *std::ranges::find_if(picked, [](uint16_t e) { return e != 4; }) = 7;
    }
    return picked;
  });
  const ExpertPairs pairs = pairs_of_experts(trace).at(0);
  const auto strongest = pairs.strongest(3);
  ASSERT_FALSE(strongest.empty());
  EXPECT_EQ(strongest[0].a, 4);
  EXPECT_EQ(strongest[0].b, 7);
  EXPECT_GT(strongest[0].lift, 1.5);
  EXPECT_GT(pairs.bits, 0.05);
}

TEST(RoutingPairs, ExpertsThatAreAlwaysThereAndLonePicks) {
  const TraceShape all{.experts = 3, .picks = 3}, one{.experts = 3, .picks = 1};
  const RoutingTrace trace = make_trace(all, [&](base::Rng& rng, size_t, size_t) { return draw(rng, all); });
  EXPECT_NEAR(pairs_of_experts(trace).at(0).bits, 0, 1e-9);
  EXPECT_EQ(pick_bits(trace, 0).share(), 0);
  EXPECT_TRUE(
      pairs_of_experts(make_trace(one, [&](base::Rng& rng, size_t, size_t) { return draw(rng, one); })).empty());
}

// A model of L layers by E experts on 12 domains, each layer routed as the first.
RoutingStudy large_study(size_t layers, int64_t experts) {
  const TraceShape shape{.experts = experts, .picks = 4, .domains = 12, .windows = 2, .window = 300};
  RoutingTrace trace = make_trace(shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape); });
  for (auto& token : trace.tokens) token = static_cast<int32_t>(97 + token);
  for (size_t l = 1; l < layers; ++l) {
    trace.layers.push_back(static_cast<int64_t>(l));
    trace.experts.push_back(trace.experts[0]);
  }
  RoutingStudy study;
  study.counts = counts_of(trace);
  study.domains.assign(layers, {});
  study.tokens.assign(layers, tokens_by_expert(trace, 8).at(0));
  study.pairs.assign(layers, pairs_of_experts(trace).at(0));
  study.trace = std::move(trace);
  return study;
}

TEST(RoutingRecord, IsCutToItsLengthAndSaysSo) {
  const tokenizer::Tokenizer tokenizer(corpus::byte_tokenizer());
  const base::Json whole = to_json(large_study(2, 16), &tokenizer);
  EXPECT_TRUE(whole["cut"].empty());
  EXPECT_EQ(whole["pairs"][1]["lifts"].size(), 15u);
  EXPECT_EQ(whole["experts"][0]["experts"].size(), 16u);
  const base::Json& expert = whole["experts"][0]["experts"][0];
  EXPECT_FALSE(expert["tokens"].empty());
  EXPECT_EQ(expert["examples"][0]["token"], expert["tokens"][0]["text"]);
  EXPECT_TRUE(expert["examples"][0]["before"].is_string());
  for (const auto& [layers, experts] : std::vector<std::pair<size_t, int64_t>>{{2, 64}, {27, 64}, {20, 256}}) {
    const base::Json record = to_json(large_study(layers, experts), &tokenizer, 300'000);
    EXPECT_LE(base::dump_json(record).size(), 300'000u);
    EXPECT_EQ(record["cut"].empty(), layers == 2) << layers;
    EXPECT_EQ(record["by_layer"].size(), layers) << "what is said of each layer stays";
    EXPECT_NO_THROW(routing_counts_from_json(record, "record"));
  }
}

TEST(RoutingRecord, TellsHashTablesLonePicksAndLoneDomains) {
  const TraceShape shape{.picks = 1, .domains = 1};
  const RoutingStudy study =
      examine(make_trace(shape, [&](base::Rng& rng, size_t, size_t) { return draw(rng, shape); }));
  const base::Json layer = to_json(study, nullptr)["by_layer"][0];
  for (const char* key : {"router_entropy", "domain_of_pick", "domain_of_token", "pairs_bits", "similarity"}) {
    EXPECT_TRUE(layer.at(key).is_null()) << key;
  }
  EXPECT_THAT(routing_table(study), HasSubstr(" - "));
  EXPECT_THAT(expert_table(study, 0, nullptr), HasSubstr("layer 0"));
  EXPECT_THROW(expert_table(study, 1, nullptr), base::Error);
}

TEST(TokenText, PartsOfCharactersAreNumbersAndLinesStayLines) {
  const tokenizer::Tokenizer tokenizer(corpus::byte_tokenizer());
  EXPECT_EQ(token_text(tokenizer, 'a'), "a");
  EXPECT_EQ(token_text(tokenizer, 0xe2), "<0xE2>");
  EXPECT_EQ(token_text(tokenizer, '\n'), "\n");
  EXPECT_EQ(shown_token(&tokenizer, '\n'), "\"\\n\"");
  EXPECT_EQ(shown_token(&tokenizer, 0x1b), "\"\\x1b\"");
  EXPECT_EQ(shown_token(&tokenizer, '"'), "\"\\\"\"");
  EXPECT_EQ(shown_token(nullptr, 7), "7");
}

}  // namespace
}  // namespace dsmoe::study
