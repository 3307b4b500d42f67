#pragma once
// Turning the host of a control plane's address into IP addresses: a literal, /etc/hosts, or the
// name servers of /etc/resolv.conf, asked over mesh/io's datagram sockets (so also in a
// simulation).

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/net/address.h"

namespace mesh::grpc {

struct ResolverOptions {
  std::string hosts_path = "/etc/hosts";
  std::string resolv_conf_path = "/etc/resolv.conf";
  io::Duration attempt = std::chrono::seconds(2);  // patience with one server, once
  unsigned attempts = 2;                           // per server
};

// Addresses in the order in which to try them; at least one. IPv6 follows IPv4.
// Limits: 3 servers, 6 search domains, 16 addresses, files of 64 KiB.
// Errors: kUnreachable: nobody knows the name; kTimedOut: no server answered.
io::Task<Result<std::vector<net::IpAddress>>> resolve(io::Ring& ring, std::string host,
                                                      ResolverOptions options = {});
// The same, and for how long it is good: the shortest time to live among the records that led
// there; none: it is not from a name server.
struct Resolved {
  std::vector<net::IpAddress> addresses = {};
  std::optional<std::chrono::seconds> ttl = {};
};
io::Task<Result<Resolved>> resolve_timed(io::Ring& ring, std::string host,
                                         ResolverOptions options = {});

// The parts of it, pure.
struct ResolvConf {
  std::vector<net::IpAddress> servers;
  std::vector<std::string> search;
  unsigned ndots = 1;
};
ResolvConf parse_resolv_conf(std::string_view text);
std::vector<net::IpAddress> lookup_hosts(std::string_view text, std::string_view host);
// The names to ask for, in order, as resolv.conf's search list and ndots want it.
std::vector<std::string> search_names(const ResolvConf& conf, std::string_view host);

enum class QueryType : std::uint16_t { kA = 1, kAaaa = 28 };
// One question, recursion desired. Empty when `name` is no domain name.
std::string encode_query(std::uint16_t id, std::string_view name, QueryType type);
// The addresses of a reply; follows CNAMEs within the reply. Errors: kMalformed (also: an answer to
// another question), kUnreachable (no such name, or none of this type), kProtocol (server failure).
// A time to live above a week is a week; with its highest bit set it is none (RFC 2181 8).
Result<Resolved> decode_reply(std::string_view packet, std::uint16_t id, std::string_view name,
                              QueryType type);

}  // namespace mesh::grpc
