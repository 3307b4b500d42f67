// The recorded situations, played to our proxies in a simulated network: equal access-log records
// and metric effects, except for what test/golden/README.md lists.

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include <catch2/catch_test_macros.hpp>

#include "mesh/hbone/tunnel_pool.h"
#include "mesh/io/timer.h"
#include "test/golden/ztunnel/little_mesh.h"

namespace mesh::ztunnel {
namespace {

using io::Task;
using Fields = std::map<std::string, std::string>;

net::SocketAddress at(const char* text) { return *net::SocketAddress::parse(text); }

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == by) {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  return parts;
}

// Log fields without what differs from run to run: ports of clients, durations, what only we add,
// and the service of inbound records (the recording's local config could not fill it).
std::string comparable(const std::string& level, const std::string& event, std::string text) {
  Fields fields;
  while (!text.empty()) {
    const std::size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    text.erase(0, equals + 1);
    const bool quoted = text.starts_with('"');
    std::size_t end = quoted ? 1 : 0;
    while (end < text.size() && text[end] != (quoted ? '"' : ' ')) end += text[end] == '\\' ? 2 : 1;
    fields[key] = text.substr(quoted ? 1 : 0, quoted ? end - 1 : end);
    text.erase(0, std::min(text.size(), end + (quoted ? 2 : 1)));
  }
  fields["src.addr"] = fields["src.addr"].substr(0, fields["src.addr"].rfind(':'));
  for (const char* dropped : {"duration", "reason", "policy"}) fields.erase(dropped);
  if (fields["direction"] == "inbound") fields.erase("dst.service");
  std::string out = level + " " + event;
  for (const auto& [key, value] : fields) out += " " + key + "=" + value;
  return out;
}

// The node's log lines of scope "access".
std::vector<std::string> access_lines(TestNode& node) {
  std::vector<std::string> found;
  for (const std::string& line : node.new_lines()) {
    const auto cells = split(line, '\t');
    if (cells.size() < 5 || cells[2] != "access") continue;
    found.push_back(comparable(cells[1], cells[3].substr(cells[3].find(' ') + 1), cells[4]));
  }
  std::ranges::sort(found);
  return found;
}

std::vector<std::string> recorded_lines(const std::string& situation, const std::string& side) {
  std::vector<std::string> found;
  std::ifstream golden(GOLDEN_FOLDER "/ztunnel/access.tsv");
  for (std::string line; std::getline(golden, line);) {
    const auto cells = split(line, '\t');
    if (cells.size() == 5 && cells[0] == situation && cells[1] == side) {
      found.push_back(comparable(cells[2], cells[3], cells[4]));
    }
  }
  std::ranges::sort(found);
  return found;
}

// "metric label=value,…" -> value, with the labels that the recording kept. Inbound services as
// above.
std::map<std::string, double> counters(const std::string& page) {
  constexpr const char* kKept[] = {"reporter",
                                   "source_workload",
                                   "source_principal",
                                   "destination_service",
                                   "destination_workload",
                                   "destination_principal",
                                   "response_flags",
                                   "connection_security_policy"};
  std::map<std::string, double> found;
  for (const std::string& line : split(page, '\n')) {
    if (!line.starts_with("istio_tcp_") || line.find("sockets_open") != std::string::npos) continue;
    std::string labels;
    for (const char* key : kKept) {
      const std::string name = std::string(key) + "=\"";
      std::size_t from = line.find("{" + name);
      if (from == std::string::npos) from = line.find("," + name);
      from += name.size() + 1;
      std::string value = line.substr(from, line.find('"', from) - from);
      const bool inbound = labels.starts_with("reporter=destination");
      if (inbound && std::string_view(key) == "destination_service") value = "unknown";
      labels += (labels.empty() ? "" : ",") + std::string(key) + "=" + value;
    }
    found[line.substr(0, line.find('{')) + " " + labels] +=
        std::stod(line.substr(line.rfind(' ') + 1));
  }
  return found;
}

std::set<std::string> changes(const std::map<std::string, double>& before,
                              const std::map<std::string, double>& after) {
  std::set<std::string> found;
  for (const auto& [key, value] : after) {
    const auto old = before.find(key);
    const double change = value - (old == before.end() ? 0 : old->second);
    if (change != 0) found.insert(key + " " + std::to_string(static_cast<long>(change)));
  }
  return found;
}

std::set<std::string> recorded_changes(const std::string& situation, const std::string& side) {
  std::set<std::string> found;
  std::ifstream golden(GOLDEN_FOLDER "/ztunnel/metrics.tsv");
  for (std::string line; std::getline(golden, line);) {
    const auto cells = split(line, '\t');
    if (cells.size() != 5 || cells[0] != situation || cells[1] != side || cells[4] == "0") continue;
    std::string labels;
    for (const std::string& one : split(cells[3], ',')) {
      const bool inbound = labels.starts_with("reporter=destination");
      const bool service = one.starts_with("destination_service=");
      labels += (labels.empty() ? "" : ",") +
                (inbound && service ? std::string("destination_service=unknown") : one);
    }
    found.insert(cells[2] + " " + labels + " " + cells[4]);
  }
  return found;
}

// --- what applications do ---

Task<std::size_t> read_bytes(io::Socket& socket, std::size_t most) {
  std::size_t total = 0;
  while (total < most) {
    const auto got = co_await socket.recv_buffer();
    if (!got || got->empty()) break;
    total += got->size();
  }
  co_return total;
}

Task<void> send(io::Socket& socket, std::size_t bytes) {
  const std::vector<std::byte> data(bytes);
  (void)co_await socket.send_all(data);
}

enum class Serve { kEcho, kFiveThenClose, kResetAfterFirst, kSized };

Task<void> serve_one(io::Socket socket, Serve how) {
  switch (how) {
    case Serve::kEcho:
      for (;;) {
        auto got = co_await socket.recv_buffer();
        if (!got || got->empty()) break;
        (void)co_await socket.send_all(got->bytes());
      }
      (void)socket.finish_sending();
      break;
    case Serve::kFiveThenClose:
      co_await send(socket, 5);
      (void)socket.finish_sending();
      (void)co_await read_bytes(socket, 1 << 20);
      break;
    case Serve::kResetAfterFirst:
      (void)co_await read_bytes(socket, 1);
      socket.reset();
      break;
    case Serve::kSized:
      (void)co_await read_bytes(socket, 1000);
      co_await send(socket, 500);
      (void)socket.finish_sending();
      (void)co_await read_bytes(socket, 1 << 20);
      break;
  }
}

Task<void> accept_all(io::Listener& listener, Serve how) {
  io::TaskScope scope;
  for (;;) {
    auto socket = co_await listener.accept();
    if (!socket) break;
    scope.spawn(serve_one(*std::move(socket), how));
  }
  co_await scope.join();
}

struct Application {
  Application(io::sim::World& world, io::Ring& ring,
              std::vector<std::pair<std::uint16_t, Serve>> ports)
      : world_(world), ring_(ring) {
    listeners.reserve(ports.size());
    for (const auto& [port, how] : ports) {
      io::ListenOptions options;
      options.at = {net::IpAddress::v6({}), port};
      listeners.push_back(*io::Listener::listen(ring, options));
      ways.push_back(how);
    }
    world.start(ring, run());
    world.run_for(std::chrono::milliseconds(1));
  }
  ~Application() {
    for (io::Listener& listener : listeners) listener.close();
    world_.run_for(std::chrono::seconds(5));
  }
  Task<void> run() {
    io::TaskScope scope;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      scope.spawn(accept_all(listeners[i], ways[i]));
    }
    co_await scope.join();
  }
  io::sim::World& world_;
  io::Ring& ring_;
  std::vector<io::Listener> listeners;
  std::vector<Serve> ways;
};

// What the dialling application does, and what it saw.
enum class Dial { kHundred, kNothing, kResetAfterHundred, kThousand };
struct Dialled {
  std::size_t received = 0;
  bool reset = false;
};

Task<void> dial(io::Ring& ring, net::SocketAddress to, Dial how, Dialled& seen) {
  io::ConnectOptions options;
  options.to = to;
  auto socket = co_await io::connect(ring, options);
  if (!socket) {
    seen.reset = true;
    co_return;
  }
  if (how == Dial::kHundred || how == Dial::kResetAfterHundred) co_await send(*socket, 100);
  if (how == Dial::kThousand) co_await send(*socket, 1000);
  if (how == Dial::kResetAfterHundred) {
    (void)co_await read_bytes(*socket, 100);
    socket->reset();
    co_return;
  }
  (void)socket->finish_sending();
  for (;;) {
    const auto got = co_await socket->recv_buffer();
    if (!got) seen.reset = true;
    if (!got || got->empty()) break;
    seen.received += got->size();
  }
}

struct Bench {
  LittleMesh mesh;
  Application server{mesh.world,
                     *mesh.server_ring,
                     {{7000, Serve::kEcho},
                      {7003, Serve::kFiveThenClose},
                      {7004, Serve::kResetAfterFirst},
                      {7020, Serve::kSized}}};
  Application plain{mesh.world, *mesh.plain_ring, {{7000, Serve::kEcho}}};

  struct Told {
    std::vector<std::string> client, server;
    std::set<std::string> client_metrics, server_metrics;
  };
  Told play(const std::function<void()>& act) {
    const auto one = counters(mesh.one.metrics()), two = counters(mesh.two.metrics());
    act();
    return {.client = access_lines(mesh.one),
            .server = access_lines(mesh.two),
            .client_metrics = changes(one, counters(mesh.one.metrics())),
            .server_metrics = changes(two, counters(mesh.two.metrics()))};
  }
  void expect_recorded(const std::string& situation, const Told& told) {
    INFO(situation);
    CHECK(told.client == recorded_lines(situation, "client"));
    CHECK(told.server == recorded_lines(situation, "server"));
    CHECK(told.client_metrics == recorded_changes(situation, "client"));
    CHECK(told.server_metrics == recorded_changes(situation, "server"));
  }
};

struct Row {
  const char* situation;
  const char* to;
  Dial how;
  std::size_t received;
  bool reset;
};

TEST_CASE("golden: situations of the outbound side, equal in log and metrics") {
  Bench bench;
  Application echo_outside(bench.mesh.world, *bench.mesh.outside_ring, {{9000, Serve::kEcho}});
  for (const Row& row : std::initializer_list<Row>{
           {"hbone-service-success", "10.96.0.1:80", Dial::kHundred, 100, false},
           {"hbone-pod-success", "10.78.0.2:7000", Dial::kHundred, 100, false},
           {"hbone-ipv6-success", "[fd00:78::2]:7000", Dial::kHundred, 100, false},
           {"hbone-no-data", "10.78.0.2:7000", Dial::kNothing, 0, false},
           {"hbone-policy-denied", "10.78.0.2:7010", Dial::kNothing, 0, true},
           {"hbone-app-refused", "10.78.0.2:7009", Dial::kNothing, 0, true},
           {"hbone-server-half-close", "10.78.0.2:7003", Dial::kHundred, 5, false},
           {"hbone-sized", "10.96.0.1:82", Dial::kThousand, 500, false},
           {"hbone-refused-15008", "10.78.0.3:7000", Dial::kNothing, 0, true},
           {"passthrough-unknown-success", "10.78.0.254:9000", Dial::kHundred, 100, false},
           {"passthrough-unknown-refused", "10.78.0.254:9001", Dial::kNothing, 0, true},
           {"passthrough-tcp-workload", "10.78.0.4:7000", Dial::kHundred, 100, false}}) {
    INFO(row.situation);
    Dialled seen;
    const auto told = bench.play([&] {
      bench.mesh.run(*bench.mesh.client_ring,
                     dial(*bench.mesh.client_ring, at(row.to), row.how, seen));
    });
    CHECK(seen.received == row.received);
    CHECK(seen.reset == row.reset);
    bench.expect_recorded(row.situation, told);
  }
}

TEST_CASE("golden: situations of the plaintext side, equal in log and metrics") {
  Bench bench;
  struct From {
    const char* situation;
    io::Ring& ring;
    const char* to;
    Dial how;
    bool reset;
  };
  for (const From& row :
       std::initializer_list<From>{{"plaintext-inbound-success", *bench.mesh.peer_ring,
                                    "10.78.0.2:7000", Dial::kHundred, false},
                                   {"plaintext-inbound-denied", *bench.mesh.peer_ring,
                                    "10.78.0.2:7010", Dial::kNothing, true},
                                   {"plaintext-inbound-refused", *bench.mesh.peer_ring,
                                    "10.78.0.2:7009", Dial::kNothing, true},
                                   {"plaintext-inbound-unknown-source", *bench.mesh.outside_ring,
                                    "10.78.0.2:7000", Dial::kHundred, false}}) {
    INFO(row.situation);
    Dialled seen;
    const auto told =
        bench.play([&] { bench.mesh.run(row.ring, dial(row.ring, at(row.to), row.how, seen)); });
    CHECK(seen.reset == row.reset);
    bench.expect_recorded(row.situation, told);
  }
}

TEST_CASE("do better 11: refusals that left no trace in the metrics now do") {
  Bench bench;
  const auto failed_total = [&](TestNode& node) {
    double sum = 0;
    for (const auto& [key, value] : counters(node.metrics())) {
      if (key.starts_with("istio_tcp_connections_failed_total")) sum += value;
    }
    return sum;
  };
  for (const char* situation : {"service-no-endpoints", "service-unknown-port"}) {
    INFO(situation);
    const bool empty = std::string_view(situation) == "service-no-endpoints";
    const double before = failed_total(bench.mesh.one);
    Dialled seen;
    const auto told = bench.play([&] {
      bench.mesh.run(*bench.mesh.client_ring,
                     dial(*bench.mesh.client_ring, at(empty ? "10.96.0.5:80" : "10.96.0.1:9999"),
                          Dial::kNothing, seen));
    });
    CHECK(seen.reset);
    CHECK(told.client == recorded_lines(situation, "client"));
    CHECK(failed_total(bench.mesh.one) == before + 1);
    CHECK(bench.mesh.one.metrics().find("weft_connections_refused_total{reporter=\"source\","
                                        "reason=\"no_endpoint\"}") != std::string::npos);
  }
}

TEST_CASE("an application's reset is a reset for the far application, and no success in any log") {
  Bench bench;
  Dialled seen;
  auto told = bench.play([&] {
    bench.mesh.run(*bench.mesh.client_ring, dial(*bench.mesh.client_ring, at("10.78.0.2:7000"),
                                                 Dial::kResetAfterHundred, seen));
  });
  REQUIRE(told.client.size() == 1);
  CHECK(told.client[0].starts_with("error complete "));
  REQUIRE(told.server.size() == 1);
  CHECK(told.server[0].starts_with("error complete "));

  told = bench.play([&] {
    bench.mesh.run(*bench.mesh.client_ring,
                   dial(*bench.mesh.client_ring, at("10.78.0.2:7004"), Dial::kHundred, seen));
  });
  CHECK(seen.reset);
  CHECK(told.client.at(0).starts_with("error complete "));
}

// --- a client that speaks HBONE itself ---

struct Tunnelled {
  int status = 0;
  std::optional<Reason> failure;
};

Task<void> ask(LittleMesh& mesh, const char* id, std::string authority, Tunnelled& seen) {
  hbone::TunnelPool pool(*mesh.peer_ring, {});
  const auto certificate = mesh.certificate(id, mesh.ca);
  hbone::OpenRequest request{
      .key = {.source_uid = "peer",
              .source = certificate->id,
              .destination_uid = "server",
              .accepted = {*net::SpiffeId::parse("spiffe://cluster.local/ns/app/sa/server")},
              .address = at("10.78.0.2:15008")},
      .context = certificate->client,
      .authority = std::move(authority),
      .headers = {}};
  {
    auto outcome = co_await pool.open(std::move(request));
    if (!outcome) seen.failure = outcome.error().reason;
    if (outcome) seen.status = outcome->status;
    if (outcome && outcome->stream) {
      const std::vector<std::byte> data(100);
      (void)co_await outcome->stream->send_all(data);
      (void)outcome->stream->finish_sending();
      for (;;) {
        const auto got = co_await outcome->stream->recv_buffer();
        if (!got || got->empty()) break;
      }
    }
  }
  co_await pool.close(std::chrono::seconds(1));
}

constexpr const char* kPeer = "spiffe://cluster.local/ns/web/sa/peer";

TEST_CASE("golden: situations of the HBONE side, equal in log; do better 7 and 11") {
  Bench bench;
  struct Asked {
    const char* situation;
    const char* authority;
    int status;
  };
  for (const Asked& row : std::initializer_list<Asked>{
           {"server-hostname-success", "srv.app.svc.cluster.local:80", 200},
           {"server-dst-mismatch", "10.78.0.4:7000", 400},
           {"server-unknown-host", "nope.app.svc.cluster.local:80", 503},
           {"server-illegal-port", "10.78.0.2:15001", 503}}) {
    INFO(row.situation);
    Tunnelled seen;
    const auto told = bench.play([&] {
      bench.mesh.run(*bench.mesh.peer_ring, ask(bench.mesh, kPeer, row.authority, seen));
    });
    CHECK(seen.status == row.status);
    CHECK(told.server == recorded_lines(row.situation, "server"));
    if (row.status == 200) {
      CHECK(told.server_metrics == recorded_changes(row.situation, "server"));
    } else {
      CHECK(told.server_metrics.size() == 1);  // recorded: nothing at all
    }
  }
}

TEST_CASE("do better 7: a pod refuses the host name of a service it does not back") {
  Bench bench;
  for (const char* authority :
       {"empty.app.svc.cluster.local:80", "wpsvc.app.svc.cluster.local:80"}) {
    Tunnelled seen;
    bench.mesh.run(*bench.mesh.peer_ring, ask(bench.mesh, kPeer, authority, seen));
    CHECK(seen.status == 503);
  }
  // And every port on which the proxy itself listens in a pod.
  for (const char* authority :
       {"10.78.0.2:15001", "10.78.0.2:15006", "10.78.0.2:15008", "10.78.0.2:15053"}) {
    Tunnelled seen;
    bench.mesh.run(*bench.mesh.peer_ring, ask(bench.mesh, kPeer, authority, seen));
    CHECK(seen.status == 503);
  }
}

TEST_CASE("do better 11: a handshake that fails is counted by its reason") {
  Bench bench;
  Tunnelled seen;
  bench.mesh.run(*bench.mesh.peer_ring,
                 ask(bench.mesh, "spiffe://other.example/ns/web/sa/peer", "10.78.0.2:7000", seen));
  CHECK(seen.status == 0);
  const std::string page = bench.mesh.two.metrics();
  CHECK(page.find("response_flags=\"TLS_FAILURE\"") != std::string::npos);
  const auto lines = access_lines(bench.mesh.two);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with("warn failed "));
  CHECK(lines[0].find("error=tls handshake error: ") != std::string::npos);
}

}  // namespace
}  // namespace mesh::ztunnel
