#include "serve/api_error.h"

#include "base/error.h"

namespace dsmoe::serve {
namespace {

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

base::Json text_or_null(const std::string& text) { return text.empty() ? base::Json() : base::Json(text); }

}  // namespace

base::Json ApiError::body() const {
  return {{"error",
           {{"message", what()},
            {"type", type_of(status_)},
            {"param", text_or_null(param_)},
            {"code", text_or_null(code_)}}}};
}

ApiError bad_request(std::string_view param, const std::string& message) {
  ApiError error(400, message);
  if (!param.empty()) error.param(param);
  return error;
}

ApiError still_loading() { return ApiError(503, "Loading model").code("loading").retry_after(1); }
ApiError shutting_down() { return ApiError(503, "the server is shutting down").code("draining").retry_after(10); }

ApiError as_api_error(const std::exception& error) {
  if (const auto* own = dynamic_cast<const ApiError*>(&error)) return *own;
  if (const auto* input = dynamic_cast<const base::Error*>(&error)) {
    const bool theirs = input->kind() == base::ErrorKind::kUsage || input->kind() == base::ErrorKind::kInvalid;
    return ApiError(theirs ? 400 : 500, input->what());
  }
  return ApiError(500, std::string("internal error: ") + error.what());
}

}  // namespace dsmoe::serve
