#pragma once
// One HTTP/1.1 request to a program of ours: admin pages, readiness, control's debug pages.

#include <chrono>
#include <cstdint>
#include <string>

#include "cli/outcome.h"

namespace mesh::cli {

enum class HttpMethod : std::uint8_t { kGet, kPost };  // a POST has an empty body

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string url = "";           // the host is an IP literal
  std::string bearer_token = "";  // "" sends none
  std::chrono::milliseconds timeout{3000};
};

struct HttpAnswer {
  int status = 0;
  std::string body = "";
};

// Errors: no answer; an answer of any status is a value. Limits: 64 MiB of body.
Outcome<HttpAnswer> http_call(const HttpRequest& request);

}  // namespace mesh::cli
