#pragma once
// MeshConfig: the part of the incumbent's mesh-wide configuration that names whom others refer to:
// its extension providers, and which of them are meant where nobody is named. Read from a file of
// its own, plain or as the ConfigMap that holds it.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/manifest/parse.h"

namespace mesh::manifest {

inline constexpr std::size_t kProvidersMax = 256;
// `object` of every problem with it.
inline constexpr std::string_view kMeshConfigObject = "MeshConfig";

// envoyExtAuthzGrpc, envoyExtAuthzHttp: whom AuthorizationPolicies of action CUSTOM ask.
struct AuthzProvider {
  struct Body {
    std::uint32_t max_bytes = 0;
    bool allow_partial = false;
    bool pack_as_bytes = false;
  };
  std::string name;
  bool grpc = true;
  std::string ns = {};  // of the service, when it is said: "infra/authz.example.com"
  std::string host = {};
  std::uint16_t port = 0;
  std::chrono::milliseconds timeout{600'000};
  bool fail_open = false;
  std::uint16_t status_on_error = 403;
  bool clear_route_cache = false;
  std::optional<Body> body = {};
  // HTTP. Names of headers: exact, "prefix*", "*suffix" or "*".
  std::string path_prefix = {};
  std::vector<std::string> request_headers = {};
  std::vector<std::pair<std::string, std::string>> added_headers = {};
  std::vector<std::string> upstream_headers = {};         // on allow, to the request
  std::vector<std::string> client_headers_on_allow = {};  // to the response
  std::vector<std::string> client_headers_on_deny = {};
};

// opentelemetry: a collector of spans.
struct TracingProvider {
  std::string name = {};
  std::string ns = {};  // of the service, when it is said
  std::string host = {};
  std::uint16_t port = 0;
  bool http = false;  // else gRPC
  std::string path = "/v1/traces";
  std::chrono::milliseconds timeout{10'000};
  std::uint32_t max_tag_length = 256;
};

// envoyFileAccessLog: lines of an access log.
struct LogProvider {
  std::string name = {};
  std::string path = "/dev/stdout";
  std::string text = {};  // a format; empty, without fields: the usual one
  std::vector<std::pair<std::string, std::string>> fields = {};  // JSON
  bool omit_empty = false;
};

// weftRateLimitGrpc: a service that counts requests for a whole mesh, by Envoy's protocol; whom the
// annotation weft.dev/rate-limit of routes asks.
struct LimitProvider {
  std::string name = {};
  std::string ns = {};  // of the service, when it is said
  std::string host = {};
  std::uint16_t port = 0;
  std::string domain = {};  // under which it counts
  std::chrono::milliseconds timeout{20};
  bool fail_open = false;
};

// weftExtProcGrpc: a service that sees requests and responses, and changes them, by Envoy's
// protocol; whom the annotation weft.dev/external-processor of Services and Gateways shows them.
struct ProcessorProvider {
  enum class Body : std::uint8_t { kNone, kStreamed, kBuffered, kBufferedPartial };
  struct Side {  // what of a request, or of a response
    bool headers = true;
    Body body = Body::kNone;
    bool trailers = false;
  };
  std::string name = {};
  std::string ns = {};  // of the service, when it is said
  std::string host = {};
  std::uint16_t port = 0;
  std::chrono::milliseconds message_timeout{200};
  bool fail_open = false;
  bool allow_mode_override = false;  // it may ask for more of a message, or less
  Side request = {};
  Side response = {};
};

struct MeshConfig {
  std::vector<AuthzProvider> authorizers = {};
  std::vector<LimitProvider> limiters = {};
  std::vector<ProcessorProvider> processors = {};
  std::vector<TracingProvider> tracers = {};
  // With one called "envoy", which is there whether it is written or not.
  std::vector<LogProvider> loggers = {};
  // Those that cannot be used: by name, why.
  std::vector<std::pair<std::string, std::string>> unusable = {};
  // What is meant where no Telemetry says anything.
  std::vector<std::string> default_tracing = {}, default_logging = {};

  // Null: nobody of that name can be asked.
  const AuthzProvider* authorizer(std::string_view name) const;
  const LimitProvider* limiter(std::string_view name) const;
  const ProcessorProvider* processor(std::string_view name) const;
  const TracingProvider* tracer(std::string_view name) const;
  const LogProvider* logger(std::string_view name) const;
  // Why nobody of that name can be used for `what` ("traces", "access logs").
  std::string why_not(std::string_view name, std::string_view what) const;
};

struct ParsedMeshConfig {
  MeshConfig config;
  std::vector<Problem> problems;  // with an error: the configuration must not be used
};
// What of it we do not read (other providers, other settings) is no problem.
ParsedMeshConfig parse_mesh_config(const std::string& file, std::string_view text);

}  // namespace mesh::manifest
