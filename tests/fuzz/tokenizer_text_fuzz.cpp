// Any bytes as text: for every known pre-tokenizer nothing is lost, the cuts are those of PCRE2, and pieces of tokens
// stream as valid UTF-8.
#include "base/utf8.h"
#include "fuzz.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8_stream.h"

using namespace dsmoe;

namespace {

class Joiner final : public tokenizer::PieceSink {
 public:
  void piece(std::string_view bytes) override {
    fuzz_check(!bytes.empty(), "no piece is empty");
    text += bytes;
    ends.push_back(text.size());
  }
  std::string text;
  std::vector<size_t> ends;
};

struct Subject {
  std::unique_ptr<tokenizer::PreTokenizer> by_hand, by_pcre2;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
};

std::vector<Subject> subjects() {
  std::vector<Subject> all;
  for (const char* name : {"deepseek-v3", "deepseek-llm", "llama-bpe", "qwen2", "gpt-2"}) {
    const auto steps = *tokenizer::pretokenizer_steps(name);
    tokenizer::BpeTrainOptions options;
    options.pre_tokenizer = steps;
    options.vocab_size = 290;
    tokenizer::WordCounter counter(steps);
    for (const std::string& seed : fuzz_seeds()) counter.add(seed + seed);
    Subject subject;
    subject.by_hand = tokenizer::make_pretokenizer(steps);
    subject.by_pcre2 = tokenizer::make_pretokenizer(steps, tokenizer::RegexEngine::kPcre2Only);
    subject.tokenizer = std::make_unique<tokenizer::Tokenizer>(tokenizer::train_bpe(counter.take(), options));
    all.push_back(std::move(subject));
  }
  return all;
}

// PCRE2's tables are older than ours: it may say otherwise of characters that it does not know.
bool is_settled(std::string_view text) {
  for (const unsigned char c : text) {
    if (c >= 0xe0) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Subject> all = subjects();
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const Subject& subject : all) {
    Joiner by_hand;
    subject.by_hand->split(text, by_hand);
    fuzz_check(by_hand.text == text, "pieces are the text");
    if (is_settled(text)) {
      Joiner by_pcre2;
      subject.by_pcre2->split(text, by_pcre2);
      fuzz_check(by_hand.ends == by_pcre2.ends, "hand-written rules cut as PCRE2 does");
    }
    const auto ids = subject.tokenizer->encode(text);
    fuzz_check(subject.tokenizer->decode(ids) == text, "decode undoes encode");
    tokenizer::Utf8Stream stream;
    std::string shown;
    for (const int32_t id : ids) {
      const std::string event = stream.push(subject.tokenizer->token_bytes(id));
      fuzz_check(base::first_invalid_utf8(event) == event.npos, "every event is valid UTF-8");
      shown += event;
    }
    fuzz_check(shown + stream.flush() == tokenizer::replace_invalid_utf8(text), "events joined are the text");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      "The quick brown fox, it's 12345!\r\n\n  \t x  y;\n",
      "Ça n'est pas ½ Привет мир\xc2\xa0\xc2\x85 'S'LL_(a)",
      "中文字符 ひらがな・カタカナ １２３\xe3\x80\x80",
      "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9 \xff\xc0\x80\xed\xa0\x80 e\xcc\x81",
      "<｜begin▁of▁sentence｜>x<｜end▁of▁sentence｜><｜▁pad▁｜>",
      std::string("\0\x01\x7f 0", 5) + std::string(60, 'a') + std::string(60, ' '),
  };
}
