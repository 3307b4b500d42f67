#pragma once
// Answers of our own: a status for a named cause, and what a gRPC caller is told instead. Pure.

#include <string>
#include <string_view>

#include "mesh/h2/message.h"
#include "waypoint/flags.h"
#include "waypoint/wire/stream.h"

namespace mesh::waypoint {

struct LocalReply {
  int status = 500;
  Flags flags = {};
  std::string details = {};  // response_code_details
  std::string body = {};
  h2::Headers headers = {};
  bool grpc_resource_exhausted = false;
  bool grpc_deadline = false;  // the caller's own: DEADLINE_EXCEEDED, nothing that is worth a retry
};

// Without those two: 400 -> 13, 401 -> 16, 403 -> 7, 404 -> 12, 429, 502, 503, 504 -> 14, else 2.
int grpc_status_of(int http_status);

// As it is sent: for gRPC a 200 with grpc-status and grpc-message, and nothing after it.
struct FormedReply {
  wire::Response response;
  std::string body;
  int grpc_status = -1;
};
FormedReply form(const LocalReply& reply, bool grpc);

// Percent-encoded as grpc-message asks.
std::string grpc_message(std::string_view text);

}  // namespace mesh::waypoint
