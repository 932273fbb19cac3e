// Any text as a tokenizer.json: refused by a one-line Error of kind kInvalid, or a tokenizer that takes any text, gives
// ids in range, and is written and read back as the same.
#include "base/error.h"
#include "fuzz.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

using namespace dsmoe;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const tokenizer::Tokenizer tokenizer = tokenizer::parse_tokenizer(text);
    const std::string sample = "the th 12 <s>é\xff\n" + text.substr(0, 200);
    const auto ids = tokenizer.encode(sample, true);
    for (const int32_t id : ids) fuzz_check(id >= 0 && id < tokenizer.vocab_size(), "ids are in range");
    tokenizer.decode(ids);
    const std::string written = tokenizer::tokenizer_json_text(tokenizer.spec());
    const tokenizer::Tokenizer again = tokenizer::parse_tokenizer(written);
    fuzz_check(again.encode(sample, true) == ids, "a tokenizer read back gives the same ids");
    fuzz_check(tokenizer::tokenizer_json_text(again.spec()) == written, "writing is a fixed point");
  } catch (const base::Error& error) {
    fuzz_check(error.kind() == base::ErrorKind::kInvalid, "bad input has exit code 3");
    fuzz_check(std::string(error.what()).find('\n') == std::string::npos, "an error is one line");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  const std::string model =
      R"("model":{"type":"BPE","vocab":{"t":0,"h":1,"e":2,"th":3,"the":4,"Ġ":5,"Ã":6,"©":7,"1":8},)"
      R"("merges":["t h",["th","e"]]})";
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})";
  return {
      R"({"pre_tokenizer":)" + bytes + "," + model + "}",
      R"({"normalizer":{"type":"NFC"},"added_tokens":[{"id":9,"content":"<s>","special":true,"lstrip":true},)"
      R"({"id":10,"content":"é","normalized":true,"single_word":true}],"pre_tokenizer":{"type":"Sequence",)"
      R"("pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{N}{1,3}"},"behavior":"Isolated","invert":false},)"
      R"({"type":"Split","pattern":{"String":" "},"behavior":"MergedWithNext"},{"type":"Digits"},)" +
          bytes + "]}," + model + "}",
      R"({"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s)|[^a-z\\s]+(?=x)|y"},)"
      R"("behavior":"Removed","invert":true},)" +
          bytes + "]}," + model +
          R"(,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a","type_id":0}},)"
          R"({"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"a":{"id":"a","ids":[3],"tokens":["th"]}}}})",
  };
}
