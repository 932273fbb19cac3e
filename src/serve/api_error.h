// What a client is told when it cannot have what it asked for: a status, and OpenAI's error object as the body.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/json.h"

namespace dsmoe::serve {

class ApiError : public std::runtime_error {
 public:
  ApiError(int status, const std::string& message) : std::runtime_error(message), status_(status) {}
  ApiError& param(std::string_view name) { return param_ = name, *this; }
  ApiError& code(std::string_view code) { return code_ = code, *this; }
  ApiError& retry_after(int seconds) { return retry_after_ = seconds, *this; }

  int status() const { return status_; }
  /// Seconds for the Retry-After header.
  std::optional<int> retry_after() const { return retry_after_; }
  /// {"error": {"message", "type", "param", "code"}}
  base::Json body() const;

 private:
  int status_;
  std::string param_, code_;
  std::optional<int> retry_after_;
};

/// 400 about a member of the request's body.
ApiError bad_request(std::string_view param, const std::string& message);
/// 503 in each of its two cases.
ApiError still_loading();
ApiError shutting_down();
/// What an exception of the libraries below means to a client: their errors of input are 400, all else 500.
ApiError as_api_error(const std::exception& error);

}  // namespace dsmoe::serve
