// The recorded situations in which the far end is a waypoint, a stranger or silent, and those in
// which a proxy itself ends.

#include <catch2/catch_test_macros.hpp>
#include <optional>

#include "mesh/hbone/tunnel_server.h"
#include "mesh/io/timer.h"
#include "mesh/tls/session.h"
#include "mesh/workload/directory_builder.h"
#include "test/golden/ztunnel/bench.h"

namespace mesh::ztunnel {
namespace {

using io::Task;
using namespace std::chrono_literals;

// What stands on the peer's port 15008 in place of a proxy: answers each CONNECT with `status`, and
// then 50 bytes.
struct FarServer final : hbone::ConnectHandler {
  FarServer(LittleMesh& of, const char* id, int answer_with)
      : mesh(of), status(answer_with), certificate(of.certificate(id, of.ca)) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v6({}), kHbonePort};
    listener.emplace(*io::Listener::listen(*mesh.peer_ring, options));
    mesh.world.start(*mesh.peer_ring, run());
    mesh.world.run_for(1ms);
  }
  ~FarServer() override {
    mesh.peer_ring->post([this] {
      listener->close();
      server.end();
    });
    mesh.world.run_for(5s);
  }
  Task<void> run() {
    io::TaskScope scope;
    for (;;) {
      auto socket = co_await listener->accept();
      if (!socket) break;
      scope.spawn(serve(*std::move(socket)));
    }
    co_await scope.join();
  }
  Task<void> serve(io::Socket socket) {
    (void)co_await server.serve(std::move(socket), certificate->server);
  }
  Task<void> on_connect(hbone::IncomingConnect connect) override {
    asked.push_back(connect.request().authority);
    if (status != 200) {
      connect.refuse(status);
      co_return;
    }
    auto stream = connect.accept();
    if (!stream) co_return;
    std::size_t got = 0;
    while (got < 100) {
      const auto some = co_await stream->recv_buffer();
      if (!some || some->empty()) break;
      got += some->size();
    }
    const std::vector<std::byte> answer(50);
    (void)co_await stream->send_all(answer);
    (void)stream->finish_sending();
    (void)co_await stream->recv_buffer();
  }

  LittleMesh& mesh;
  int status;
  std::shared_ptr<const identity::Certificate> certificate;
  std::optional<io::Listener> listener;
  hbone::TunnelServer server{*mesh.peer_ring, {}, *this};
  std::vector<std::string> asked;
};

TEST_CASE("golden: a service with a waypoint: through it, or refused with it") {
  struct Row {
    const char* situation;
    int status;
    std::size_t received;
  };
  for (const Row& row : {Row{"waypoint-success", 200, 50}, Row{"waypoint-503", 503, 0}}) {
    INFO(row.situation);
    Bench bench;
    FarServer waypoint(bench.mesh, kPeer, row.status);
    Dialled seen;
    const auto told = bench.play_dial("10.96.0.4:80", Dial::kHundred, seen);
    CHECK(waypoint.asked == std::vector<std::string>{"10.96.0.4:80"});
    CHECK(seen.received == row.received);
    CHECK(seen.reset == (row.status != 200));
    bench.expect_recorded(row.situation, told);
  }
}

TEST_CASE("golden: a destination that shows another trust domain is refused") {
  Bench bench;
  FarServer liar(bench.mesh, "spiffe://other.example/ns/web/sa/peer", 200);
  Dialled seen;
  // The text names the error in our words.
  const auto told = bench.play_dial("10.78.0.3:7000", Dial::kHundred, seen, {"error"});
  CHECK(seen.reset);
  CHECK(liar.asked.empty());
  bench.expect_recorded("client-tls-wrong-trust-domain", told, {"error"});
}

// A listener that is too busy to take another connection: further SYNs go unanswered.
struct Busy {
  explicit Busy(LittleMesh& mesh, std::uint16_t port) {
    io::ListenOptions options;
    options.at = {net::IpAddress::v6({}), port};
    options.backlog = 1;
    listener.emplace(*io::Listener::listen(*mesh.server_ring, options));
    const net::SocketAddress to{*net::IpAddress::parse("::1"), port};
    mesh.server_ring->post([&, to] { scope.spawn(fill(*mesh.server_ring, to)); });
    mesh.world.run_for(1s);
    REQUIRE(first.has_value());
  }
  Task<void> fill(io::Ring& ring, net::SocketAddress to) {
    io::ConnectOptions options;
    options.to = to;
    auto socket = co_await io::connect(ring, options);
    if (socket) first.emplace(*std::move(socket));
  }
  std::optional<io::Listener> listener;
  std::optional<io::Socket> first;
  io::TaskScope scope;
};

Task<void> timed_dial(LittleMesh& mesh, const char* to, Dialled& seen, io::Duration& took) {
  const io::TimePoint begun = mesh.world.now();
  co_await dial(*mesh.client_ring, at(to), Dial::kNothing, seen);
  took = mesh.world.now() - begun;
}

TEST_CASE("golden: what never answers ends after ten seconds") {
  Bench bench;
  LittleMesh& mesh = bench.mesh;
  const Busy busy(mesh, 7005);
  mesh.world.partition(mesh.client, mesh.outside);
  for (const auto& [situation, to] :
       {std::pair("hbone-app-connect-timeout", "10.78.0.2:7005"),
        std::pair("passthrough-unknown-timeout", "10.78.0.254:9005")}) {
    INFO(situation);
    Dialled seen;
    io::Duration took{};
    const auto told =
        bench.play([&] { mesh.run(*mesh.client_ring, timed_dial(mesh, to, seen, took)); });
    CHECK(seen.reset);
    CHECK(took >= 10s);
    CHECK(took < 10s + 100ms);
    bench.expect_recorded(situation, told);
  }
}

TEST_CASE("golden: a workload whose address nobody answers for") {
  Bench bench;
  auto vm = std::make_shared<workload::Workload>(
      *bench.mesh.directory->find_workload("Kubernetes//Pod/web/peer-1"));
  vm->uid = "Kubernetes//Pod/app/vm-1";
  vm->name = "vm-1";
  vm->ns = "app";
  vm->workload_name = vm->canonical_name = vm->service_account = "vm";
  vm->addresses = {*net::IpAddress::parse("10.78.0.40")};
  workload::DirectoryBuilder builder(bench.mesh.directory);
  builder.set(vm);
  bench.mesh.publish(std::move(builder).build());
  Dialled seen;
  const auto told = bench.play_dial("10.78.0.40:7000", Dial::kNothing, seen);
  CHECK(seen.reset);
  bench.expect_recorded("hbone-dead-workload", told);
}

TEST_CASE("golden: a captured application that dials a pod's own 15008; do better 11") {
  Bench bench;
  Dialled seen;
  const auto told = bench.play_dial("10.78.0.2:15008", Dial::kNothing, seen);
  CHECK(seen.reset);
  CHECK(told.client == recorded_lines("captured-to-15008", "client"));
  CHECK(told.server == recorded_lines("captured-to-15008", "server"));
  CHECK(told.client_metrics == recorded_changes("captured-to-15008", "client"));
  CHECK(recorded_changes("captured-to-15008", "server").empty());
  CHECK(told.server_metrics.size() == 1);
}

// --- strangers at 15008 ---

std::string hex(const char* digits) {
  std::string bytes;
  for (std::size_t i = 0; digits[i] != '\0'; i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(digits + i, 2), nullptr, 16)));
  }
  return bytes;
}

// Speaks TLS to the server's 15008, says `plaintext`, and takes what comes, to the end.
struct Stranger {
  std::shared_ptr<const tls::Context> context;
  std::vector<net::SpiffeId> accepted = {};
  std::string plaintext = {};
  bool open = false;
  std::string heard = {};
};

Task<Result<Done>> say(io::Socket& socket, tls::Session& session) {
  std::vector<tls::Piece> out;
  session.take_output(out);
  for (const tls::Piece& piece : out) CO_TRY_DO(co_await socket.send_all(piece.bytes()));
  co_return Done{};
}

Task<void> talk(LittleMesh& mesh, Stranger& stranger) {
  io::ConnectOptions to;
  to.to = at("10.78.0.2:15008");
  auto socket = co_await io::connect(*mesh.peer_ring, to);
  if (!socket) co_return;
  tls::SessionOptions options;
  options.now = std::chrono::floor<std::chrono::seconds>(mesh.peer_ring->wall_now());
  options.accepted = stranger.accepted;
  auto session = tls::Session::create(stranger.context, options).value();
  for (;;) {
    if (!co_await say(*socket, *session)) break;
    if (session->open() && !std::exchange(stranger.open, true) && !stranger.plaintext.empty()) {
      std::vector<tls::Piece> out;
      (void)session->seal(tls::Piece::copy_of(std::as_bytes(std::span(stranger.plaintext))), out);
      for (const tls::Piece& piece : out) (void)co_await socket->send_all(piece.bytes());
    }
    auto got = co_await socket->recv_buffer(io::BufferClass::kWire);
    if (!got || got->empty()) break;
    std::vector<tls::Slice> plaintext;
    const auto fed = session->feed(tls::Slice(*std::move(got)), plaintext);
    for (const tls::Slice& slice : plaintext) {
      const auto bytes = slice.bytes();
      stranger.heard.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    }
    // A GOAWAY, or the answer to the only request: enough.
    if (!fed || stranger.heard.find(hex("8c")) != std::string::npos) break;
  }
  socket->reset();
}

// Once everything is said, the node has counted one failure, of whom it does not know.
void expect_one_failure(const Bench::Told& told, const char* flags) {
  REQUIRE(told.server_metrics.size() == 1);  // recorded: nothing at all
  CHECK(told.server_metrics.begin()->starts_with("istio_tcp_connections_failed_total "));
  CHECK(told.server_metrics.begin()->find(std::string("response_flags=") + flags) !=
        std::string::npos);
}

TEST_CASE("golden: who shows the wrong certificate or none at 15008; do better 11") {
  Bench bench;
  LittleMesh& mesh = bench.mesh;
  SECTION("server-tls-wrong-trust-domain") {
    Tunnelled seen;
    const auto told = bench.play(
        [&] {
          mesh.run(*mesh.peer_ring,
                   ask(mesh, "spiffe://other.example/ns/web/sa/peer", "10.78.0.2:7000", seen));
        },
        {"error"});
    CHECK(seen.failure.has_value());
    CHECK(told.server == recorded_lines("server-tls-wrong-trust-domain", "server", {"error"}));
    expect_one_failure(told, "TLS_FAILURE");
  }
  SECTION("server-tls-no-cert") {
    // A client that verifies by name, and has nothing to show: the server's leaf needs a name.
    mesh.two.publish(
        mesh.certificate("spiffe://cluster.local/ns/app/sa/server", mesh.ca, {"server.app"}));
    mesh.world.run_for(10ms);
    Stranger stranger{
        .context = tls::Context::for_named_server({.roots = mesh.ca.bundle(), .name = "server.app"})
                       .value()};
    const auto told =
        bench.play([&] { mesh.run(*mesh.peer_ring, talk(mesh, stranger)); }, {"error"});
    CHECK(stranger.open);  // TLS 1.3: a client learns it after its own end of the handshake
    CHECK(stranger.heard.empty());
    CHECK(told.server == recorded_lines("server-tls-no-cert", "server", {"error"}));
    expect_one_failure(told, "TLS_FAILURE");
    CHECK(mesh.two.metrics().find("reason=\"no_certificate\"") != std::string::npos);
  }
}

// Connects, says so much, and finishes.
Task<void> leave_early(LittleMesh& mesh, std::string words) {
  io::ConnectOptions options;
  options.to = at("10.78.0.2:15008");
  auto socket = co_await io::connect(*mesh.peer_ring, options);
  REQUIRE(socket.has_value());
  (void)co_await socket->send_all(std::as_bytes(std::span(words)));
  (void)socket->finish_sending();
  (void)co_await socket->recv_buffer();
}

TEST_CASE("do better 11: who leaves 15008 before the handshake is done is counted") {
  // Nothing at all; the beginning of a record that promises more.
  for (const std::string& words : {std::string(), hex("160301020001")}) {
    Bench bench;
    LittleMesh& mesh = bench.mesh;
    const auto told = bench.play([&] { mesh.run(*mesh.peer_ring, leave_early(mesh, words)); });
    expect_one_failure(told, "TLS_FAILURE");
    REQUIRE(told.server.size() == 1);
    CHECK(mesh.two.metrics().find("reason=\"peer_closed\"") != std::string::npos);
  }
}

TEST_CASE("golden: requests at 15008 that are no CONNECT or name no port; do better 11") {
  Bench bench;
  LittleMesh& mesh = bench.mesh;
  SECTION("server-bad-authority") {
    Tunnelled seen;
    const auto told =
        bench.play([&] { mesh.run(*mesh.peer_ring, ask(mesh, kPeer, "10.78.0.2", seen)); });
    CHECK(seen.status == 400);
    CHECK(told.server == recorded_lines("server-bad-authority", "server"));
    expect_one_failure(told, "CONNECT");
  }
  SECTION("server-not-connect") {
    // The preface, empty SETTINGS, and HEADERS of stream 1 that end it: GET https / 10.78.0.2:7000.
    Stranger stranger{
        .context = mesh.certificate(kPeer, mesh.ca)->client,
        .accepted = {*net::SpiffeId::parse("spiffe://cluster.local/ns/app/sa/server")},
        .plaintext = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hex("000000040000000000") +
                     hex("000013010500000001") + hex("828784410e") + "10.78.0.2:7000"};
    const auto told = bench.play([&] { mesh.run(*mesh.peer_ring, talk(mesh, stranger)); });
    // HEADERS of stream 1, its end, and the static table's ":status 400".
    CHECK(stranger.heard.find(hex("0000010105000000018c")) != std::string::npos);
    CHECK(told.server == recorded_lines("server-not-connect", "server"));
    expect_one_failure(told, "CONNECT");
  }
}

TEST_CASE("the rest of a request that is no CONNECT, trailers too, ends nothing but itself") {
  Bench bench;
  LittleMesh& mesh = bench.mesh;
  // GET https / 10.78.0.2:7000 without its end, a byte of DATA, trailers; and the same on stream 3.
  const auto story = [](const char* id) {
    return hex("0000130104000000") + hex(id) + hex("828784410e") + "10.78.0.2:7000" +
           hex("0000010000000000") + hex(id) + "x" + hex("0000050105000000") + hex(id) +
           hex("0001780179");
  };
  Stranger stranger{.context = mesh.certificate(kPeer, mesh.ca)->client,
                    .accepted = {*net::SpiffeId::parse("spiffe://cluster.local/ns/app/sa/server")},
                    .plaintext = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hex("000000040000000000") +
                                 story("01") + story("03")};
  const auto told = bench.play([&] { mesh.run(*mesh.peer_ring, talk(mesh, stranger)); });
  CHECK(stranger.heard.find(hex("0000010105000000018c")) != std::string::npos);
  CHECK(stranger.heard.find(hex("000001010500000003")) != std::string::npos);
  CHECK(told.server.size() == 2);
}

// --- a proxy that ends, and what is told at debug ---

TEST_CASE("golden: a drain's deadline, on either side") {
  struct Row {
    const char* situation;
    bool of_server;
  };
  for (const Row& row : {Row{"drain-deadline", true}, Row{"drain-deadline-client", false}}) {
    INFO(row.situation);
    Bench bench;
    LittleMesh& mesh = bench.mesh;
    Dialled seen;
    mesh.world.start(*mesh.client_ring,
                     dial(*mesh.client_ring, at("10.78.0.2:7000"), Dial::kTenThenWait, seen));
    mesh.world.run_for(1s);
    REQUIRE(seen.received == 10);
    const io::TimePoint begun = mesh.world.now();
    (row.of_server ? mesh.two : mesh.one).drain();
    mesh.world.run_for(900ms);
    CHECK(!seen.reset);
    CHECK(access_lines(mesh.one).empty());
    mesh.world.run_for(200ms);
    CHECK(seen.reset);
    CHECK((row.of_server ? mesh.two : mesh.one).drained);
    CHECK(mesh.world.now() - begun < 2s);
    // Recorded: who did not drain logs success, its application reads a clean end. Ours: see
    // README.
    const char* drained = row.of_server ? "server" : "client";
    const char* other = row.of_server ? "client" : "server";
    const auto of_drained = access_lines(row.of_server ? mesh.two : mesh.one, {"error"});
    const auto of_other = access_lines(row.of_server ? mesh.one : mesh.two, {"error"});
    CHECK(of_drained == recorded_lines(row.situation, drained, {"error"}));
    auto cut_off = recorded_lines(row.situation, other, {"error"});
    REQUIRE(cut_off.size() == 1);
    REQUIRE(cut_off[0].starts_with("info "));
    cut_off[0].replace(0, 4, "error");
    CHECK(of_other == cut_off);
  }
}

TEST_CASE("golden: level debug of the access log tells of the opening, too") {
  Bench bench;
  REQUIRE(bench.mesh.one.filter.apply("access=debug"));
  Dialled seen;
  const auto told = bench.play_dial("10.78.0.2:7000", Dial::kHundred, seen);
  CHECK(told.client.size() == 2);
  CHECK(told.client == recorded_lines("debug-opened", "client"));
}

}  // namespace
}  // namespace mesh::ztunnel
