#pragma once
// Snapshot: everything the waypoint's data path knows at one moment, immutable and numbered. A
// request takes one at its start and keeps it to its end.
//
// Envoy's way through a waypoint (connect_terminate, the internal listener main_internal, a
// cluster, connect_originate) is one step here: the CONNECT's target selects a Chain.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mesh/net/address.h"
#include "mesh/telemetry/condition.h"
#include "waypoint/config/access_format.h"
#include "waypoint/config/cluster.h"
#include "waypoint/config/filter.h"
#include "waypoint/config/route.h"

namespace mesh::waypoint::config {

struct AccessLog {
  std::optional<AccessFormat> format = {};  // text; none and no fields: Istio's default
  std::vector<std::pair<std::string, AccessFormat>> json_fields = {};
  bool json = false;
  // All of these must hold.
  struct Filter {
    enum class Kind : std::uint8_t {
      kStatusAtLeast,
      kStatusEquals,
      kStatusDiffers,
      kStatusAtMost,
      kFlags,  // any of; none: any flag at all
      kCondition,
    };
    Kind kind = Kind::kFlags;
    std::uint32_t status = 0;
    std::vector<std::string> flags = {};
    std::optional<telemetry::Condition> condition = {};
  };
  std::vector<Filter> filters = {};
};

struct Tracing {
  double random_sampling = 0;  // percent
  double client_sampling = 100;
  double overall_sampling = 100;
  std::string cluster = {};  // OTLP; empty: spans go nowhere, headers are still passed on
  std::string authority = {};
  std::string service_name = {};
  bool http = false;
  std::string http_path = {};
  std::vector<std::pair<std::string, std::string>> literal_tags = {};
  struct HeaderTag {
    std::string tag = {}, header = {};
    std::string fallback = {};  // where the header is not there; empty: no tag
  };
  std::vector<HeaderTag> header_tags = {};
  std::uint32_t max_path = 256;  // bytes of a path in a span
};

// How HTTP is spoken on a chain and what becomes of a request.
struct HttpChain {
  std::vector<HttpFilter> filters = {};  // in order; the router is implied
  RouteTablePtr routes = {};             // null: not there yet, 404 is not the answer but 503
  std::string route_config_name = {};    // of RDS; empty: inline
  bool normalize_path = true;
  bool merge_slashes = false;
  enum class EscapedSlashes : std::uint8_t {
    kKeep,
    kReject,
    kUnescapeAndRedirect,
    kUnescapeAndForward
  };
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
  std::vector<std::string> upgrades = {};  // lower case: "websocket"
  bool proxy_100_continue = false;
  std::string server_name = "istio-envoy";
  std::chrono::milliseconds stream_idle_timeout{300'000};  // 0: none
  std::chrono::milliseconds request_timeout{0};
  std::chrono::milliseconds request_headers_timeout{0};
  std::chrono::milliseconds idle_timeout{3'600'000};
  std::chrono::milliseconds drain_timeout{5'000};
  std::chrono::milliseconds max_stream_duration{0};
  std::uint32_t max_request_headers_kb = 60;
  std::uint32_t max_headers = 100;
  bool use_remote_address = false;
  std::uint32_t trusted_hops = 0;
  // x-forwarded-client-cert towards the application. kSanitize: none.
  enum class ClientCert : std::uint8_t { kSanitize, kIdentity };
  ClientCert client_cert = ClientCert::kSanitize;
  bool preserve_external_request_id = false;
  bool always_set_request_id = false;
  std::vector<AccessLog> access_logs = {};
  std::optional<Tracing> tracing = {};
  std::string stat_prefix = {};
};

struct TcpChain {
  std::vector<RbacFilter> rbac = {};          // in order
  std::vector<std::string> unavailable = {};  // filters we do not have: refuse, with these names
  struct Target {
    std::string cluster = {};
    std::uint32_t weight = 1;
  };
  std::vector<Target> targets = {};
  std::uint64_t total_weight = 0;
  std::chrono::milliseconds idle_timeout{3'600'000};
  std::chrono::milliseconds max_duration{0};
  bool hash_source_ip = false;  // else connections are not told apart
  std::vector<AccessLog> access_logs = {};
  std::string stat_prefix = {};
};

struct Chain {
  std::string name = {};
  std::optional<HttpChain> http = {};
  std::optional<TcpChain> tcp = {};
  bool direct = false;  // goes to the address that was dialled: direct-http, direct-tcp
};
using ChainPtr = std::shared_ptr<const Chain>;

// What a CONNECT's target leads to. Exactly http: HTTP is spoken; exactly tcp: bytes are passed on;
// both: the first bytes decide. Neither: there is no such destination.
struct Destination {
  ChainPtr http = {};
  ChainPtr tcp = {};

  bool found() const { return http != nullptr || tcp != nullptr; }
  bool sniff() const { return http != nullptr && tcp != nullptr; }
};

// The HBONE listener.
struct Terminate {
  std::uint16_t port = 15'008;
  std::uint32_t max_concurrent_streams = 100;
  std::chrono::milliseconds keepalive_interval{10'000};
  std::chrono::milliseconds keepalive_timeout{20'000};
  std::vector<StringMatch> client_names = {};  // URI names, any of
  std::vector<RbacFilter> rbac = {};  // layered L4 policy, before a target is even looked at
  std::chrono::milliseconds stream_idle_timeout{0};
};

// Tunnels to endpoints (connect_originate).
struct Originate {
  std::vector<StringMatch> server_names = {};  // URI names, any of; none: nobody is trusted
  std::chrono::milliseconds idle_timeout{3'600'000};
  std::chrono::milliseconds connect_timeout{10'000};
  std::uint16_t port = 15'008;
};

// Something the configuration asks for that we do without: shown, not refused.
struct NotHonoured {
  std::string resource = {};
  std::string path = {};  // "filterChains[0].filters[1].tracing.customTags"
};

class Snapshot {
 public:
  std::uint64_t number = 0;
  std::string version = {};  // of whoever configures us
  // The HBONE listener and the table of destinations have come, with everything they need. False:
  // nothing is let through (Reason::kNotReady).
  bool ready = false;
  Terminate terminate = {};
  Originate originate = {};
  std::vector<NotHonoured> not_honoured = {};

  // A block of addresses, and a port or any.
  struct Block {
    net::Cidr block = {};
    std::optional<std::uint16_t> port = {};
    Destination destination = {};
  };
  struct Destinations {
    std::map<net::SocketAddress, Destination> exact = {};
    std::vector<Block> blocks =
        {};  // the longest first, and those with a port before those without
  };
  using Hostnames = std::map<std::string, Destination, std::less<>>;  // "host:port", lower case
  using Clusters = std::map<std::string, ClusterPtr, std::less<>>;
  using EndpointsMap = std::map<std::string, EndpointsPtr, std::less<>>;

  // Shared with the snapshots before and after. Never null after make().
  std::shared_ptr<const Destinations> by_address = std::make_shared<Destinations>();
  std::shared_ptr<const Hostnames> by_hostname = std::make_shared<Hostnames>();
  Destination direct = {};  // an address of none of the above
  std::shared_ptr<const Clusters> clusters = std::make_shared<Clusters>();
  std::shared_ptr<const EndpointsMap> endpoints = std::make_shared<EndpointsMap>();

  // What a CONNECT for this address leads to: a service's, else `direct`.
  const Destination& find(const net::SocketAddress& target) const;
  // The same for "host:port" (a double tunnel's inner CONNECT). Never `direct`.
  const Destination* find_host(std::string_view authority) const;
  // Null: there is none.
  const Cluster* cluster(std::string_view name) const;
  // Of a cluster, whatever its discovery; null: they have not come.
  const Endpoints* endpoints_of(const Cluster& cluster) const;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace mesh::waypoint::config
