#pragma once
// What every part of a waypoint's configuration is made of: names, packing, and the boilerplate
// around clusters and TLS.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/envoy/catalog.h"
#include "wire.pb.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace envoy::config::core::v3 {
class Metadata;
class TransportSocket;
}  // namespace envoy::config::core::v3
namespace envoy::extensions::transport_sockets::tls::v3 {
class CommonTlsContext;
}
namespace google::protobuf {
class MessageLite;
}

namespace mesh::control {

inline constexpr std::string_view kMainInternal = "main_internal";
inline constexpr std::string_view kConnectOriginate = "connect_originate";
inline constexpr std::string_view kConnectTerminate = "connect_terminate";
inline constexpr std::string_view kEncap = "encap";
inline constexpr std::string_view kOriginalDst = "envoy.filters.listener.original_dst";
inline constexpr std::string_view kPeerPrincipal = "io.istio.peer_principal";

// What distinguishes one waypoint proxy's configuration from another's.
struct WaypointClient {
  const manifest::Gateway* gateway = nullptr;
  Locality locality;             // of the proxy itself
  manifest::Labels labels = {};  // of its pod
  std::string sds_folder;  // where it finds its secrets as files; empty: at its cluster `sds-grpc`
  bool checks_through_tunnels = false;  // its health checks reach those behind tunnels: not Envoy's
};

// "inbound-vip|80|http/v1|web.shop.svc.cluster.local": a service that the waypoint stands before.
std::string inbound_cluster(const CatalogService& service, std::uint16_t port, bool http,
                            std::string_view subset = {});
// "outbound|80|v1|pay.pay.svc.cluster.local": any other.
std::string outbound_cluster(const CatalogService& service, std::uint16_t port,
                             std::string_view subset = {});

void pack(const google::protobuf::MessageLite& message, weft::wire::Any* into);
void set_duration(weft::wire::Duration* into, std::chrono::milliseconds time);

// "filter": {"key": "value"}
void add_metadata(envoy::config::core::v3::Metadata* into, std::string_view filter,
                  std::string_view key, std::string_view value);
// "istio": {"config": "/apis/…"}: the object that this is made from.
void add_origin(envoy::config::core::v3::Metadata* into, std::string_view api,
                std::string_view kind, std::string_view ns, std::string_view name);

// The waypoint's own identity, peers of its trust domain, TLS 1.3, HTTP/2.
void fill_tls(const Settings& settings, const WaypointClient& client, bool upstream,
              envoy::extensions::transport_sockets::tls::v3::CommonTlsContext* into);
// To a listener of the same process; `passes_metadata`: with what the host's metadata says.
void fill_internal_transport(bool passes_metadata, envoy::config::core::v3::TransportSocket* into);
// A name, and no limits.
void fill_cluster(std::string_view name, envoy::config::cluster::v3::Cluster* into);

}  // namespace mesh::control
