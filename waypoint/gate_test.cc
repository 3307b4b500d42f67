// Whole exchanges: a client's tunnel, the waypoint, the tunnel to an endpoint.

#include <catch2/catch_test_macros.hpp>

#include "test/support/jwt_signer.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

io::Task<void> get(World& world) {
  const Answer answer =
      co_await ask(world, {.method = "POST", .path = "/a/../b?x=1", .headers = {}}, "hello");
  CHECK(answer.status == 200);
  CHECK(answer.body == "hello");
  CHECK(h2::find_header(answer.headers, "x-asked") == "POST /b?x=1");
  CHECK(h2::find_header(answer.headers, "server") == "istio-envoy");
}

TEST_CASE("a request goes through the waypoint to an endpoint, and the answer back") {
  for (const auto version : {wire::Version::kHttp1, wire::Version::kHttp2}) {
    World world;
    world.application.handler.serve = wire::test::echo;
    world.application.version = version;
    if (version == wire::Version::kHttp2) {
      world.cluster.http.version = config::Http::Version::kHttp2;
      world.use();
    }
    world.run(get(world));
    REQUIRE(world.application.asked.size() == 1);
    CHECK(world.application.asked[0].ends_with(":8080"));
    CHECK(world.application.peers[0] == kWaypoint);
    REQUIRE(world.kept.records.size() == 1);
    const Record& record = world.kept.last();
    CHECK(record.status == 200);
    CHECK(record.flags.to_string() == "-");
    CHECK(record.request_bytes == 5);
    CHECK(record.response_bytes == 5);
    CHECK(record.details == "via_upstream");
  }
}

io::Task<void> many(World& world) {
  for (int i = 0; i < 5; ++i) {
    const Answer answer = co_await ask(world, {.headers = {}});
    CHECK(answer.status == 200);
  }
}

TEST_CASE("connections to an endpoint are used again") {
  World world;
  world.application.handler.serve = wire::test::echo;
  world.run(many(world));
  CHECK(world.application.asked.size() == 1);
  CHECK(world.upstreams.counts().reused == 4);
}

io::Task<void> ask_into(World& world, http::Request request, Answer& answer) {
  answer = co_await ask(world, std::move(request));
}
Answer answer_to(World& world, http::Request request) {
  Answer answer;
  world.run(ask_into(world, std::move(request), answer));
  return answer;
}

// Says which headers arrived.
io::Task<void> mirror_headers(wire::ServerStream& stream) {
  const http::Request request = stream.take_request();
  h2::Headers headers;
  for (const h2::Header& header : request.headers) {
    headers.push_back({"got-" + header.name, header.value});
  }
  (void)co_await stream.respond({.status = 200, .headers = std::move(headers)}, true);
}

TEST_CASE("what a client says in x-forwarded-client-cert never survives") {
  for (const bool wanted : {false, true}) {
    World world;
    world.application.handler.serve = mirror_headers;
    if (wanted) world.chain.client_cert = config::HttpChain::ClientCert::kIdentity;
    world.use();
    const Answer answer = answer_to(world, {.headers = {{"x-forwarded-client-cert", "By=evil"},
                                                        {"x_forwarded_client_cert", "By=evil"},
                                                        {"x-forwarded_client-cert", "By=evil"}}});
    CHECK(answer.status == 200);
    std::string got;
    for (const h2::Header& header : answer.headers) {
      if (header.name.contains("client")) got += header.name + "=" + header.value + ";";
    }
    const std::string ours =
        std::string("got-x-forwarded-client-cert=By=") + kWaypoint + ";URI=" + kWeb + ";";
    CHECK(got == (wanted ? ours : ""));
  }
}

TEST_CASE("no route, no cluster, no endpoint, no backend: each has its status and flag") {
  struct Row {
    const char* what;
    std::function<void(World&)> change;
    int status;
    const char* flags;
  };
  const Row rows[] = {
      {"no route", [](World& w) { w.route.match.path.value = "/other"; }, 404, "NR"},
      {"no cluster", [](World& w) { w.forward.targets[0].cluster = "gone"; }, 503, "NC"},
      {"weights of nothing",
       [](World& w) {
         w.forward.total_weight = 0;
         w.forward.targets = {};
       },
       500, "NC"},
      {"no endpoint",
       [](World& w) { w.cluster.inline_endpoints = std::make_shared<config::Endpoints>(); }, 503,
       "UH"},
      {"refused by its ztunnel", [](World& w) { w.application.refuse_with = 503; }, 503, "UF"},
      {"denied by its ztunnel", [](World& w) { w.application.refuse_with = 401; }, 503, "UF"},
      {"breaker open", [](World& w) { w.cluster.normal.max_requests = 0; }, 503, "UO"},
      {"a filter we do not have", [](World& w) { w.chain.filters.push_back({.name = "wasm"}); },
       500, "NFCF"},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    World world;
    world.application.handler.serve = wire::test::echo;
    row.change(world);
    world.use();
    const Answer answer = answer_to(world, {.headers = {}});
    CHECK(answer.status == row.status);
    REQUIRE(world.kept.records.size() == 1);
    CHECK(world.kept.last().flags.to_string() == row.flags);
    CHECK(world.application.handler.served == 0);
  }
}

config::RbacFilter only(const char* principal, const char* path) {
  config::RbacPolicy policy{.name = "ns[shop]-policy[allow]-rule[0]"};
  config::RbacNode to{.kind = config::RbacNode::Kind::kUrlPath};
  to.text = config::StringMatch::prefix(path);
  config::RbacNode from{.kind = config::RbacNode::Kind::kFilterState};
  from.text = config::StringMatch::exact(principal);
  policy.permissions = {to};
  policy.principals = {from};
  config::RbacFilter filter;
  filter.rules =
      config::RbacRules{.action = config::RbacRules::Action::kAllow, .policies = {policy}};
  return filter;
}

TEST_CASE("policy sees the path that the backend would see") {
  const struct {
    const char* path;
    int status;
  } rows[] = {{"/open/a", 200},           {"/shut", 403},     {"/open/../shut", 403},
              {"/open/%2e%2e/shut", 403}, {"/%6fpen/a", 200}, {"/open/..;x/shut", 400},
              {"/open/..%2fshut", 400},   {"/open%00/a", 400}};
  for (const auto& row : rows) {
    INFO(row.path);
    World world;
    world.application.handler.serve = wire::test::echo;
    world.chain.filters.push_back({.name = "rbac", .settings = only(kWeb, "/open")});
    world.use();
    const Answer answer = answer_to(world, {.path = row.path, .headers = {}});
    CHECK(answer.status == row.status);
  }
}

TEST_CASE("policy asks for the identity that the tunnel proved") {
  World world;
  world.application.handler.serve = wire::test::echo;
  world.chain.filters.push_back({.name = "rbac", .settings = only(kCart, "/")});
  world.use();
  const Answer answer = answer_to(world, {.headers = {}});
  CHECK(answer.status == 403);
  CHECK(answer.body == "RBAC: access denied");
  CHECK(world.kept.last().details == "rbac_access_denied_matched_policy[none]");
  CHECK(world.application.asked.empty());
}

// Tokens of one issuer, and rules that want the claim group admin.
void want_admins(World& world, const mesh::test::JwtSigner& signer) {
  config::JwtFilter tokens;
  tokens.providers = {{.name = "p",
                       .issuer = "issuer",
                       .inline_jwks = signer.jwks(),
                       .payload_in_metadata = "payload",
                       .claim_to_headers = {{.header = "x-group", .claim = "group"}}}};
  tokens.rules = {{.match = {.path = {.kind = config::PathMatch::Kind::kPrefix, .value = "/"}},
                   .required = {.kind = config::JwtRequirement::Kind::kProvider, .provider = "p"}}};
  config::RbacNode admin{.kind = config::RbacNode::Kind::kMetadata};
  admin.metadata.filter = jwt::kMetadataFilter;
  admin.metadata.path = {"payload", "group"};
  admin.metadata.value = {.kind = config::MetadataMatch::Value::Kind::kString,
                          .text = config::StringMatch::exact("admin")};
  config::RbacPolicy policy{.name = "ns[shop]-policy[admins]-rule[0]",
                            .permissions = {{.kind = config::RbacNode::Kind::kAny}},
                            .principals = {admin}};
  config::RbacFilter rules;
  rules.rules =
      config::RbacRules{.action = config::RbacRules::Action::kAllow, .policies = {policy}};
  world.chain.filters.push_back({.name = "jwt", .settings = tokens});
  world.chain.filters.push_back({.name = "rbac", .settings = rules});
}

TEST_CASE("tokens are asked for before rules, and their claims are what rules see") {
  using mesh::test::JwtSigner;
  const JwtSigner signer(JwtSigner::Kind::kEd25519);
  const JwtSigner stranger(JwtSigner::Kind::kEd25519);
  const auto token = [](const JwtSigner& by, const char* group) {
    const std::string claims = std::string(R"({"iss":"issuer","group":")") + group + "\"}";
    return "Bearer " + by.token("EdDSA", R"({"alg":"EdDSA"})", claims);
  };
  const struct {
    h2::Headers headers;
    int status;
    const char* details;
  } rows[] = {
      {{{"authorization", token(signer, "admin")}, {"x-group", "x"}, {"x_group", "x"}}, 200, ""},
      {{{"authorization", token(signer, "user")}}, 403, "rbac_access_denied_matched_policy[none]"},
      {{{"authorization", token(stranger, "admin")}},
       401,
       "jwt_authn_access_denied{Jwt_verification_fails}"},
      {{{"x-group", "admin"}}, 401, "jwt_authn_access_denied{Jwt_is_missing}"}};
  for (const auto& row : rows) {
    World world;
    world.application.handler.serve = mirror_headers;
    want_admins(world, signer);
    world.use();
    const Answer answer = answer_to(world, {.headers = row.headers});
    CHECK(answer.status == row.status);
    if (row.status == 200) {
      CHECK(h2::find_header(answer.headers, "got-x-group") == "admin");
      CHECK_FALSE(h2::find_header(answer.headers, "got-x_group").has_value());
      CHECK_FALSE(h2::find_header(answer.headers, "got-authorization").has_value());
    } else {
      CHECK(world.kept.last().details == row.details);
      CHECK(world.application.asked.empty());
    }
    if (row.status == 401) CHECK(h2::find_header(answer.headers, "www-authenticate").has_value());
  }
}

TEST_CASE("a gRPC caller is told in its own words") {
  World world;
  world.chain.filters.push_back({.name = "rbac", .settings = only(kCart, "/")});
  world.use();
  const Answer answer =
      answer_to(world, {.method = "POST", .headers = {{"content-type", "application/grpc"}}});
  CHECK(answer.status == 200);
  CHECK(h2::find_header(answer.headers, "grpc-status") == "7");
}

TEST_CASE("an endpoint that is called otherwise than configured gets nothing") {
  for (const char* name : {"spiffe://cluster.local/", "spiffe://elsewhere/"}) {
    World world;
    world.application.handler.serve = wire::test::echo;
    world.upstreams.accept_only({config::StringMatch::prefix(name)});
    const bool ours = std::string_view(name).contains("cluster.local");
    const Answer answer = answer_to(world, {.headers = {}});
    CHECK(answer.status == (ours ? 200 : 503));
    CHECK(world.application.handler.served == (ours ? 1 : 0));
  }
}

TEST_CASE("an expectation that nobody can meet is a 417; 100-continue is met here or there") {
  World world;
  world.application.handler.serve = mirror_headers;
  CHECK(answer_to(world, {.headers = {{"expect", "magic"}}}).status == 417);
  for (const bool there : {false, true}) {
    World other;
    other.application.handler.serve = mirror_headers;
    other.chain.proxy_100_continue = there;
    other.use();
    const Answer answer = answer_to(other, {.headers = {{"expect", "100-Continue"}}});
    CHECK(answer.status == 200);
    CHECK(h2::find_header(answer.headers, "got-expect").has_value() == there);
  }
}

TEST_CASE("an endpoint without an address is not any address") {
  for (const bool named : {true, false}) {
    World world;
    auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
    endpoints->all[0].address.ip = net::IpAddress();
    if (named) endpoints->all[0].hostname = "cart.example";
    endpoints->all[0].transport = config::Endpoint::Transport::kPlain;
    world.cluster.inline_endpoints = endpoints;
    world.use();
    CHECK(answer_to(world, {.headers = {}}).status == 503);
    CHECK(world.kept.last().flags.to_string() == "UF");
  }
}

TEST_CASE("a rate limit answers 429, and a fault what it is told") {
  World world;
  world.application.handler.serve = wire::test::echo;
  config::LocalRateLimit limit{
      .bucket = config::TokenBucket{.max_tokens = 2, .tokens_per_fill = 1, .fill_interval = 3600s}};
  limit.enabled = limit.enforced = {.numerator = 100, .denominator = 100};
  world.chain.filters.push_back({.name = "limit", .settings = limit});
  world.use();
  struct Story {
    static io::Task<void> tell(World& world) {
      for (const int status : {200, 200, 429}) {
        const Answer answer = co_await ask(world, {.headers = {}});
        CHECK(answer.status == status);
      }
      CHECK(world.kept.last().flags.to_string() == "RL");
      config::Fault fault;
      fault.abort = config::Fault::Abort{.http_status = 418,
                                         .percentage = {.numerator = 100, .denominator = 100}};
      world.chain.filters = {{.name = "fault", .settings = fault}};
      world.use();
      const Answer answer = co_await ask(world, {.headers = {}});
      CHECK(answer.status == 418);
      CHECK(world.kept.last().flags.to_string() == "FI");
    }
  };
  world.run(Story::tell(world));
}

io::Task<void> talk_into(World& world, std::string said, std::string authority,
                         std::string& answer) {
  answer = co_await world.talk(std::move(said), std::move(authority));
}
std::string talk(World& world, std::string said, std::string authority = kService) {
  std::string answer;
  world.run(talk_into(world, std::move(said), std::move(authority), answer));
  return answer;
}

TEST_CASE("a response that is cut off never looks whole") {
  World world;
  io::Event seen(*world.ring);
  world.application.handler.serve = [&seen](wire::ServerStream& stream) -> io::Task<void> {
    (void)stream.take_request();
    (void)co_await stream.respond({.status = 200, .headers = {{"content-length", "10"}}}, false);
    (void)co_await stream.write(bytes("abc"));
    (void)co_await seen.wait();
    stream.reset(h2::ErrorCode::kInternalError);
  };
  struct Story {
    static io::Task<void> tell(World& world, io::Event& seen) {
      auto wire = co_await world.call();
      REQUIRE(wire.has_value());
      const auto sent = co_await (*wire)->send_all(bytes("GET / HTTP/1.1\r\nhost: cart\r\n\r\n"));
      CHECK(sent.has_value());
      std::string all;
      while (!all.ends_with("abc")) {
        auto got = co_await (*wire)->recv();
        REQUIRE(got.has_value());
        all += text(got->bytes());
      }
      seen.set();
      const auto end = co_await (*wire)->recv();
      REQUIRE(!end.has_value());
      CHECK(end.error().reason == Reason::kPeerReset);
    }
  };
  world.run(Story::tell(world, seen));
  CHECK(world.kept.last().flags.to_string() == "UC");
}

io::Task<void> hang_up_politely(wire::Wire& wire) {
  (void)wire.finish_sending();
  (void)co_await wire::linger(wire, 1000);
}

io::Task<void> garbage(wire::Wire& wire) {
  (void)co_await wire.recv();
  (void)co_await wire.send_all(
      bytes("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"));
  co_await hang_up_politely(wire);
}

TEST_CASE("a backend that answers garbage is a 502") {
  World world;
  world.application.raw = garbage;
  const Answer answer = answer_to(world, {.headers = {}});
  CHECK(answer.status == 502);
  CHECK(world.kept.last().flags.to_string() == "UPE");
}

TEST_CASE("a backend that does not answer in time is a 504", "[time]") {
  World world;
  world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
    for (;;) {
      auto got = co_await wire.recv();
      if (!got || got->empty()) co_return;
    }
  };
  world.forward.timeout = 200ms;
  world.use();
  const Answer answer = answer_to(world, {.headers = {}});
  CHECK(answer.status == 504);
  CHECK(world.kept.last().flags.to_string() == "UT");
}

TEST_CASE("a retry hides a backend that fails once") {
  World world;
  int asked = 0;
  world.application.handler.serve = [&asked](wire::ServerStream& stream) -> io::Task<void> {
    (void)stream.take_request();
    const std::string body = co_await wire::test::read_all(stream);
    const int status = ++asked == 1 ? 503 : 200;
    (void)co_await stream.respond({.status = status, .headers = {{"x-body", body}}}, true);
  };
  world.forward.retry = config::RetryPolicy{.on_5xx = true, .retries = 2, .backoff_base = 1ms};
  world.use();
  Answer answer;
  struct Story {
    static io::Task<void> tell(World& world, Answer& answer) {
      answer = co_await ask(world, {.method = "POST", .headers = {}}, "twice");
    }
  };
  world.run(Story::tell(world, answer));
  CHECK(answer.status == 200);
  CHECK(h2::find_header(answer.headers, "x-body") == "twice");
  CHECK(asked == 2);
  CHECK(world.kept.records.size() == 1);
  CHECK(world.kept.last().attempts == 2);
}

TEST_CASE("bytes that nobody looks at pass both ways") {
  World world;
  world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
    std::string all;
    for (;;) {
      auto got = co_await wire.recv();
      if (!got) co_return;
      if (got->empty()) break;
      all += text(got->bytes());
    }
    (void)co_await wire.send_all(bytes("<" + all + ">"));
    (void)wire.finish_sending();
  };
  CHECK(talk(world, "PING", kTcpService) == "<PING>");
  CHECK(world.kept.opened == 1);
  CHECK(world.kept.last().tcp);
  CHECK(world.kept.last().request_bytes == 4);
  World other;
  other.application.raw = world.application.raw;
  CHECK(talk(other, "\x01\x02 not http", kEitherService) == "<\x01\x02 not http>");
}

TEST_CASE("a server that speaks first is not kept waiting", "[time]") {
  World world;
  world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
    (void)co_await wire.send_all(bytes("220 hello"));
    co_await hang_up_politely(wire);
  };
  struct Story {
    static io::Task<void> tell(World& world) {
      auto wire = co_await world.call(kEitherService);
      REQUIRE(wire.has_value());
      const io::TimePoint begun = world.ring->now();
      auto got = co_await (*wire)->recv();
      REQUIRE(got.has_value());
      CHECK(text(got->bytes()) == "220 hello");
      CHECK(world.ring->now() - begun < 1s);
      (void)(*wire)->finish_sending();
    }
  };
  world.run(Story::tell(world));
}

TEST_CASE("where the first bytes decide, HTTP is recognised") {
  World world;
  world.application.handler.serve = wire::test::echo;
  const std::string answer =
      talk(world, "GET /x HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n", kEitherService);
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\nx-asked: GET /x\r\n"));
}

TEST_CASE("a tunnel to the waypoint itself is refused") {
  World world;
  CHECK(talk(world, "x", "127.0.0.1:15008") == "!refused");
}

TEST_CASE("an unknown target is refused") {
  World world;
  CHECK(talk(world, "x", "10.96.9.9:80") == "!refused");
  World nonsense;
  CHECK(talk(nonsense, "x", "nowhere.example:80") == "!refused");
}

TEST_CASE("nothing passes before the configuration is there", "[time]") {
  World world;
  world.context.snapshot = std::make_shared<config::Snapshot>();
  CHECK(talk(world, "GET / HTTP/1.1\r\nhost: a\r\n\r\n") == "!refused");
}

}  // namespace
}  // namespace mesh::waypoint::test
