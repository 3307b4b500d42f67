// Endpoints: envoy.config.endpoint.v3.

#include <algorithm>
#include <string>

#include "waypoint/config/decode.h"
#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config {

namespace {

constexpr std::size_t kMaxEndpoints = 100'000;
constexpr std::uint32_t kMaxPriority = 127;

struct ReadGroup {
  EndpointGroup group = {};
  std::vector<Endpoint> endpoints = {};
};

void read_metadata(Input& in, const Tree& at, Endpoint& made) {
  const Tree* metadata = in.object(at, "metadata");
  const Tree* filters = metadata == nullptr ? nullptr : in.object(*metadata, "filterMetadata");
  if (filters != nullptr) {
    if (const Tree* istio = in.object(*filters, "istio"))
      made.workload = in.text(*istio, "workload");
    if (const Tree* match = in.object(*filters, "envoy.transport_socket_match")) {
      made.tls_istio = in.text(*match, "tlsMode") == "istio";
      const bool tunnel = in.text(*match, "tunnel") == "http";
      if (tunnel && made.transport != Endpoint::Transport::kHbone) {
        in.refuse(at, "an endpoint that wants a tunnel, without the tunnel's address");
      }
    }
    if (const Tree* destination = in.object(*filters, "envoy.filters.listener.original_dst")) {
      // Where the tunnel goes; the endpoint's own id says the same.
      const auto local = net::SocketAddress::parse(in.text(*destination, "local"));
      if (made.transport == Endpoint::Transport::kHbone && local && *local != made.address) {
        in.refuse(at, "an endpoint of two addresses");
      }
      const std::string through = in.text(*destination, "waypoint");
      const auto via = net::SocketAddress::parse(through);
      if (via && !made.via) made.via = *via;
      if (!through.empty() && (!via || made.via != *via)) {
        in.refuse(at, "an endpoint behind a waypoint that is not the one of its address");
      }
    }
  }
  Input::overlook(metadata);
}

void read_internal(Input& in, const Tree& at, Endpoint& made) {
  const std::string listener = in.text(at, "serverListenerName");
  const std::string id = in.text(at, "endpointId");
  if (listener != "connect_originate") {
    return in.refuse(at, "the internal listener " + listener + " is not supported");
  }
  made.transport = Endpoint::Transport::kHbone;
  // "TARGET@WAYPOINT": what is behind another waypoint.
  const auto mark = id.find('@');
  const auto address = net::SocketAddress::parse(id.substr(0, mark));
  if (mark != std::string::npos) {
    const auto via = net::SocketAddress::parse(id.substr(mark + 1));
    if (via) made.via = *via;
  }
  if (!address || made.via.has_value() != (mark != std::string::npos)) {
    return in.refuse(at, "a tunnel to \"" + id + "\", which is no address");
  }
  made.address = *address;
}

Endpoint read_endpoint(Input& in, const Tree& at) {
  using Health = Endpoint::Health;
  static constexpr Health kHealth[] = {Health::kHealthy,  Health::kHealthy,   Health::kUnhealthy,
                                       Health::kDraining, Health::kUnhealthy, Health::kDegraded};
  Endpoint made{.transport = Endpoint::Transport::kPlain};
  made.health = kHealth[in.choice(
      at, "healthStatus", {"UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"})];
  made.weight = static_cast<std::uint32_t>(in.number(at, "loadBalancingWeight", 1));
  const Tree* endpoint = in.object(at, "endpoint");
  const Tree* address = endpoint == nullptr ? nullptr : in.object(*endpoint, "address");
  if (address == nullptr) {
    in.refuse(at, "an endpoint without an address");
    return made;
  }
  Input::overlook(*endpoint, {"hostname"});
  if (const Tree* checks = in.object(*endpoint, "healthCheckConfig")) {
    made.check_port = static_cast<std::uint16_t>(in.number(*checks, "portValue", 0, 65'535));
    made.check_host = in.text(*checks, "hostname");
    made.unchecked = in.flag(*checks, "disableActiveHealthCheck");
  }
  const auto which = in.one_of(*address, {"socketAddress", "envoyInternalAddress"});
  const Tree* where = which.empty() ? nullptr : in.object(*address, which);
  if (where == nullptr) {
    in.refuse(*address, "an address that is not supported");
  } else if (which == "envoyInternalAddress") {
    read_internal(in, *where, made);
  } else {
    made.address = parts::socket_address(in, *where, &made.hostname);
  }
  read_metadata(in, at, made);
  return made;
}

void append(ReadGroup read, Endpoints& made) {
  read.group.first = static_cast<std::uint32_t>(made.all.size());
  read.group.count = static_cast<std::uint32_t>(read.endpoints.size());
  for (Endpoint& endpoint : read.endpoints) {
    endpoint.group = static_cast<std::uint32_t>(made.groups.size());
    made.all.push_back(std::move(endpoint));
  }
  made.priorities = read.group.priority + 1;
  made.groups.push_back(std::move(read.group));
}

}  // namespace

net::SocketAddress parts::socket_address(Input& in, const Tree& at, std::string* hostname) {
  if (in.choice(at, "protocol", {"TCP", "UDP"}) != 0) in.refuse(at, "UDP is not supported");
  const std::string text = in.text(at, "address");
  net::SocketAddress address;
  address.port = static_cast<std::uint16_t>(in.number(at, "portValue", 0, 65'535));
  const auto ip = net::IpAddress::parse(text);
  if (ip) {
    address.ip = *ip;
  } else if (hostname != nullptr && !text.empty() && text.size() <= 253) {
    *hostname = text;
  } else {
    in.refuse(at, "not an address");
  }
  return address;
}

Endpoints endpoints_of(Input& in, const Tree& at) {
  Endpoints made{.name = in.text(at, "clusterName")};
  std::vector<ReadGroup> groups;
  std::size_t count = 0;
  for (const Tree* one : in.list(at, "endpoints")) {
    ReadGroup read;
    if (const Tree* locality = in.object(*one, "locality")) {
      read.group.region = in.text(*locality, "region");
      read.group.zone = in.text(*locality, "zone");
      read.group.sub_zone = in.text(*locality, "subZone");
    }
    read.group.priority = static_cast<std::uint32_t>(in.number(*one, "priority", 0, kMaxPriority));
    read.group.weight = static_cast<std::uint32_t>(in.number(*one, "loadBalancingWeight"));
    for (const Tree* endpoint : in.list(*one, "lbEndpoints")) {
      if (++count > kMaxEndpoints) {
        in.refuse(*endpoint, "more than 100000 endpoints");
        break;
      }
      read.endpoints.push_back(read_endpoint(in, *endpoint));
    }
    Input::overlook(*one, {"proximity", "metadata"});
    groups.push_back(std::move(read));
  }
  for (std::uint32_t priority = 0; priority <= kMaxPriority; ++priority) {
    for (ReadGroup& read : groups) {
      if (read.group.priority == priority) append(std::move(read), made);
    }
  }
  if (const Tree* policy = in.object(at, "policy")) {
    made.overprovisioning =
        static_cast<std::uint32_t>(in.number(*policy, "overprovisioningFactor", 140, 10'000));
    made.weighted_priority_health = in.flag(*policy, "weightedPriorityHealth");
    Input::overlook(*policy, {"endpointStaleAfter"});
  }
  return made;
}

}  // namespace mesh::waypoint::config
