#include "apps/source_arguments.h"

#include <charconv>
#include <iostream>

#include "base/error.h"

namespace dsmoe::apps {

void SourceArguments::add_to(CLI::App& command) {
  command
      .add_option("--invalid-utf8", invalid_utf8,
                  "what bytes and JSON escapes that are no text do: stop, or become U+FFFD")
      ->check(CLI::IsMember({"refuse", "replace"}))
      ->capture_default_str();
  command
      .add_option("--longest-document", longest_document,
                  "bytes (or 500MB, 2GB) that a document may have; memory grows with the longest")
      ->transform(CLI::AsSizeValue(false))
      ->transform(CLI::Validator(
          [](std::string& text) {  // runs before the other, which reads -1 as 2^64 - 1 and cuts what is above
            uint64_t digits = 0;
            const std::errc fault = std::from_chars(text.data(), text.data() + text.size(), digits).ec;
            return fault == std::errc() ? ""
                                        : "must be a whole number, B, KB, MB or GB behind it: " + base::in_quotes(text);
          },
          ""))
      ->type_name("SIZE")
      ->default_str("128MB");
}

corpus::InvalidUtf8 SourceArguments::policy() const {
  return invalid_utf8 == "replace" ? corpus::InvalidUtf8::kReplace : corpus::InvalidUtf8::kRefuse;
}

corpus::ReadLimits SourceArguments::limits() const { return {.longest_document = longest_document}; }

void print_repairs(const corpus::TextRepairs& repairs) {
  if (repairs.replaced_bytes > 0) {
    std::cerr << "warning: " << repairs.replaced_bytes << " bytes that were not UTF-8 became U+FFFD\n";
  }
  if (repairs.replaced_escapes > 0) {
    std::cerr << "warning: " << repairs.replaced_escapes
              << " escapes that were half of a surrogate pair became U+FFFD\n";
  }
}

}  // namespace dsmoe::apps
