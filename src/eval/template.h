// Text with places for an item's fields: "Question: {question}\nAnswer:". "{{" and "}}" are braces.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::eval {

using Fields = std::map<std::string, std::string, std::less<>>;

class Template {
 public:
  Template() = default;
  /// Throws Error(kInvalid) with `where` for braces without a partner and for an empty name.
  Template(std::string_view text, std::string_view where);

  /// Every name must be in `fields`; first_missing() says which is not.
  std::string render(const Fields& fields) const;
  /// A name that `fields` has no value for, or null.
  const std::string* first_missing(const Fields& fields) const;
  bool uses(std::string_view name) const;

 private:
  struct Piece {
    std::string text;  // of a place its name
    bool place = false;
  };
  std::vector<Piece> pieces_;
};

}  // namespace dsmoe::eval
