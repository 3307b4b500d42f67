#include "test/sim/resources.h"

#include <cstdint>
#include <string_view>

namespace mesh::sim {
namespace {

// One message. Empty texts and zeros are left out, as everywhere in proto3.
class Message {
 public:
  Message& number(unsigned field, std::uint64_t value) {
    if (value == 0) return *this;
    varint(field << 3);
    varint(value);
    return *this;
  }
  Message& text(unsigned field, std::string_view value) {
    return value.empty() ? *this : whole(field, value);
  }
  // Also when it is empty: that it is there means something.
  Message& whole(unsigned field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(unsigned field, const Message& value) { return whole(field, value.bytes_); }
  std::string take() && { return std::move(bytes_); }

 private:
  void varint(std::uint64_t value) {
    for (; value > 127; value >>= 7) bytes_ += static_cast<char>(value | 128);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

std::string_view raw(const net::IpAddress& ip) {
  return {reinterpret_cast<const char*>(ip.bytes().data()), ip.bytes().size()};
}

Message port(const workload::Port& from) {
  return Message().number(1, from.service_port).number(2, from.target_port);
}

// By address.
Message gateway(const workload::GatewayAddress& from) {
  const auto& at = std::get<workload::NetworkAddress>(from.destination);
  return Message()
      .message(2, Message().text(1, at.network).whole(2, raw(at.ip)))
      .number(3, from.hbone_port);
}

Message string_match(const policy::StringMatch& from) {
  using Kind = policy::StringMatch::Kind;
  const unsigned field = from.kind == Kind::kExact    ? 1
                         : from.kind == Kind::kPrefix ? 2
                         : from.kind == Kind::kSuffix ? 3
                                                      : 4;
  return Message().whole(field, from.value);
}

Message match(const policy::Match& from) {
  Message made;
  for (const auto& one : from.principals) made.message(3, string_match(one));
  for (const auto& one : from.not_principals) made.message(4, string_match(one));
  return made;
}

Message rule(const policy::Rule& from) {
  Message made;
  for (const policy::Clause& clause : from.all_of) {
    Message any;
    for (const policy::Match& one : clause.any_of) any.message(2, match(one));
    made.message(1, any);
  }
  return made;
}

}  // namespace

std::string encode(const workload::Workload& from) {
  Message made;
  made.text(1, from.name).text(2, from.ns);
  for (const net::IpAddress& ip : from.addresses) made.whole(3, raw(ip));
  made.number(5, from.tunnel == workload::TunnelProtocol::kHbone ? 1 : 0);
  made.number(14, from.native_tunnel ? 1 : 0)
      .text(7, from.service_account)
      .text(9, from.node)
      .text(10, from.canonical_name);
  made.number(12, 2).text(13, from.workload_name);  // a pod
  for (const std::string& policy : from.authorization_policies) made.whole(16, policy);
  made.text(18, from.cluster_id).text(20, from.uid);
  for (const workload::Membership& one : from.services) {
    Message ports;
    for (const workload::Port& each : one.ports) ports.message(1, port(each));
    made.message(22, Message().text(1, one.service.to_string()).message(2, ports));
  }
  Message address;
  address.message(1, made);
  return std::move(address).take();
}

std::string encode(const workload::Service& from) {
  Message made;
  made.text(1, from.name).text(2, from.key.ns).text(3, from.key.hostname);
  for (const workload::Vip& vip : from.vips) {
    made.message(4, Message().text(1, vip.network).whole(2, raw(vip.block.base())));
  }
  for (const workload::Port& one : from.ports) made.message(5, port(one));
  if (from.waypoint) made.message(7, gateway(*from.waypoint));
  Message address;
  address.message(2, made);
  return std::move(address).take();
}

std::string encode(const policy::Policy& from) {
  Message made;
  made.text(1, from.name).text(2, from.ns);
  made.number(3, static_cast<std::uint64_t>(from.scope));
  const bool unknown_action = from.ns.ends_with('1') || from.ns.ends_with('3');
  made.number(4, !from.usable() && unknown_action ? 7 : static_cast<std::uint64_t>(from.action));
  for (const policy::Rule& one : from.any_of) made.message(5, rule(one));
  if (!from.usable() && !unknown_action) made.number(99, 1);
  return std::move(made).take();
}

std::string garbage() { return "\xff\xff\xff"; }

}  // namespace mesh::sim
