// Laws of structured text: what a schema's rule lets through parses and validates, all of that and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "base/utf8.h"
#include "schema/json_rule.h"

namespace dsmoe::schema {
namespace {

using base::Json;
using ::testing::HasSubstr;

std::shared_ptr<const Grammar> grammar(const std::string& schema) {
  return std::make_shared<Grammar>(compile(base::parse_json(schema, "schema")));
}

// --- a validator that shares nothing with the automaton ---

bool has_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  return type == (value.is_number() ? "number" : std::string(value.type_name()));
}

// The standard library's own reading of an expression: ECMA-262's, over wide characters.
std::wstring wide(const std::string& text) {
  std::wstring out;
  char32_t code_point = 0;
  for (size_t at = 0; at < text.size(); at += base::utf8_decode(text, at, code_point)) {
    base::utf8_decode(text, at, code_point);
    out.push_back(static_cast<wchar_t>(code_point));
  }
  return out;
}
bool matches(const std::string& pattern, const std::string& text) {
  return std::regex_search(wide(text), std::wregex(wide(pattern)));
}

bool validates(const Json& root, const Json& schema, const Json& value) {
  if (schema.is_boolean()) return schema.get<bool>();
  const auto all = [&](auto check) { return std::all_of(value.begin(), value.end(), check); };
  for (const auto& [key, rule] : schema.items()) {
    if (key == "$ref") {
      const Json& target = root.at(Json::json_pointer(rule.get<std::string>().substr(1)));
      if (!validates(root, target, value)) return false;
    } else if (key == "type") {
      const Json types = rule.is_array() ? rule : Json::array({rule});
      if (std::none_of(types.begin(), types.end(), [&](const Json& type) { return has_type(value, type); }))
        return false;
    } else if (key == "enum" && std::find(rule.begin(), rule.end(), value) == rule.end()) {
      return false;
    } else if (key == "const" && rule != value) {
      return false;
    } else if (key == "anyOf") {
      if (std::none_of(rule.begin(), rule.end(), [&](const Json& s) { return validates(root, s, value); }))
        return false;
    } else if (key == "minLength" || key == "maxLength") {
      if (!value.is_string()) continue;
      int64_t count = 0;
      for (const char c : value.get<std::string>()) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
      if (key == "minLength" ? count < rule.get<int64_t>() : count > rule.get<int64_t>()) return false;
    } else if (key == "pattern") {
      if (value.is_string() && !matches(rule.get<std::string>(), value.get<std::string>())) return false;
    } else if (key == "minItems" || key == "maxItems") {
      if (!value.is_array()) continue;
      const auto count = static_cast<int64_t>(value.size());
      if (key == "minItems" ? count < rule.get<int64_t>() : count > rule.get<int64_t>()) return false;
    } else if (key == "items" && value.is_array()) {
      const size_t before = schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
      for (size_t i = before; i < value.size(); ++i) {
        if (!validates(root, rule, value[i])) return false;
      }
    } else if (key == "prefixItems" && value.is_array()) {
      for (size_t i = 0; i < std::min(rule.size(), value.size()); ++i) {
        if (!validates(root, rule[i], value[i])) return false;
      }
    } else if (key == "required" && value.is_object()) {
      for (const Json& name : rule) {
        if (!value.contains(name.get<std::string>())) return false;
      }
    } else if (key == "properties" && value.is_object()) {
      std::vector<std::string> order;  // members come in the schema's order, and no others
      for (const auto& member : rule.items()) order.push_back(member.key());
      auto next = order.begin();
      for (const auto& [name, member] : value.items()) {
        next = std::find(next, order.end(), name);
        if (next == order.end() || !validates(root, rule[name], member)) return false;
        ++next;
      }
    } else if (key == "additionalProperties" && value.is_object() && !schema.contains("properties")) {
      if (!all([&](const Json& member) { return validates(root, rule, member); })) return false;
    }
  }
  return true;
}

struct Case {
  const char* name;
  std::string schema;
  std::vector<std::string> good, bad;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"person",
       R"({"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 5}, "age": {"type": "integer"},
           "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2}}, "required": ["name", "tags"],
           "additionalProperties": false, "title": "x"})",
       {R"({"name":"Ana","age":3,"tags":["a"]})", R"({"name":"日本語é😀","tags":["",""]})",
        "{ \"name\" : \"\\ud83d\\ude00\" ,\n\t\"tags\":[ \"x\" ] }"},
       {R"({"name":"","tags":["a"]})", R"({"name":"123456","tags":["a"]})", R"({"tags":["a"],"name":"Ana"})",
        R"({"name":"Ana"})", R"({"name":"Ana","tags":[]})", R"({"name":"Ana","tags":["a","b","c"]})",
        R"({"name":"Ana","age":3.5,"tags":["a"]})", R"({"name":"Ana","tags":["a"],"more":1})",
        R"({"name":"Ana","tags":["a"]} )", R"({"name":"Ana","tags":["a"],})", R"({"name":"\ud83d","tags":["a"]})",
        R"({"name":"\ude00","tags":["a"]})", "{\"name\":\"\xff\",\"tags\":[\"a\"]}",
        "{\"name\":\"\n\",\"tags\":[\"a\"]}"}},
      {"tree",
       R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"value": {"type": "number"},
           "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"]}}})",
       {R"({"value":1,"next":null})", R"({"value":-0.5e3,"next":{"value":0,"next":{"value":12,"next":null}}})"},
       {R"({"value":1})", R"({"value":01,"next":null})", R"({"value":1,"next":{}})", R"({"value":1.,"next":null})",
        R"({"value":+1,"next":null})", R"({"value":"1","next":null})"}},
      {"choice",
       R"({"enum": ["a", "ab", "a\"b", 1, 10, null, true, [1, {"x": []}], {"k": "v"}]})",
       {R"("a")", R"("ab")", R"("a\"b")", "1", "10", "null", "true", R"([1,{"x":[]}])", R"({"k":"v"})"},
       {R"("b")", R"("abc")", "11", "100", "false", "nul", "[1]", R"([1,{"x":[]})"}},
      {"tuple",
       R"({"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}], "items": {"type": "boolean"}, "minItems": 2})",
       {R"([1,"x"])", R"([ 0 , "x" , true , false ])"},
       {"[]", "[1]", R"([1,"y"])", R"([1,"x",1])", R"(["x",1])", R"([1,"x",])"}},
      {"closed tuple",
       R"({"type": "array", "prefixItems": [{"type": ["integer", "null"]}, {"type": "string"}], "items": false})",
       {"[]", "[null]", R"([1,""])"},
       {R"([1,"",1])", "[true]"}},
      {"map",
       R"({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}})",
       {"{}", R"({"":[],"a":[1,2,3],"日":[0]})"},
       {R"({"a":1})", R"({"a":[1,2,3,4]})", R"({"a":[],"a":[]})", R"({"a":[],"\u0061":[]})",
        R"({"a":[]})"
        ","}},
      {"anything",
       "true",
       {"{}", "[]", "0", R"({"a":[{"b":null}]})", R"("\\\/\b\u00e9")"},
       {"", "{]", "tru", "[1 2]", "'a'"}},
      {"options",
       R"({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "string", "minLength": 4}, {"type": "object", "properties":
           {"a": {"type": "integer"}, "ab": {"type": "string"}, "abc": {"type": "null"}}}]})",
       {R"("")", R"("ab")", R"("abcd")", "{}", R"({"a":1,"abc":null})", R"({"ab":""})"},
       {R"("abc")", R"({"ab":"","a":1})", R"({"b":1})"}},
      {"numbers",
       R"({"type": "array", "items": {"type": "number"}})",
       {"[0,-1,10.5,1e9,1E-5,-0.0]", "[123456789012]"},
       {"[1e]", "[--1]", "[.5]", "[1e999]", "[00]", "[1.e3]", "[-]"}},
      {"telephone",
       R"x({"type": "array", "items": {"type": "string", "pattern": "^\\+?[0-9]{2,4}(?:-\\d{2,})*$"}})x",
       {R"(["+49-30-12345","123"])", R"(["\u0031\u0032"])", "[]"},
       {R"(["1"])", R"(["12-"])", R"(["12a"])", R"(["\u0041\u0042"])", R"([""])", R"(["12\n"])", R"(["12"x])"}},
      {"found anywhere",
       R"({"type": "string", "pattern": "[äöü日]|ß$|^x"})",
       {R"("--ö--")", R"("Fuß")", R"("Fu\u00df")", R"("xyz")", R"("日")"},
       {R"("Fußb")", R"("abc")", R"("yx")", R"("")", "\"\xc3\""}},
      {"pattern and lengths",
       R"({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(ab)*$", "minLength": 3, "maxLength": 5},
           "b": {"type": "string", "pattern": "^[^\\s\"]*?e?$", "maxLength": 3}}, "required": ["a"]})",
       {R"({"a":"abab"})", R"({"a":"abab","b":"tée"})", R"({"a":"\u0061bab","b":""})"},
       {R"({"a":"ab"})", R"({"a":"ababab"})", R"({"a":"abab","b":"a b"})", R"({"a":"abab","b":"abcd"})",
        R"({"a":"abab","b":"\""})"}},
      {"beyond the basic plane",
       R"({"type": "string", "pattern": "^[😀-😏é-ü]{1,2}$"})",
       {R"("😀")", R"("\ud83d\ude00é")", R"("😏😁")"},
       {R"("")", R"("a")", R"("😐")", R"("😀😀😀")", R"("\ud83d\ude10")", R"("\ud83c\ude00")", R"("ý")"}}};
  return all;
}

TEST(Schema, AcceptsTheGoodAndNothingElse) {
  for (const Case& one : cases()) {
    const auto form = grammar(one.schema);
    const Json schema = base::parse_json(one.schema, "schema");
    for (const std::string& text : one.good) {
      EXPECT_TRUE(accepts(form, text)) << one.name << ": " << text;
      EXPECT_TRUE(validates(schema, schema, base::parse_json(text, "text"))) << one.name << ": " << text;
    }
    for (const std::string& text : one.bad) EXPECT_FALSE(accepts(form, text)) << one.name << ": " << text;
  }
}

// Changed values and changed bytes: accepted exactly where the validator says so.
TEST(Schema, AgreesWithAValidatorOnChangedDocuments) {
  base::Rng rng(5);
  int accepted = 0, refused = 0;
  const std::string pieces[] = {"1",    "true",   "null",  "\"\"",  "{}",       "[]",
                                "-2.5", "\"ab\"", "\"x\"", "[[1]]", "{\"a\":1}"};
  for (const Case& one : cases()) {
    const auto form = grammar(one.schema);
    const Json schema = base::parse_json(one.schema, "schema");
    for (int i = 0; i < 800; ++i) {
      std::string text = one.good[rng.below(one.good.size())];
      for (uint64_t changes = rng.below(4); changes > 0 && !text.empty(); --changes) {
        const size_t at = rng.below(text.size());
        const std::string piece = rng.below(2) == 0 ? pieces[rng.below(std::size(pieces))]
                                                    : std::string(1, "\",:{}[]0189-.eE\\u ntab"[rng.below(21)]);
        const auto kind = rng.below(3);
        if (kind == 0) text.erase(at, 1 + rng.below(5));
        if (kind == 1) text.insert(at, piece);
        if (kind == 2) text.replace(at, 1, piece);
      }
      Json value;
      bool is_json = true;
      try {
        value = base::parse_json(text, "text");
      } catch (const base::Error&) {
        is_json = false;
      }
      const bool taken = accepts(form, text);
      (taken ? accepted : refused)++;
      if (taken) {
        EXPECT_TRUE(is_json && validates(schema, schema, value)) << one.name << ": " << text;
      } else if (is_json && base::dump_json(value) == text) {  // as it would be written
        EXPECT_FALSE(validates(schema, schema, value)) << one.name << ": " << text;
      }
    }
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

std::shared_ptr<const Vocabulary> vocabulary() {
  static const auto all = [] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* more : {"",
                             "{\"",
                             "\":",
                             "\",\"",
                             "\"}",
                             "\"]",
                             "},{",
                             "true",
                             "null",
                             "false",
                             " \"",
                             ": ",
                             ", ",
                             "\n  ",
                             "name",
                             "tags",
                             "\"name\":\"",
                             "the",
                             "日本",
                             "é",
                             "\xe6\x97",
                             "\x97\xa5",
                             "\xf0\x9f",
                             "\x98\x80",
                             "\\u00",
                             "\\ud83d\\ude00",
                             "\\n",
                             "123",
                             "0.5",
                             "e+1",
                             "]}",
                             "[1,",
                             "a\"",
                             "\"a",
                             "ab",
                             "abcdef",
                             "    "}) {
      texts.emplace_back(more);
    }
    return std::make_shared<const Vocabulary>(std::move(texts));
  }();
  return all;
}

// Tokens are drawn as a model without any sense would; after a while it would like to come to an end.
TEST(Schema, WhateverIsDrawnParsesAndValidates) {
  const auto tokens = vocabulary();
  int whole = 0, cut = 0;
  for (const Case& one : cases()) {
    const auto form = grammar(one.schema);
    const Json schema = base::parse_json(one.schema, "schema");
    for (uint64_t seed = 0; seed < 25; ++seed) {
      base::Rng rng(seed);
      JsonRule rule(form, tokens);
      std::string text;
      int length = 0;
      for (; length < 400 && !rule.ends(); ++length) {
        const auto allowed = rule.allowed();
        if (rule.may_end() && rng.below(4) == 0) break;
        std::vector<int32_t> may, closing;
        for (int32_t id = 0; id < std::ssize(tokens->all().ids) + 1; ++id) {
          if (!engine::is_allowed(allowed, id)) continue;
          may.push_back(id);
          if (tokens->text(id).find_first_of("\"]}") != std::string_view::npos) closing.push_back(id);
        }
        ASSERT_FALSE(may.empty()) << one.name << ": no way on from " << text;
        const auto& from = length > 60 && !closing.empty() && rng.below(8) != 0 ? closing : may;
        const int32_t token = from[rng.below(from.size())];
        text += tokens->text(token);
        rule.accept(token);
      }
      if (length == 400) {
        ++cut;
        continue;
      }
      ++whole;
      EXPECT_EQ(base::first_invalid_utf8(text), std::string::npos);
      Json value;
      ASSERT_NO_THROW(value = base::parse_json(text, "text")) << one.name << ": " << text;
      EXPECT_TRUE(validates(schema, schema, value)) << one.name << ": " << text;
    }
  }
  EXPECT_GT(whole, 5 * cut);
}

// The definition of a mask: each token's bytes, one by one.
TEST(Schema, MasksAreWhatTheBytesSay) {
  const auto tokens = vocabulary();
  for (const Case& one : cases()) {
    const auto form = grammar(one.schema);
    for (const std::string& text : one.good) {
      JsonRule rule(form, tokens);
      Automaton automaton(form);
      Automaton::State state = automaton.start();
      for (const char byte : text) {
        const auto allowed = rule.allowed();
        for (int32_t id = 0; id < 256 + 37; ++id) {
          Automaton::State after = tokens->text(id).empty() ? Automaton::kDead : state;
          for (const char b : tokens->text(id)) after = automaton.step(after, static_cast<uint8_t>(b));
          ASSERT_EQ(engine::is_allowed(allowed, id), after != Automaton::kDead)
              << one.name << ": " << tokens->text(id) << " within " << text;
        }
        rule.accept(static_cast<unsigned char>(byte));
        state = automaton.step(state, static_cast<uint8_t>(byte));
        if (text.size() % 2 == 0) automaton.compact(state, 1);
      }
      EXPECT_TRUE(rule.may_end());
    }
  }
}

TEST(Schema, DepthIsBoundedAndThereIsAlwaysAWayOut) {
  const auto any = grammar("true");
  EXPECT_TRUE(accepts(any, std::string(32, '[') + std::string(32, ']')));
  EXPECT_FALSE(accepts(any, std::string(33, '[') + std::string(33, ']')));
  const auto list = grammar(R"({"type": "array", "items": {"$ref": "#"}, "minItems": 0, "maxItems": 1})");
  EXPECT_TRUE(accepts(list, std::string(32, '[') + std::string(32, ']')));
  EXPECT_FALSE(accepts(list, std::string(33, '[') + std::string(33, ']')));
}

TEST(Schema, RefusesWhatItCannotHoldTo) {
  const std::pair<const char*, const char*> refused[] = {
      {R"x({"type": "integer", "pattern": "a+"})x", "\"pattern\" is not supported"},
      {R"x({"pattern": 5})x", "pattern must be text"},
      {R"x({"pattern": "(a"})x", "at character 3: a ( without its )"},
      {R"x({"pattern": "a)"})x", "at character 2: a ) without its ("},
      {R"x({"pattern": "[a"})x", "a [ without its ]"},
      {R"x({"pattern": "*a"})x", "nothing to repeat"},
      {R"x({"pattern": "a**"})x", "nothing to repeat"},
      {R"x({"pattern": "a{2,1}"})x", "bounds must ascend"},
      {R"x({"pattern": "a{2000}"})x", "at most 1000 repeats"},
      {R"x({"pattern": "a{"})x", "a quantifier needs a number"},
      {R"x({"pattern": "}"})x", "only behind a backslash"},
      {R"x({"pattern": "[b-a]"})x", "a range must ascend"},
      {R"x({"pattern": "[\\d-z]"})x", "from one character to another"},
      {R"x({"pattern": "a$b"})x", "$ may only stand at the end"},
      {R"x({"pattern": "(a$)"})x", "$ may only stand at the end"},
      {R"x({"pattern": "a^"})x", "^ may only stand at the beginning"},
      {R"x({"pattern": "(?=a)"})x", "look-ahead and look-behind"},
      {R"x({"pattern": "(?<!a)b"})x", "look-ahead and look-behind"},
      {R"x({"pattern": "(a)\\1"})x", "an escape that is not supported"},
      {R"x({"pattern": "\\bword"})x", "an escape that is not supported"},
      {R"x({"pattern": "\\ud83d"})x", "half a pair of surrogates"},
      {R"x({"pattern": "\\u12"})x", "hexadecimal digits are missing"},
      {R"x({"pattern": "a\\"})x", "a backslash needs something behind it"},
      {R"x({"pattern": "^(ab)*$", "minLength": 3, "maxLength": 3})x", "no text satisfies the pattern"},
      {R"x({"pattern": "[]"})x", "no text satisfies the pattern"},
      {R"x({"pattern": "(a{1000}){1000}"})x", "add up to too much"},
      {R"x({"pattern": "(a|b)*a(a|b){30}"})x", "pattern: its automaton would be too large"},
      {R"x({"pattern": "[ab]{1,900}$", "maxLength": 900000})x", "too large"},
      {R"({"type": "integer", "minimum": 3})", "\"minimum\" is not supported"},
      {R"({"type": "string", "format": "date"})", "\"format\" is not supported"},
      {R"({"oneOf": [{"type": "string"}]})", "\"oneOf\" is not supported"},
      {R"({"allOf": [{}]})", "\"allOf\" is not supported"},
      {R"({"not": {}})", "\"not\" is not supported"},
      {R"({"type": "array", "uniqueItems": true})", "\"uniqueItems\" is not supported"},
      {R"({"type": "object", "patternProperties": {}})", "\"patternProperties\" is not supported"},
      {R"x({"type": "object", "properties": {"a": {"pattern": "("}}})x", "#/properties/a"},
      {R"({"type": "object", "properties": {"a": true}, "additionalProperties": true})", "are not supported"},
      {R"({"type": "object", "required": ["a"]})", "required must name"},
      {R"({"type": "object", "properties": {"a": true}, "required": "a"})", "required must be a list"},
      {R"({"type": "object", "properties": []})", "properties must be an object"},
      {R"({"type": "text"})", "type must name types"},
      {R"({"type": []})", "type must name types"},
      {R"({"type": 5})", "type must name types"},
      {R"({"enum": []})", "enum must be a list"},
      {R"({"enum": ["a"], "type": "integer"})", "is of its type"},
      {R"({"anyOf": []})", "must be a list of schemas"},
      {R"({"anyOf": [5]})", "a schema must be an object"},
      {R"({"anyOf": [{}], "type": "string"})", "beside anyOf"},
      {R"({"$ref": "#"})", "no value can satisfy"},
      {R"({"$ref": "#/$defs/a"})", "leads nowhere"},
      {R"({"$ref": "http://example.org/x"})", "must lead to a place in this schema"},
      {R"({"$ref": "#/~5"})", "leads nowhere"},
      {R"({"$ref": 7})", "$ref must be text"},
      {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "no value can satisfy"},
      {R"({"type": "array", "items": {"$ref": "#"}, "minItems": 1})", "no value can satisfy"},
      {R"({"type": "string", "minLength": 3, "maxLength": 2})", "minLength is larger"},
      {R"({"type": "string", "minLength": -1})", "minLength must be an integer"},
      {R"({"type": "string", "maxLength": 1e9})", "maxLength must be an integer"},
      {R"({"type": "array", "items": false, "minItems": 1})", "minItems is larger"},
      {R"({"type": "array", "prefixItems": []})", "must be a list of schemas"},
      {"false", "no value can satisfy"},
      {"5", "a schema must be an object"},
      {"[]", "a schema must be an object"}};
  for (const auto& [schema, why] : refused) {
    EXPECT_THAT(base::message_of([&] { grammar(schema); }), HasSubstr(why)) << schema;
  }
  std::string many = R"({"anyOf": [)";
  for (int i = 0; i < 12000; ++i) many += std::string(i ? "," : "") + R"({"type": "null"})";
  EXPECT_THAT(base::message_of([&] { grammar(many + "]}"); }), HasSubstr("10000 parts"));
}

// Chains of references, whichever way they lead, and alternatives that each have all the next ones.
TEST(Schema, LongChainsAreReadOrRefused) {
  const auto chain = [](int length, bool forwards, const std::string& beside) {
    std::string text = R"({"$ref": "#/$defs/a0", "$defs": {)";
    for (int i = 0; i < length; ++i) {
      const int at = forwards ? i : length - 1 - i;
      const std::string next = R"({"$ref": "#/$defs/a)" + std::to_string(at + 1) + R"("})";
      text += "\"a" + std::to_string(at) + R"(": {"anyOf": [)" + beside + next + "]}, ";
    }
    return text + "\"a" + std::to_string(length) + R"(": {"type": "null"}}})";
  };
  for (const bool forwards : {true, false}) {
    EXPECT_TRUE(accepts(grammar(chain(200, forwards, "")), "null"));
    EXPECT_THAT(base::message_of([&] { grammar(chain(5000, forwards, "")); }), HasSubstr("in a row"));
    EXPECT_THAT(base::message_of([&] {
                  grammar(chain(240, forwards, R"({"type": ["boolean", "integer", "string", "number"]}, )"));
                }),
                HasSubstr("alternatives may add up to"));
  }
}

}  // namespace
}  // namespace dsmoe::schema
