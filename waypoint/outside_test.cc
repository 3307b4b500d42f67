// Endpoints outside the mesh: by address and by name, plain and with TLS.

#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "waypoint/test_world.h"
#include "waypoint/wire/tls_wire.h"

namespace mesh::waypoint::test {
namespace {

// A file that is there as long as this is.
struct File {
  std::filesystem::path path;
  explicit File(const std::string& text)
      : path(std::filesystem::temp_directory_path() /
             ("weft-outside-" + std::to_string(std::rand()) + "-" + std::to_string(getpid()))) {
    std::ofstream(path) << text;
  }
  ~File() { std::filesystem::remove(path); }
};

// A server that is nobody's workload: HTTP/2, on TCP or TLS.
struct Server {
  explicit Server(World& of) : world(of), listener(io::test::make_listener(*of.ring)) {
    handler.serve = wire::test::echo;
  }
  World& world;
  io::Listener listener;
  wire::test::Handler handler;
  std::shared_ptr<const tls::Context> context;  // null: plain
  std::size_t accepted = 0, shaken = 0;

  io::Task<void> serve(io::Socket socket) {
    ++accepted;
    std::unique_ptr<wire::Wire> wire;
    if (context) {
      auto below = std::make_unique<wire::SocketWire>(std::move(socket));
      auto secure = co_await wire::TlsWire::connect(*world.ring, std::move(below), context);
      if (!secure) co_return;
      ++shaken;
      wire = *std::move(secure);
    } else {
      wire = std::make_unique<wire::SocketWire>(std::move(socket));
    }
    wire::Http2Session session(*world.ring, *wire, &handler, {});
    (void)co_await session.run();
  }
  io::Task<void> accept(io::TaskScope& serving) {
    for (;;) {
      auto socket = co_await listener.accept();
      if (!socket) co_return;
      serving.spawn(serve(*std::move(socket)));
    }
  }
};

struct Outer {
  World world;
  Server server{world};
  mesh::test::TestCa ca{"outside.example"};

  Outer() {
    auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
    endpoints->all[0].address = server.listener.local_address();
    endpoints->all[0].transport = config::Endpoint::Transport::kPlain;
    world.cluster.inline_endpoints = endpoints;
    world.cluster.discovery = config::Cluster::Discovery::kStrictDns;
    world.cluster.http.version = config::Http::Version::kHttp2;
  }
  void name_it(std::string name) {
    auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
    endpoints->all[0].address.ip = net::IpAddress();
    endpoints->all[0].hostname = std::move(name);
    world.cluster.inline_endpoints = endpoints;
  }
  void take_istio_tls() {
    auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
    endpoints->all[0].tls_istio = true;
    world.cluster.inline_endpoints = endpoints;
  }
  void speak_tls(std::vector<std::string> names) {
    const auto now = std::chrono::floor<std::chrono::seconds>(world.ring->wall_now());
    const tls::Credentials shown =
        ca.issue(mesh::test::LeafOptions{.names = std::move(names),
                                         .not_before = now - std::chrono::hours(1),
                                         .not_after = now + std::chrono::hours(1)});
    server.context = tls::Context::for_open_server(shown.chain, shown.key).value();
    world.cluster.tls =
        config::UpstreamTls{.sni = "api.example", .trusted_ca = ca.bundle().to_pem()};
  }
  io::Task<void> story(Answer& answer, int count) {
    io::TaskScope serving, accepting;
    accepting.spawn(server.accept(serving));
    for (int i = 0; i < count; ++i) answer = co_await ask(world, {});
    co_await world.upstreams.close();
    server.listener.close();
    co_await accepting.join();
    co_await serving.join();
  }
  Answer run(int count = 1) {
    world.use();
    Answer answer;
    world.run(story(answer, count));
    return answer;
  }
};

struct Row {
  const char* what;
  void (*change)(Outer&);
  int status;

  void play() const {
    INFO(what);
    Outer outer;
    outer.speak_tls({"api.example"});
    change(outer);
    const Answer answer = outer.run();
    CHECK(answer.status == status);
    CHECK(outer.server.handler.served == (status == 200 ? 1 : 0));
    if (status != 200) CHECK(outer.world.kept.last().flags.to_string() == "UF");
  }
};

TEST_CASE("an endpoint outside the mesh is asked by TLS as its cluster says, or not at all") {
  const Row rows[] = {
      {"the right name of the right authority", [](Outer&) {}, 200},
      {"one of the names asked for",
       [](Outer& o) {
         o.world.cluster.tls->dns_names = {config::StringMatch::exact("api.example")};
       },
       200},
      {"the authority from a file",
       [](Outer& o) {
         static const File file(o.ca.bundle().to_pem());
         std::ofstream(file.path) << o.ca.bundle().to_pem();
         o.world.cluster.tls->trusted_ca = file.path;
         o.world.cluster.tls->trusted_ca_is_file = true;
       },
       200},
      {"another name", [](Outer& o) { o.world.cluster.tls->sni = "other.example"; }, 503},
      {"another authority",
       [](Outer& o) {
         o.world.cluster.tls->trusted_ca = mesh::test::TestCa("other").bundle().to_pem();
       },
       503},
      {"names that are others'",
       [](Outer& o) { o.world.cluster.tls->dns_names = {config::StringMatch::exact("b.example")}; },
       503},
      {"only identities of workloads",
       [](Outer& o) {
         o.world.cluster.tls->uri_names = {config::StringMatch::prefix("spiffe://")};
       },
       503},
      {"nobody vouches", [](Outer& o) { o.world.cluster.tls->verify_nothing = true; }, 503},
      {"no such file",
       [](Outer& o) {
         o.world.cluster.tls->trusted_ca = "/nonexistent";
         o.world.cluster.tls->trusted_ca_is_file = true;
       },
       503},
      {"the mesh's own certificate outside the mesh",
       [](Outer& o) { o.world.cluster.tls->certificate = "default"; }, 503},
      {"a certificate of our own, inline",
       [](Outer& o) {
         const tls::Credentials own = o.ca.issue(mesh::test::LeafOptions{.names = {"me.example"}});
         o.world.cluster.tls->certificate_pem = own.chain.to_pem();
         o.world.cluster.tls->key_pem = own.key.to_pem();
       },
       200},
      {"one that is none",
       [](Outer& o) { o.world.cluster.tls->certificate_pem = o.world.cluster.tls->key_pem = "x"; },
       503},
      {"a secret that has not come",
       [](Outer& o) { o.world.cluster.tls->certificate_secret = "own"; }, 503},
      {"roots that have not come", [](Outer& o) { o.world.cluster.tls->roots_secret = "ca"; }, 503},
      {"a server without TLS", [](Outer& o) { o.server.context.reset(); }, 503},
  };
  for (const Row& row : rows) row.play();
}

TEST_CASE("a workload that takes Istio's TLS is asked by the TLS of its cluster, never without") {
  const Row rows[] = {
      {"everybody of the cluster is asked by this TLS", [](Outer& o) { o.take_istio_tls(); }, 200},
      {"a server without TLS",
       [](Outer& o) {
         o.take_istio_tls();
         o.server.context.reset();
       },
       503},
      {"such are asked by Istio's",
       [](Outer& o) {
         o.take_istio_tls();
         o.world.cluster.tls_istio = o.world.cluster.tls;
         o.world.cluster.tls.reset();
         o.server.context.reset();
       },
       503},
  };
  for (const Row& row : rows) row.play();
}

TEST_CASE("bodies pass through TLS whole") {
  Outer outer;
  outer.speak_tls({"api.example"});
  outer.world.use();
  struct Story {
    static io::Task<void> tell(Outer& outer) {
      io::TaskScope serving, accepting;
      accepting.spawn(outer.server.accept(serving));
      const std::string body(300'000, 'x');
      const Answer answer = co_await ask(outer.world, {.method = "POST"}, body);
      CHECK(answer.status == 200);
      CHECK(answer.body == body);
      co_await outer.world.upstreams.close();
      outer.server.listener.close();
      co_await accepting.join();
      co_await serving.join();
    }
  };
  outer.world.run(Story::tell(outer));
}

TEST_CASE("an endpoint by its name is looked up, and found or refused") {
  for (const bool known : {true, false}) {
    Outer outer;
    outer.name_it(known ? "localhost" : "nobody.invalid");
    const Answer answer = outer.run(3);
    CHECK(answer.status == (known ? 200 : 503));
    CHECK(outer.server.accepted == (known ? 1 : 0));
    if (!known) CHECK(outer.world.kept.last().flags.to_string() == "UF");
  }
}

}  // namespace
}  // namespace mesh::waypoint::test
