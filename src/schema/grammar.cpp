#include "schema/grammar.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "schema/refuse.h"

namespace dsmoe::schema {
namespace {

using base::Json;

constexpr size_t kMostNodes = 10000, kMostLiteralBytes = 1 << 18, kMostAlternatives = 100000;
constexpr int kMostWithin = 500;  // schemas within each other or led to by references, for the stack's sake

const std::set<std::string>& annotations() {
  static const std::set<std::string> all = {"$schema",     "$id",        "$comment",    "$defs",
                                            "definitions", "title",      "default",     "examples",
                                            "readOnly",    "deprecated", "description", "writeOnly"};
  return all;
}

bool is_of_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") return value.is_array();
  return value.is_object();
}

int depth_of(const Json& value) {
  int deepest = 0;
  if (!value.is_structured()) return 0;
  for (const Json& inner : value) deepest = std::max(deepest, depth_of(inner));
  return deepest + 1;
}

class Compiler {
 public:
  explicit Compiler(const Json& schema) : schema_(schema) {}

  Grammar compile() {
    grammar_.root = node_of(schema_, "#");
    finish();
    if (grammar_.node(grammar_.root).height > kMostDepth) {
      refuse("#", "no value can satisfy it within " + std::to_string(kMostDepth) + " levels");
    }
    return std::move(grammar_);
  }
  Grammar compile_any_object() {
    grammar_.root = add({.kind = Kind::kMap, .rest = any()});
    finish();
    return std::move(grammar_);
  }

 private:
  Node& at(int32_t index) { return grammar_.nodes[static_cast<size_t>(index)]; }
  int32_t add(Node node) {
    if (grammar_.nodes.size() >= kMostNodes) refuse("#", "it may have " + std::to_string(kMostNodes) + " parts");
    grammar_.nodes.push_back(std::move(node));
    return static_cast<int32_t>(grammar_.nodes.size() - 1);
  }

  // Any value at all.
  int32_t any() {
    if (any_ != kNothing) return any_;
    any_ = add({.kind = Kind::kAnyOf});
    std::vector<int32_t> kinds = {add({.kind = Kind::kString}), add({.kind = Kind::kNumber}),
                                  add({.kind = Kind::kLiterals, .literals = {"true", "false", "null"}}),
                                  add({.kind = Kind::kMap, .rest = any_}), add({.kind = Kind::kArray, .rest = any_})};
    at(any_).children = std::move(kinds);
    return any_;
  }

  // One node for one place, so that what refers to itself ends.
  int32_t node_of(const Json& schema, const std::string& place) {
    if (const auto found = known_.find(&schema); found != known_.end()) return found->second;
    if (++within_ > kMostWithin)
      refuse(place, "schemas may lead to " + std::to_string(kMostWithin) + " others in a row");
    const int32_t index = add({});
    known_[&schema] = index;
    if (schema == Json(true)) {
      at(index).children = {any()};
    } else if (schema != Json(false)) {
      if (!schema.is_object()) refuse(place, "a schema must be an object, true or false");
      fill(index, schema, place);
    }
    --within_;
    return index;
  }

  void fill(int32_t index, const Json& schema, const std::string& place) {
    std::set<std::string> left;
    for (const auto& [key, value] : schema.items()) {
      if (!annotations().contains(key)) left.insert(key);
    }
    const auto take = [&](const char* key) -> const Json* { return left.erase(key) > 0 ? &schema[key] : nullptr; };
    if (const Json* reference = take("$ref")) {
      require_nothing(left, place, "$ref");
      at(index).children = {target_of(*reference, place)};
      return;
    }
    if (const Json* options = take("anyOf")) {
      require_nothing(left, place, "anyOf");
      at(index).children = all_of(*options, place + "/anyOf");
      return;
    }
    std::vector<std::string> types = types_of(take("type"), place);
    const Json* chosen = take("enum");
    const Json* constant = take("const");
    if (chosen != nullptr || constant != nullptr) {
      require_nothing(left, place, chosen ? "enum" : "const");
      if (chosen && constant) refuse(place, "enum and const together are not supported");
      if (chosen && (!chosen->is_array() || chosen->empty())) refuse(place, "enum must be a list of values");
      fill_literals(index, constant ? Json::array({*constant}) : *chosen, types, place);
      return;
    }
    if (types.empty()) types = implied_types(left, place);
    std::vector<int32_t> kinds;
    for (const std::string& type : types) kinds.push_back(node_of_type(type, schema, left, place));
    require_nothing(left, place, "type " + base::in_quotes(types.front()));
    at(index).children = std::move(kinds);
  }

  void require_nothing(const std::set<std::string>& left, const std::string& place, const std::string& beside) {
    if (left.empty()) return;
    refuse(place, base::in_quotes(*left.begin()) + " is not supported beside " + beside);
  }

  std::vector<std::string> types_of(const Json* type, const std::string& place) {
    if (type == nullptr) return {};
    static const std::set<std::string> kTypes = {"object", "array", "string", "number", "integer", "boolean", "null"};
    const Json list = type->is_array() ? *type : Json::array({*type});
    std::vector<std::string> types;
    for (const Json& one : list) {
      if (!one.is_string() || !kTypes.contains(one.get<std::string>())) refuse(place, "type must name types of JSON");
      if (std::find(types.begin(), types.end(), one.get<std::string>()) == types.end()) {
        types.push_back(one.get<std::string>());
      }
    }
    if (types.empty()) refuse(place, "type must name types of JSON");
    return types;
  }

  // Without a type the keywords of one type mean it; a value of another type would satisfy them too, but nobody means
  // that.
  std::vector<std::string> implied_types(const std::set<std::string>& left, const std::string& place) {
    const std::pair<const char*, std::vector<const char*>> families[] = {
        {"object", {"properties", "required", "additionalProperties"}},
        {"array", {"items", "prefixItems", "minItems", "maxItems"}},
        {"string", {"minLength", "maxLength", "pattern"}}};
    std::vector<std::string> types;
    for (const auto& [type, keys] : families) {
      if (std::any_of(keys.begin(), keys.end(), [&](const char* key) { return left.contains(key); })) {
        types.emplace_back(type);
      }
    }
    if (types.size() > 1) refuse(place, "keywords of several types need a type beside them");
    if (types.empty()) types = {"string", "number", "boolean", "null", "object", "array"};
    return types;
  }

  int32_t node_of_type(const std::string& type, const Json& schema, std::set<std::string>& left,
                       const std::string& place) {
    if (type == "string") {
      const auto [least, most] = bounds(schema, left, "minLength", "maxLength", place);
      if (left.erase("pattern") == 0) return add({.kind = Kind::kString, .least = least, .most = most});
      if (!schema["pattern"].is_string()) refuse(place, "pattern must be text");
      const auto expression = schema["pattern"].get<std::string>();
      return add({.kind = Kind::kString,
                  .pattern = std::make_shared<Pattern>(Pattern::compile(expression, least, most, place))});
    }
    if (type == "number") return add({.kind = Kind::kNumber});
    if (type == "integer") return add({.kind = Kind::kInteger});
    if (type == "boolean") return add({.kind = Kind::kLiterals, .literals = {"true", "false"}});
    if (type == "null") return add({.kind = Kind::kLiterals, .literals = {"null"}});
    return type == "array" ? array_of(schema, left, place) : object_of(schema, left, place);
  }

  std::pair<int64_t, int64_t> bounds(const Json& schema, std::set<std::string>& left, const char* least_key,
                                     const char* most_key, const std::string& place) {
    const auto read = [&](const char* key, int64_t otherwise) {
      if (left.erase(key) == 0) return otherwise;
      const Json& value = schema[key];
      if (!value.is_number_integer() || value < 0 || value > 1000000) {
        refuse(place, std::string(key) + " must be an integer from 0 to 1000000");
      }
      return value.get<int64_t>();
    };
    const int64_t least = read(least_key, 0), most = read(most_key, kUnbounded);
    if (least > most) refuse(place, std::string(least_key) + " is larger than " + most_key);
    return {least, most};
  }

  int32_t array_of(const Json& schema, std::set<std::string>& left, const std::string& place) {
    Node node{.kind = Kind::kArray};
    std::tie(node.least, node.most) = bounds(schema, left, "minItems", "maxItems", place);
    if (left.erase("prefixItems") > 0) node.children = all_of(schema["prefixItems"], place + "/prefixItems");
    if (left.erase("items") == 0) {
      node.rest = any();
    } else if (schema["items"] != Json(false)) {
      node.rest = node_of(schema["items"], place + "/items");
    }
    if (node.rest == kNothing) node.most = std::min(node.most, std::ssize(node.children));
    if (node.least > node.most) refuse(place, "minItems is larger than the items that there are");
    return add(std::move(node));
  }

  int32_t object_of(const Json& schema, std::set<std::string>& left, const std::string& place) {
    const Json none = Json::object();
    const Json& properties = left.erase("properties") > 0 ? schema["properties"] : none;
    if (!properties.is_object()) refuse(place, "properties must be an object");
    std::set<std::string> required;
    if (left.erase("required") > 0) {
      const Json& list = schema["required"];
      if (!list.is_array()) refuse(place, "required must be a list of names");
      for (const Json& name : list) {
        if (!name.is_string() || !properties.contains(name.get<std::string>())) {
          refuse(place, "required must name properties that are there: " + base::dump_json(name));
        }
        required.insert(name.get<std::string>());
      }
    }
    const bool says_more = left.erase("additionalProperties") > 0;
    const Json more = says_more ? schema["additionalProperties"] : Json(properties.empty());
    if (!properties.empty() && more != Json(false)) {
      refuse(place, "properties beside additionalProperties other than false are not supported");
    }
    if (properties.empty() && more != Json(false)) {
      const int32_t values =
          says_more ? node_of(schema["additionalProperties"], place + "/additionalProperties") : any();
      return add({.kind = Kind::kMap, .rest = values});
    }
    Node node{.kind = Kind::kObject};
    for (const auto& [name, value] : properties.items()) {
      node.properties.push_back(
          {base::dump_json(Json(name)), node_of(value, place + "/properties/" + name), required.contains(name)});
    }
    return add(std::move(node));
  }

  std::vector<int32_t> all_of(const Json& list, const std::string& place) {
    if (!list.is_array() || list.empty()) refuse(place, "must be a list of schemas");
    std::vector<int32_t> nodes;
    for (size_t i = 0; i < list.size(); ++i) nodes.push_back(node_of(list[i], place + "/" + std::to_string(i)));
    return nodes;
  }

  void fill_literals(int32_t index, const Json& values, const std::vector<std::string>& types,
                     const std::string& place) {
    Node node{.kind = Kind::kLiterals, .height = 0};
    for (const Json& value : values) {
      const bool fits = types.empty() || std::any_of(types.begin(), types.end(),
                                                     [&](const std::string& type) { return is_of_type(value, type); });
      if (!fits) continue;
      node.literals.push_back(base::dump_json(value));
      node.height = std::max(node.height, depth_of(value));
      literal_bytes_ += node.literals.back().size();
    }
    if (node.literals.empty()) refuse(place, "no value of enum or const is of its type");
    if (literal_bytes_ > kMostLiteralBytes) refuse(place, "values of enum and const may take 256 KiB");
    const int32_t literals = add(std::move(node));
    at(index).children = {literals};
  }

  int32_t target_of(const Json& reference, const std::string& place) {
    if (!reference.is_string()) refuse(place, "$ref must be text");
    const std::string path = reference.get<std::string>();
    if (path != "#" && !path.starts_with("#/"))
      refuse(place, "$ref must lead to a place in this schema, as #/$defs/name");
    const Json* target = &schema_;
    try {
      target = &schema_.at(Json::json_pointer(path.substr(1)));
    } catch (const Json::exception&) {
      refuse(place, "$ref leads nowhere: " + base::in_quotes(path));
    }
    return node_of(*target, path);
  }

  // Alternatives of alternatives become alternatives; then how deep every node has to go, from the leaves up. What a
  // node refers to mostly follows it, so that going backwards finds most of the work done.
  void finish() {
    size_t alternatives = 0;
    for (auto index = static_cast<int32_t>(grammar_.nodes.size()) - 1; index >= 0; --index) {
      if (at(index).kind != Kind::kAnyOf) continue;
      std::set<int32_t> seen;
      std::vector<int32_t> flat;
      flatten(index, seen, flat);
      alternatives += seen.size();
      if (alternatives > kMostAlternatives) {
        refuse("#", "its alternatives may add up to " + std::to_string(kMostAlternatives));
      }
      at(index).children = std::move(flat);
    }
    // A round settles what needs one level more, with alternatives in two; what is not settled by then is too deep.
    for (int round = 0; round < 2 * (kMostDepth + 2); ++round) {
      for (auto node = grammar_.nodes.rbegin(); node != grammar_.nodes.rend(); ++node) node->height = height_of(*node);
    }
  }

  void flatten(int32_t index, std::set<int32_t>& seen, std::vector<int32_t>& flat) {
    if (!seen.insert(index).second) return;
    if (at(index).kind != Kind::kAnyOf) return flat.push_back(index);
    for (const int32_t child : at(index).children) flatten(child, seen, flat);
  }

  int height_of(const Node& node) const {
    const auto height = [&](int32_t index) { return grammar_.node(index).height; };
    int most = 0, fewest = kNoHeight;
    switch (node.kind) {
      case Kind::kLiterals:
        return node.height == kNoHeight ? 0 : node.height;
      case Kind::kString:
      case Kind::kNumber:
      case Kind::kInteger:
        return 0;
      case Kind::kMap:
        return 1;
      case Kind::kObject:
        for (const Property& one : node.properties) most = std::max(most, one.required ? height(one.value) : 0);
        return std::min(kNoHeight, most + 1);
      case Kind::kArray:
        for (int64_t i = 0; i < std::min(node.least, std::ssize(node.children) + 1); ++i) {
          most = std::max(most, height(node.item(i)));
        }
        return std::min(kNoHeight, most + 1);
      case Kind::kAnyOf:
        for (const int32_t child : node.children) fewest = std::min(fewest, height(child));
        return fewest;
    }
    return kNoHeight;
  }

  const Json& schema_;
  Grammar grammar_;
  std::map<const Json*, int32_t> known_;
  int32_t any_ = kNothing;
  size_t literal_bytes_ = 0;
  int within_ = 0;
};

}  // namespace

Grammar compile(const Json& schema) { return Compiler(schema).compile(); }

Grammar any_object() {
  const Json none;
  return Compiler(none).compile_any_object();
}

}  // namespace dsmoe::schema
