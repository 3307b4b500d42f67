#pragma once
// Record: what one request, or one opaque connection, leaves behind.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/hbone/baggage.h"
#include "mesh/io/ring.h"
#include "mesh/net/address.h"
#include "waypoint/flags.h"
#include "waypoint/http/request.h"
#include "waypoint/http/value.h"

namespace mesh::waypoint {

// Who calls: the same for everything inside one CONNECT.
struct Caller {
  std::string principal;       // "spiffe://…", proven by the handshake
  std::string ns;              // of it
  net::SocketAddress address;  // of the tunnel's far end
  net::SocketAddress target;   // what was dialled: a service's address, or a pod's
  std::string authority;       // the CONNECT's
  hbone::Baggage labels = {};  // said by the caller, never trusted
  std::string own_principal;   // ours
};

namespace config {
struct AccessLog;
}

struct Record {
  io::TimePoint begun{};
  io::WallTime wall{};
  bool tcp = false;
  std::string_view protocol = "HTTP/1.1";
  std::string method = {}, path = {}, authority = {}, user_agent = {}, request_id = {};
  int status = 0;
  int grpc_status = -1;  // -1: no gRPC
  bool grpc = false;
  Flags flags = {};
  std::string details = {};  // response_code_details: "via_upstream"
  std::string connection_details = {};
  std::string upstream_failure = {};
  std::string policy = {};  // that decided
  std::uint64_t request_bytes = 0, response_bytes = 0;
  io::Duration upstream_time = io::Duration(-1);  // to the response's head
  unsigned attempts = 0;
  std::string route = {};
  std::string cluster = {};
  // Of the endpoint that answered, or was tried last.
  net::SocketAddress upstream = {};
  std::string upstream_workload = {};  // "web-0;shop;web;v1;Kubernetes"
  // Of the cluster.
  std::string service_host = {}, service_name = {}, service_namespace = {};
  std::string trace_id = {};
  // The chain's logs, and what their formats may ask for; of the time of record() only.
  const std::vector<config::AccessLog>* logs = nullptr;
  const http::Request* request = nullptr;
  const http::Value* metadata = nullptr;
  h2::Headers response_headers = {}, response_trailers = {};  // kept where there are logs
};

// Told everything that ended. One a ring.
class Recorder {
 public:
  virtual ~Recorder() = default;
  virtual void record(const Caller& caller, const Record& record, io::Duration lasted) = 0;
  virtual void tcp_opened(const Caller& caller, const Record& record) = 0;
};

}  // namespace mesh::waypoint
