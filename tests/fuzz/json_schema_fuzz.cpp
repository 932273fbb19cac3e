// Any bytes as a JSON schema, and as choices of what to write under it: the schema is refused, or from every state of
// its automaton there is a way on until the value is whole, and what was written parses.
#include <array>

#include "base/error.h"
#include "fuzz.h"
#include "schema/automaton.h"

using namespace dsmoe;

namespace {

std::string unread(const std::string& text) {
  try {
    base::parse_json(text, "written");
    return {};
  } catch (const base::Error& error) {
    return error.what();
  }
}

// Writes a value byte by byte, each the choice's next among those that may come; quotes and brackets that close come
// first once there are no choices any more.
void write(const schema::Grammar& grammar, const std::string& choices) {
  constexpr std::string_view kClosing = "\"]}:0";
  schema::Automaton automaton(std::make_shared<schema::Grammar>(grammar));
  schema::Automaton::State state = automaton.start();
  std::string text;
  for (size_t i = 0; i < 400; ++i) {
    if (automaton.may_end(state) && i >= choices.size()) break;
    std::string may;
    for (int byte = 0; byte < 256; ++byte) {
      if (automaton.step(state, static_cast<uint8_t>(byte)) != schema::Automaton::kDead) {
        may.push_back(static_cast<char>(byte));
      }
    }
    if (may.empty()) break;
    char next = may[(i < choices.size() ? static_cast<uint8_t>(choices[i]) : i) % may.size()];
    for (size_t c = 0; i >= choices.size() && c < kClosing.size(); ++c) {
      if (may.find(kClosing[c]) == std::string::npos) continue;
      next = kClosing[c];
      break;
    }
    text.push_back(next);
    state = automaton.step(state, static_cast<uint8_t>(next));
    automaton.compact(state, 1000);
    fuzz_check(state != schema::Automaton::kDead, "a byte that may come leads on");
  }
  if (automaton.may_end(state)) fuzz_check(unread(text).empty(), "a whole value parses");
  if (text.size() < 400) fuzz_check(automaton.may_end(state), "there is a way to the end");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const size_t cut = std::min(input.find('\n'), input.size());
  const std::string choices(input.substr(std::min(cut + 1, input.size())));
  try {
    write(schema::compile(base::parse_json(input.substr(0, cut), "schema")), choices.substr(0, 200));
  } catch (const base::Error& error) {
    fuzz_check(error.kind() == base::ErrorKind::kInvalid, "a schema that is refused is an invalid value");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"type":"object","properties":{"name":{"type":"string","minLength":1,"maxLength":5},"age":{"type":"integer"}},)"
      R"("required":["name"],"additionalProperties":false})"
      "\nabcdefg",
      R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"number"},)"
      R"("next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}}}}})"
      "\n0123456789",
      R"({"type":"array","prefixItems":[{"const":1},{"enum":["a",null,[1]]}],"items":{"type":"boolean"},"minItems":3})"
      "\nzyx",
      R"x({"type":"string","pattern":"^(?:[a-f]{2,3}|\\d+-\\u00e9[^\\s]?)*$","maxLength":12})x"
      "\nqwertz\x80\xff",
      R"({"type":"object","additionalProperties":{"type":"string","pattern":"[\\u4e2d-\\u4e30\\ud83d\\ude00]"}})"
      "\n!!!!!!!!!",
      "true\nanything at all",
  };
}
