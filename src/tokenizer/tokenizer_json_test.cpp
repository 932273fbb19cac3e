#include "tokenizer/tokenizer_json.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "tokenizer/bpe_alphabet.h"

namespace dsmoe::tokenizer {
namespace {

using base::Json;

// A whole file with every part that is read, to be changed by the tests.
Json small_file() {
  Json vocab = Json::object();
  int id = 0;
  for (int byte = 0; byte < 256; ++byte) vocab[bytes_to_alphabet(std::string(1, static_cast<char>(byte)))] = id++;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  return base::parse_json(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
      {"id": 258, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
       "special": true},
      {"id": 260, "content": "</s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "\\p{N}"}, "behavior": "MergedWithNext", "invert": true},
      {"type": "Split", "pattern": {"String": "--"}, "behavior": "Removed"},
      {"type": "Digits", "individual_digits": true},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": {"type": "Sequence", "processors": [
      {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
      {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                  {"SpecialToken": {"id": "</s>", "type_id": 0}}],
       "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]},
                                      "</s>": {"id": "</s>", "ids": [260], "tokens": ["</s>"]}}}]},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
              "vocab": )" + vocab.dump() +
                              R"(, "merges": ["a b", ["ab", "c"]]}})",
                          "test");
}

TokenizerSpec read(const Json& file, std::string_view config = {}) {
  return parse_tokenizer_json(file.dump(), config, "test");
}

TEST(TokenizerJson, ReadsEveryPart) {
  const TokenizerSpec spec = read(small_file());
  EXPECT_EQ(spec.tokens.size(), 261u);
  EXPECT_EQ(spec.tokens[259], "");  // a hole
  ASSERT_EQ(spec.merges.size(), 2u);
  EXPECT_EQ(spec.merges[0].merged, 256);
  EXPECT_EQ(spec.tokens[static_cast<size_t>(spec.merges[1].merged)], "abc");
  EXPECT_TRUE(spec.nfc);
  EXPECT_TRUE(spec.ignore_merges);
  EXPECT_EQ(spec.pre_tokenizer, (PreTokenizerSteps{SplitStep{"\\p{N}", true, SplitBehavior::kMergedWithNext, true},
                                                   SplitStep{"--", false, SplitBehavior::kRemoved, false},
                                                   DigitsStep{true}, ByteLevelStep{}}));
  EXPECT_EQ(spec.prefix, std::vector<int32_t>{258});
  EXPECT_EQ(spec.suffix, std::vector<int32_t>{260});
  EXPECT_FALSE(spec.added_tokens[1].normalized);  // the default for special tokens
  EXPECT_EQ(spec.bos, std::nullopt);
}

TEST(TokenizerJson, AVocabularyMayHaveGaps) {
  Json file = small_file();
  file["model"]["vocab"]["zz"] = 60000;
  EXPECT_EQ(Tokenizer(read(file)).vocab_size(), 60001);
}

TEST(TokenizerJson, WritingAndReadingKeepsAll) {
  TokenizerSpec spec = read(small_file());
  spec.eos = 260;
  const std::string text = tokenizer_json_text(spec), config = tokenizer_config_text(spec);
  const TokenizerSpec again = parse_tokenizer_json(text, config, "test");
  EXPECT_EQ(again.tokens, spec.tokens);
  EXPECT_EQ(again.merges, spec.merges);
  EXPECT_EQ(again.added_tokens, spec.added_tokens);
  EXPECT_EQ(again.pre_tokenizer, spec.pre_tokenizer);
  EXPECT_EQ(again.prefix, spec.prefix);
  EXPECT_EQ(again.suffix, spec.suffix);
  EXPECT_EQ(again.eos, spec.eos);
  EXPECT_EQ(again.nfc, spec.nfc);
  EXPECT_EQ(again.ignore_merges, spec.ignore_merges);
  EXPECT_EQ(tokenizer_json_text(again), text);
}

TEST(TokenizerJson, HashKnowsWhatMatters) {
  const std::string hash = tokenizer_hash(Tokenizer(read(small_file())));
  EXPECT_EQ(hash.size(), 32u);
  for (const char* change : {R"({"normalizer": null})", R"({"model": {"ignore_merges": false}})",
                             R"({"post_processor": null})", R"({"model": {"merges": ["a b"]}})"}) {
    Json file = small_file();
    file.merge_patch(base::parse_json(change, "test"));
    EXPECT_NE(tokenizer_hash(Tokenizer(read(file))), hash) << change;
  }
}

TEST(TokenizerJson, ConfigNamesSpecialTokens) {
  Json file = small_file();
  file["post_processor"] = nullptr;
  TokenizerSpec spec =
      read(file, R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
                    "add_bos_token": true, "add_eos_token": false, "chat_template": "{{ x }}"})");
  EXPECT_EQ(spec.bos, 258);
  EXPECT_EQ(spec.eos, 260);
  EXPECT_EQ(spec.pad, std::nullopt);
  EXPECT_EQ(spec.prefix, std::vector<int32_t>{258});
  EXPECT_TRUE(spec.suffix.empty());
  for (const char* pad : {R"("</s>")", R"({"content": "</s>"})"}) {
    EXPECT_EQ(read(file, std::string(R"({"pad_token": )") + pad + "}").pad, 260) << pad;
  }
  for (const char* pad : {R"("[PAD]")", R"({"content": "[PAD]"})", "{}", "7", "[]"}) {
    EXPECT_EQ(read(file, std::string(R"({"pad_token": )") + pad + "}").pad, std::nullopt) << pad;
  }
  EXPECT_THROW(read(file, R"({"bos_token": "<unheard-of>"})"), base::Error);
  EXPECT_NO_THROW(read(file, R"({"added_tokens_decoder": {"258": {"content": "<s>"}, "260": {"content": "</s>"}}})"));
  for (const char* more : {R"({"261": {"content": "<more>"}})", R"({"259": {"content": "<s>"}})", "[]"}) {
    const std::string line =
        base::message_of([&] { read(file, std::string(R"({"added_tokens_decoder": )") + more + "}"); });
    EXPECT_NE(line.find("[tokenizer_config.json] added_tokens_decoder "), std::string::npos) << line;
  }
  EXPECT_THROW(read(file, R"({"bos_token": 7})"), base::Error);
  EXPECT_THROW(read(file, "[]"), base::Error);
}

// What is changed (a JSON merge patch), and a word of the message.
struct Refusal {
  const char* patch;
  const char* word;
};
class Refused : public testing::TestWithParam<Refusal> {};
TEST_P(Refused, ByName) {
  Json file = small_file();
  file.merge_patch(base::parse_json(GetParam().patch, "patch"));
  try {
    Tokenizer tokenizer(read(file));
    FAIL() << "was read: " << GetParam().patch;
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
    EXPECT_NE(std::string(error.what()).find(GetParam().word), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}
INSTANTIATE_TEST_SUITE_P(
    , Refused,
    testing::Values(
        Refusal{R"({"surprise": 1})", "surprise"}, Refusal{R"({"truncation": {"max_length": 5}})", "truncation"},
        Refusal{R"({"model": null})", "model"}, Refusal{R"({"model": {"type": "Unigram"}})", "Unigram"},
        Refusal{R"({"model": {"byte_fallback": true}})", "byte_fallback"},
        Refusal{R"({"model": {"dropout": 0.1}})", "dropout"}, Refusal{R"({"model": {"surprise": 1}})", "surprise"},
        Refusal{R"({"model": {"continuing_subword_prefix": "##"}})", "continuing_subword_prefix"},
        Refusal{R"({"model": {"vocab": {"ab": null}}})", "not in the vocabulary"},
        Refusal{R"({"model": {"vocab": {"zz": -1}}})", "id"}, Refusal{R"({"model": {"vocab": {"zz": 1.5}}})", "id"},
        Refusal{R"({"model": {"vocab": {"zz": 4194304}}})", "id"},
        Refusal{R"({"model": {"vocab": {"zz": 4194303}}})", "ids beyond a few times the number of tokens"},
        Refusal{R"({"added_tokens": [{"id": 70000, "content": "<x>"}]})", "ids beyond a few times"},
        Refusal{R"({"model": {"vocab": {"zz": 7}}})", "two tokens"},
        Refusal{R"({"model": {"vocab": {"": 300}}})", "empty"}, Refusal{R"({"model": {"vocab": []}})", "vocab"},
        Refusal{R"({"model": {"merges": ["a"]}})", "merge"}, Refusal{R"({"model": {"merges": ["a b c"]}})", "merge"},
        Refusal{R"({"model": {"merges": [["a"]]}})", "merge"}, Refusal{R"({"model": {"merges": ["b a"]}})", "ba"},
        Refusal{R"({"model": {"unk_token": "<unk>", "vocab": {"ā": 300, "Ā": null}}})", "unk_token"},
        Refusal{R"({"normalizer": {"type": "Lowercase"}})", "Lowercase"},
        Refusal{R"({"pre_tokenizer": null})", "ByteLevel"},
        Refusal{R"({"pre_tokenizer": {"type": "Metaspace"}})", "Metaspace"},
        Refusal{R"({"pre_tokenizer": {"pretokenizers": [{"type": "Digits"}]}})", "ByteLevel"},
        Refusal{R"({"pre_tokenizer": {"pretokenizers": [{"type": "ByteLevel", "add_prefix_space": true},
                                                        {"type": "Digits"}]}})",
                "after ByteLevel"},
        Refusal{R"({"pre_tokenizer": {"pretokenizers": [{"type": "Split", "pattern": {"Regex": "("},
                                      "behavior": "Isolated"}, {"type": "ByteLevel", "add_prefix_space": true}]}})",
                "does not compile"},
        Refusal{R"({"pre_tokenizer": {"pretokenizers": [{"type": "Split", "pattern": {"Regex": "a"},
                                      "behavior": "Sideways"}]}})",
                "Sideways"},
        Refusal{R"({"decoder": {"type": "Fuse"}})", "Fuse"},
        Refusal{R"({"post_processor": {"type": "RobertaProcessing", "processors": null}})", "RobertaProcessing"},
        Refusal{R"({"added_tokens": [{"id": 258, "content": ""}]})", "empty"},
        Refusal{R"({"added_tokens": [{"id": 258, "content": "x", "surprise": 1}]})", "surprise"},
        Refusal{R"({"added_tokens": [{"id": 300, "content": "ab"}]})", "another id"},
        Refusal{R"({"added_tokens": [{"id": 3, "content": "xyz"}]})", "two tokens"},
        Refusal{R"({"added_tokens": [{"id": 258, "content": "<x>"}, {"id": 259, "content": "<x>"}]})", "twice"}));

// The part of an added token's file that a fuzzer would find first: any cut, any changed byte.
TEST(TokenizerJson, DamagedFilesAreErrorsNotCrashes) {
  const std::string text = small_file().dump();
  base::Rng rng(1);
  const auto attempt = [](const std::string& damaged) {
    try {
      const Tokenizer tokenizer = parse_tokenizer(damaged);
      tokenizer.encode("ab abc 12 <s>");
    } catch (const base::Error&) {
    }
  };
  for (size_t length = 0; length < text.size(); length += 1 + rng.below(20)) {
    EXPECT_THROW(parse_tokenizer(text.substr(0, length)), base::Error);
  }
  for (int round = 0; round < 1500; ++round) {
    std::string damaged = text;
    for (uint64_t i = rng.below(3) + 1; i-- > 0;) {
      damaged[rng.below(damaged.size())] =
          rng.below(2) ? "\"{}[]:,0-"[rng.below(9)] : static_cast<char>(rng.below(256));
    }
    attempt(damaged);
  }
}

TEST(TokenizerJson, LoadsFilesAndFolders) {
  const base::TestFolder folder;
  const auto kind = [&](const base::fs::path& path) {
    try {
      load_tokenizer(path);
    } catch (const base::Error& error) {
      return error.kind();
    }
    return base::ErrorKind::kFailure;
  };
  EXPECT_EQ(kind(folder.path()), base::ErrorKind::kIo);
  EXPECT_EQ(kind(folder / "absent.json"), base::ErrorKind::kIo);
  folder.write("tokenizer.json", "{");
  EXPECT_EQ(kind(folder.path()), base::ErrorKind::kInvalid);
  TokenizerSpec spec = read(small_file());
  spec.eos = 260;
  save_tokenizer(spec, folder.path());
  EXPECT_EQ(load_tokenizer(folder.path()).eos_id(), 260);
  EXPECT_EQ(tokenizer_hash(load_tokenizer(folder / "tokenizer.json")), tokenizer_hash(Tokenizer(spec)));
}

}  // namespace
}  // namespace dsmoe::tokenizer
