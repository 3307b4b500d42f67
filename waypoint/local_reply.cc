#include "waypoint/local_reply.h"

namespace mesh::waypoint {

int grpc_status_of(int http_status) {
  switch (http_status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

std::string grpc_message(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
  return out;
}

FormedReply form(const LocalReply& reply, bool grpc) {
  FormedReply formed;
  formed.response.status = reply.status;
  formed.response.headers = reply.headers;
  if (h2::find_header(reply.headers, "grpc-status")) return formed;  // it is in gRPC's words
  if (grpc) {
    http::remove_header(formed.response.headers, "content-type");
    formed.grpc_status = grpc_status_of(reply.status);
    if (reply.status == 429 && reply.grpc_resource_exhausted) formed.grpc_status = 8;
    if (reply.grpc_deadline) formed.grpc_status = 4;
    formed.response.status = 200;
    formed.response.headers.push_back({"content-type", "application/grpc"});
    formed.response.headers.push_back({"grpc-status", std::to_string(formed.grpc_status)});
    if (!reply.body.empty()) {
      formed.response.headers.push_back({"grpc-message", grpc_message(reply.body)});
    }
    return formed;
  }
  formed.body = reply.body;
  if (!reply.body.empty() && !h2::find_header(reply.headers, "content-type")) {
    formed.response.headers.push_back({"content-type", "text/plain"});
  }
  formed.response.headers.push_back({"content-length", std::to_string(reply.body.size())});
  return formed;
}

}  // namespace mesh::waypoint
