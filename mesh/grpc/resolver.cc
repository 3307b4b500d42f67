#include "mesh/grpc/resolver.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mesh/grpc/file.h"
#include "mesh/io/socket.h"
#include "mesh/io/timer.h"

namespace mesh::grpc {
namespace {

constexpr std::size_t kFileBytesMax = 64 * 1024;
constexpr std::size_t kReplyBytesMax = 4096;
constexpr std::uint16_t kDnsPort = 53;

struct Question {
  std::string name;
  QueryType type = QueryType::kA;
};

// Waits for the reply to one question; whatever else arrives is passed over.
io::Task<Result<Resolved>> receive_reply(io::DatagramSocket& socket, net::SocketAddress server,
                                         std::uint16_t id, const Question& question) {
  std::array<std::byte, kReplyBytesMax> memory;
  for (;;) {
    CO_TRY(const auto datagram, co_await socket.recv_from(memory));
    if (datagram.peer != server) continue;
    const std::string_view packet(reinterpret_cast<const char*>(memory.data()), datagram.size);
    auto found = decode_reply(packet, id, question.name, question.type);
    if (found || found.error().reason != Reason::kMalformed) co_return found;
  }
}

io::Task<Result<Resolved>> ask(io::Ring& ring, net::IpAddress server, const Question& question,
                               io::Duration patience) {
  const auto id = static_cast<std::uint16_t>(ring.random());
  const std::string query = encode_query(id, question.name, question.type);
  if (query.empty()) co_return failed(Reason::kUnreachable, "dns: not a domain name");
  io::ListenOptions options;
  options.at.ip = server.is_v6() ? net::IpAddress::v6({}) : net::IpAddress::v4({});
  options.reuse_port = false;
  CO_TRY(io::DatagramSocket socket, io::DatagramSocket::open(ring, options));
  const net::SocketAddress to{.ip = server, .port = kDnsPort};
  CO_TRY_DO(co_await socket.send_to(std::as_bytes(std::span(query)), to));
  co_return co_await io::with_deadline(ring, patience, "dns",
                                       receive_reply(socket, to, id, question));
}

// Both families of one name from the first server that answers.
io::Task<Result<Resolved>> ask_servers(io::Ring& ring, const ResolvConf& conf, std::string name,
                                       const ResolverOptions& options) {
  Error last{.reason = Reason::kUnreachable, .during = "dns: no server"};
  for (unsigned attempt = 0; attempt < options.attempts; ++attempt) {
    for (const net::IpAddress& server : conf.servers) {
      Resolved found;
      bool answered = true;
      for (const QueryType type : {QueryType::kA, QueryType::kAaaa}) {
        const Question question{.name = name, .type = type};
        const auto ips = co_await ask(ring, server, question, options.attempt);
        if (ips) {
          found.addresses.insert(found.addresses.end(), ips->addresses.begin(),
                                 ips->addresses.end());
          found.ttl = found.ttl ? std::min(*found.ttl, *ips->ttl) : ips->ttl;
          continue;
        }
        if (ips.error().reason == Reason::kCancelled) co_return ips;
        last = ips.error();
        // A server that has an answer for one family is not asked to repeat itself; one that says
        // nothing at all is left.
        answered = answered && last.reason == Reason::kUnreachable;
        if (last.reason == Reason::kTimedOut) break;
      }
      if (!found.addresses.empty()) co_return found;
      if (answered) co_return std::unexpected(last);
    }
  }
  co_return std::unexpected(last);
}

}  // namespace

io::Task<Result<Resolved>> resolve_timed(io::Ring& ring, std::string host,
                                         ResolverOptions options) {
  if (const auto ip = net::IpAddress::parse(host)) co_return Resolved{.addresses = {*ip}};
  if (const auto hosts = internal::read_file(options.hosts_path, kFileBytesMax, "reading hosts")) {
    if (auto found = lookup_hosts(*hosts, host); !found.empty()) {
      co_return Resolved{.addresses = std::move(found)};
    }
  }
  CO_TRY(const std::string text,
         internal::read_file(options.resolv_conf_path, kFileBytesMax, "reading resolv.conf"));
  const ResolvConf conf = parse_resolv_conf(text);
  Error last{.reason = Reason::kUnreachable, .during = "dns: no such name"};
  for (const std::string& name : search_names(conf, host)) {
    auto found = co_await ask_servers(ring, conf, name, options);
    if (found || found.error().reason == Reason::kCancelled) co_return found;
    last = found.error();
    // Silence is about the servers, not the name: other names would wait as long.
    if (last.reason == Reason::kTimedOut) break;
  }
  co_return std::unexpected(last);
}

io::Task<Result<std::vector<net::IpAddress>>> resolve(io::Ring& ring, std::string host,
                                                      ResolverOptions options) {
  CO_TRY(Resolved found, co_await resolve_timed(ring, std::move(host), std::move(options)));
  co_return std::move(found.addresses);
}

}  // namespace mesh::grpc
