#pragma once
// Kubernetes, Gateway API and Istio objects as values: the fields that Weft reads, and no others.
//
// What is absent in the manifest has the default that the API server would give it. A namespaced
// object without metadata.namespace is in "default".

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mesh/manifest/gateway_api.h"
#include "mesh/manifest/metadata.h"
#include "mesh/manifest/telemetry.h"
#include "mesh/manifest/traffic.h"
#include "mesh/net/address.h"

namespace mesh::manifest {

struct Namespace {
  Metadata metadata;
};

struct Node {
  Metadata metadata;
  std::vector<net::IpAddress> internal_ips;  // status.addresses of type InternalIP
};

struct ServiceAccount {
  Metadata metadata;
};

struct EnvVar {
  std::string name;
  std::string value;
};

struct ContainerPort {
  std::string name;
  std::uint16_t port = 0;
  std::string protocol = "TCP";
};

struct PortRef {  // a number, or the name of a port
  std::uint16_t number = 0;
  std::string name;

  bool empty() const { return number == 0 && name.empty(); }
};

struct Probe {
  std::vector<std::string> exec;
  PortRef tcp;
  PortRef http;
  std::string http_path = "/";
};

struct Container {
  std::string name;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::vector<EnvVar> env;  // those with a literal value
  std::string working_dir;
  std::vector<ContainerPort> ports;
  std::optional<Probe> readiness;
};

enum class PodPhase { kUnset, kPending, kRunning, kSucceeded, kFailed, kUnknown };

struct Pod {
  Metadata metadata;
  std::string node_name;
  std::string service_account = "default";
  bool host_network = false;
  std::string hostname;
  std::string subdomain;
  std::vector<Container> containers;
  std::vector<Container> init_containers;

  // status
  PodPhase phase = PodPhase::kUnset;
  std::vector<net::IpAddress> ips;
  std::optional<bool> ready;  // the Ready condition
};

struct ServicePort {
  std::string name;
  std::uint16_t port = 0;
  PortRef target;  // empty: the same as port
  std::string protocol = "TCP";
  std::string app_protocol;
};

enum class IpFamily { kV4, kV6 };

struct Service {
  Metadata metadata;
  std::string type = "ClusterIP";
  bool headless = false;  // clusterIP: None
  std::vector<net::IpAddress> cluster_ips;
  Labels selector;
  std::vector<ServicePort> ports;
  std::vector<IpFamily> ip_families;
  std::string ip_family_policy;
  bool publish_not_ready = false;
  std::string internal_traffic_policy;
  std::string traffic_distribution;
};

struct Endpoint {
  std::vector<std::string> addresses;
  bool ready = true;
  bool terminating = false;
  std::string node_name;
  std::string target_kind;
  std::string target_namespace;
  std::string target_name;
};

struct EndpointPort {
  std::string name;
  std::uint16_t port = 0;
  std::string protocol = "TCP";
};

struct EndpointSlice {
  Metadata metadata;
  std::string address_type;  // IPv4, IPv6, FQDN
  std::vector<Endpoint> endpoints;
  std::vector<EndpointPort> ports;
};

// ---- security -----------------------------------------------------------------------------------

struct Source {
  std::vector<std::string> principals, not_principals;
  std::vector<std::string> request_principals, not_request_principals;
  std::vector<std::string> namespaces, not_namespaces;
  std::vector<net::Cidr> ip_blocks, not_ip_blocks;
  std::vector<net::Cidr> remote_ip_blocks, not_remote_ip_blocks;
  std::vector<std::string> service_accounts, not_service_accounts;
};

struct Operation {
  std::vector<std::string> hosts, not_hosts;
  std::vector<std::uint16_t> ports, not_ports;
  std::vector<std::string> methods, not_methods;
  std::vector<std::string> paths, not_paths;
};

struct Condition {
  std::string key;
  std::vector<std::string> values, not_values;
};

struct AuthorizationRule {
  std::vector<Source> from;
  std::vector<Operation> to;
  std::vector<Condition> when;
};

enum class AuthorizationAction { kDeny, kAllow, kAudit, kCustom };

struct AuthorizationPolicy {
  Metadata metadata;
  std::optional<Labels> selector;  // present and empty: every workload of the scope
  std::vector<TargetRef> targets;
  AuthorizationAction action = AuthorizationAction::kAllow;
  std::string provider;  // for kCustom
  std::vector<AuthorizationRule> rules;
};

enum class MtlsMode { kUnset, kDisable, kPermissive, kStrict };

struct PeerAuthentication {
  Metadata metadata;
  std::optional<Labels> selector;
  MtlsMode mode = MtlsMode::kUnset;
  std::map<std::uint16_t, MtlsMode> ports;
};

struct JwtHeader {
  std::string name;
  std::string prefix;
};

struct ClaimHeader {
  std::string header;
  std::string claim;
};

struct JwtRule {
  std::string issuer;
  std::vector<std::string> audiences;
  std::string jwks_uri;
  std::string jwks;
  std::vector<JwtHeader> from_headers;
  std::vector<std::string> from_params;
  std::vector<std::string> from_cookies;
  std::string payload_header;
  std::vector<ClaimHeader> claim_headers;
  std::vector<std::string> space_delimited_claims;  // besides scope and permission
  bool forward = false;  // forwardOriginalToken
  std::optional<Milliseconds> timeout;
};

struct RequestAuthentication {
  // Stands for one that cannot be read: what it is for, or its whole namespace, is denied.
  enum class Closed : std::uint8_t { kNo, kTargets, kNamespace };
  Metadata metadata;
  std::optional<Labels> selector;
  std::vector<TargetRef> targets;
  std::vector<JwtRule> rules;
  Closed closed = Closed::kNo;
};

// ---- outside workloads --------------------------------------------------------------------------

struct WorkloadEntry {
  Metadata metadata;
  bool closed = false;  // nobody may connect to it, for nobody can tell what it is
  std::string address;  // an IP address, or a host name
  std::map<std::string, std::uint16_t, std::less<>> ports;
  Labels labels;
  std::string network;
  std::string locality;
  std::uint32_t weight = 0;
  std::string service_account;
};

struct ServiceEntryPort {
  std::uint16_t number = 0;
  std::string name;
  std::string protocol;
  std::uint16_t target_port = 0;  // 0: the same as number
};

// An address that control has given a host that has none of its own.
struct AllocatedAddress {
  std::string host;
  net::IpAddress address;
};

struct ServiceEntry {
  Metadata metadata;
  bool closed = false;  // nobody may connect to its hosts and addresses
  std::vector<std::string> hosts;
  std::vector<net::Cidr> addresses;
  std::vector<AllocatedAddress> allocated;  // status.addresses
  std::vector<ServiceEntryPort> ports;
  std::string location = "MESH_EXTERNAL";
  std::string resolution = "NONE";
  std::vector<WorkloadEntry> endpoints;  // without metadata
  std::optional<Labels> workload_selector;
  std::vector<std::string> subject_alt_names;
  std::vector<std::string> export_to;
};

// Whether a ServiceEntry may have it as a host: a DNS name, with "*." in front or without.
bool is_host(std::string_view text);

// -------------------------------------------------------------------------------------------------

// The order is that of Kind.
using Object =
    std::variant<Namespace, Node, ServiceAccount, Pod, Service, EndpointSlice, AuthorizationPolicy,
                 PeerAuthentication, WorkloadEntry, ServiceEntry, Gateway, RequestAuthentication,
                 GatewayClass, HttpRoute, GrpcRoute, TcpRoute, TlsRoute, ReferenceGrant,
                 DestinationRule, VirtualService, Telemetry>;

enum class Kind : std::uint8_t {
  kNamespace,
  kNode,
  kServiceAccount,
  kPod,
  kService,
  kEndpointSlice,
  kAuthorizationPolicy,
  kPeerAuthentication,
  kWorkloadEntry,
  kServiceEntry,
  kGateway,
  kRequestAuthentication,
  kGatewayClass,
  kHttpRoute,
  kGrpcRoute,
  kTcpRoute,
  kTlsRoute,
  kReferenceGrant,
  kDestinationRule,
  kVirtualService,
  kTelemetry,
};

std::string_view kind_name(Kind kind);
// Where an unknown field is an error: security objects, and what says where traffic goes.
bool is_strict_kind(Kind kind);

struct ObjectKey {
  Kind kind = Kind::kNamespace;
  std::string ns;
  std::string name;

  // "AuthorizationPolicy shop/deny-web", "Namespace shop".
  std::string to_string() const;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

const Metadata& metadata_of(const Object& object);
ObjectKey key_of(const Object& object);

}  // namespace mesh::manifest
