// Options that take a real number: the one place that reads them. CLI11's own reading takes an empty word for 0, nan
// for a number and 0x10 for 16.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <string>

#include "apps/whole_number.h"
#include "base/error.h"

namespace dsmoe::apps {

/// An option that sets `value`, whose present value is the default that help shows: decimal digits, with a point and an
/// exponent where one is wanted. What range it lies in is checked by whoever uses it.
inline CLI::Option* add_real_number(CLI::App& command, const std::string& names, double& value,
                                    const std::string& help) {
  const std::string name = first_long_name(names);
  const auto read = [name, &value](const std::string& text) {
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto [next, fault] = std::from_chars(text.data(), end, number);
    if (fault != std::errc() || next != end || !std::isfinite(number)) {
      throw CLI::ValidationError(name + " must be a decimal number: " + base::in_quotes(text));
    }
    value = number;
  };
  char shown[32];
  std::snprintf(shown, sizeof shown, "%g", value);
  return command.add_option_function<std::string>(names, read, help)->type_name("X")->default_str(shown);
}

}  // namespace dsmoe::apps
