// Options that take a whole number: the one place that reads them. CLI11's own reading takes -1 for an unsigned number
// as 2^64 - 1, and 010 as 8.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <limits>
#include <string>

#include "base/error.h"

namespace dsmoe::apps {

template <class T>
struct Bounds {
  T least = 0;
  T most = std::numeric_limits<T>::max();

  std::string text() const {
    const std::string from = "from " + std::to_string(least);
    return most == std::numeric_limits<T>::max() ? from + " on" : from + " to " + std::to_string(most);
  }
};

/// "--predict" of "-n,--predict,--n-predict": the name that errors have.
inline std::string first_long_name(const std::string& names) {
  const size_t begin = names.find("--");
  return begin == std::string::npos ? names : names.substr(begin, names.find(',', begin) - begin);
}

/// Reads decimal digits, with a minus for what is below zero, into `value`; throws CLI::ValidationError naming the
/// option for anything else and for what lies outside the bounds.
template <class T>
void read_whole_number(const std::string& option, const std::string& text, const Bounds<T>& bounds, T& value) {
  T number{};
  const char* const end = text.data() + text.size();
  const auto [next, fault] = std::from_chars(text.data(), end, number);
  if (fault != std::errc() || next != end || number < bounds.least || number > bounds.most) {
    throw CLI::ValidationError(option + " must be a whole number " + bounds.text() + ": " + base::in_quotes(text));
  }
  value = number;
}

/// An option that sets `value`, whose present value is the default that help shows.
template <class T>
CLI::Option* add_whole_number(CLI::App& command, const std::string& names, T& value, const std::string& help,
                              Bounds<T> bounds = {}) {
  const std::string name = first_long_name(names);
  CLI::Option* option = command.add_option_function<std::string>(
      names, [name, bounds, &value](const std::string& text) { read_whole_number(name, text, bounds, value); }, help);
  return option->type_name("N")->default_str(std::to_string(value));
}

/// -t,--threads of every command.
inline CLI::Option* add_threads(CLI::App& command, int& threads, const std::string& names = "-t,--threads",
                                const std::string& help = "0: as many as this process may use") {
  return add_whole_number(command, names, threads, help, {0, 1024});
}

}  // namespace dsmoe::apps
