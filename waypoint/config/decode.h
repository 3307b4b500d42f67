#pragma once
// decode: Envoy's resources, as istiod or our own control send them, into the values of this
// folder. Nothing is dropped in silence: a field that is not honoured is a problem that names it
// where it decides about security or about who gets a request, and otherwise is listed.
//
// Problems are told by path: `filterChains[2].filters[0].typedConfig.rules.policies["ns[a]…"]: …`.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "waypoint/config/model.h"

namespace mesh::waypoint::config {

class Input;
class Tree;

inline constexpr std::string_view kListenerType =
    "type.googleapis.com/envoy.config.listener.v3.Listener";
inline constexpr std::string_view kClusterType =
    "type.googleapis.com/envoy.config.cluster.v3.Cluster";
inline constexpr std::string_view kEndpointsType =
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
inline constexpr std::string_view kRouteType =
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
inline constexpr std::string_view kExtensionType =
    "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

inline constexpr std::string_view kSecretType =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

// Limits of one resource.
inline constexpr std::size_t kMaxResourceBytes = 16u << 20;
inline constexpr std::uint64_t kMaxMaglevTable = 5'000'011;

// What a listener is to us: the HBONE port, the table of destinations, or a part of Envoy's own way
// to a tunnel, which is built in here.
struct Listener {
  enum class Role : std::uint8_t { kTerminate, kMain, kPlumbing };
  std::string name = {};
  Role role = Role::kPlumbing;
  Terminate terminate = {};
  Snapshot::Destinations destinations = {};
  Snapshot::Hostnames hostnames = {};
  Destination direct = {};
  std::vector<ChainPtr> chains = {};
};

struct ClusterResource {
  Cluster cluster = {};
  std::optional<Originate> originate = {};  // of connect_originate: not a cluster to us
};

struct Extension {
  std::string name = {};
  HttpFilter filter = {};
  bool ignored = false;  // a filter that does nothing here
};

template <class T>
struct Decoded {
  // None: it cannot be used at all. A listener with a problem in one chain still has a value, in
  // which that chain refuses everything.
  std::optional<T> value = {};
  std::string problem = {};  // not empty: NACK
  std::vector<NotHonoured> not_honoured = {};
};

// From the bytes of an Any of the type above, or from canonical JSON (recordings).
Decoded<Listener> decode_listener(std::string_view bytes);
Decoded<ClusterResource> decode_cluster(std::string_view bytes);
Decoded<Endpoints> decode_endpoints(std::string_view bytes);
Decoded<RouteTable> decode_routes(std::string_view bytes);
Decoded<Extension> decode_extension(std::string_view bytes);
Decoded<Secret> decode_secret(std::string_view bytes);
Decoded<Listener> decode_listener_json(std::string_view json);
Decoded<ClusterResource> decode_cluster_json(std::string_view json);
Decoded<Endpoints> decode_endpoints_json(std::string_view json);
Decoded<RouteTable> decode_routes_json(std::string_view json);
Decoded<Extension> decode_extension_json(std::string_view json);
Decoded<Secret> decode_secret_json(std::string_view json);

// Parts of the above, over a Tree.
Listener listener_of(Input& in, const Tree& at, std::string& chain_problem);
Cluster cluster_of(Input& in, const Tree& at);
Endpoints endpoints_of(Input& in, const Tree& at);
bool is_prime(std::uint64_t number);

}  // namespace mesh::waypoint::config
