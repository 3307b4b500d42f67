// What a client is told when something goes wrong, each status from its named cause, with its flag
// in the record; and endpoints that answer garbage, early, twice or never.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>

#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;

// The client keeps its direction open: who ends the connection is the waypoint.
io::Task<void> talk_into(World& world, std::string said, std::string& heard) {
  auto wire = co_await world.call();
  REQUIRE(wire.has_value());
  const auto sent = co_await (*wire)->send_all(bytes(said));
  CHECK(sent.has_value());
  for (;;) {
    auto got = co_await (*wire)->recv();
    if (!got || got->empty()) co_return;
    heard += text(got->bytes());
  }
}
std::string status_line(World& world, std::string said) {
  std::string heard;
  world.run(talk_into(world, std::move(said), heard));
  return heard.substr(0, heard.find("\r\n"));
}

std::string get(const std::string& more = "", const std::string& path = "/") {
  return "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + more + "Connection: close\r\n\r\n";
}

std::string post(std::size_t length, const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " +
         std::to_string(length) + "\r\n\r\n" + body;
}

struct Row {
  int status;
  const char* flags;
  const char* details;
  std::string said;
  void (*prepare)(World&) = [](World&) {};
};

void break_filter(World& world) {
  world.chain.filters.push_back(
      {.name = "lua", .settings = config::UnavailableFilter{.problem = "not here"}});
}
void limit_to_nothing(World& world) {
  config::LocalRateLimit limit;
  limit.enabled = limit.enforced = {.numerator = 100, .denominator = 100};
  limit.bucket = config::TokenBucket{.max_tokens = 0, .fill_interval = 1s};
  world.chain.filters.push_back({.name = "limit", .settings = limit});
}
void go_nowhere(World& world) { world.forward.targets = {{.cluster = "nowhere"}}; }
void have_no_target(World& world) { world.forward.targets.clear(), world.forward.total_weight = 0; }
void match_nothing(World& world) { world.route.match.path.value = "/other"; }
void be_sick(World& world) {
  auto endpoints = std::make_shared<config::Endpoints>(*world.cluster.inline_endpoints);
  endpoints->all.clear();
  endpoints->groups.clear();
  world.cluster.inline_endpoints = std::move(endpoints);
}
void refuse_tunnels(World& world) { world.application.refuse_with = 503; }
void let_nobody_in(World& world) { world.cluster.normal.max_requests = 0; }
void hang_up(World& world) {
  world.application.raw = [](wire::Wire& wire) -> io::Task<void> { (void)co_await wire.recv(); };
}
void say_garbage(World& world) {
  world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
    (void)co_await wire.recv();
    (void)co_await wire.send_all(bytes("220 mail ready\r\n"));
    (void)co_await wire.recv();
  };
}
void show_little_to_authorizer(World& world) {
  config::ExtAuthz filter;
  filter.cluster = "cart";
  filter.max_request_bytes = 10;
  world.chain.filters.push_back({.name = "authorizer", .settings = filter});
}
void be_impatient(World& world) { world.chain.request_timeout = 50ms; }
void say_nothing(World& world) {
  world.forward.timeout = 50ms;
  world.application.raw = [](wire::Wire& wire) -> io::Task<void> {
    while (true) {
      const auto got = co_await wire.recv();
      if (!got || got->empty()) co_return;
    }
  };
}

std::vector<Row> rows() {
  const std::string long_path = "/" + std::string(17'000, 'a');
  return {
      {400, "DPE", "http1.codec_error{syntax}", "GET / HTTP/1.1\nHost: a\n\n"},
      {400, "DPE", "http1.codec_error{bad_host}", "GET / HTTP/1.1\r\n\r\n"},
      {400, "DPE", "http1.codec_error{ambiguous_framing}", get("Content_Length: 5\r\n")},
      {400, "DPE", "path_normalization_failed{path_ambiguous}", get("", "/a/..;/b")},
      {404, "NR", "route_not_found", get(), match_nothing},
      {408, "DT", "request_overall_timeout", post(100, "late"), be_impatient},
      {413, "DPE", "request_payload_too_large", post(20, std::string(20, 'a')),
       show_little_to_authorizer},
      {414, "DPE", "http1.codec_error{target_too_long}", get("", long_path)},
      {417, "DPE", "expectation_failed", get("Expect: the-best\r\n")},
      {421, "DPE", "http1.codec_error{misdirected}", get("", "https://a/")},
      {426, "DPE", "http1.codec_error{http_1_0}", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"},
      {429, "RL", "local_rate_limited", get(), limit_to_nothing},
      {431, "DPE", "http1.codec_error{headers_too_large}",
       get("X-A: " + std::string(62'000, 'a') + "\r\n")},
      {500, "NC", "no_cluster", get(), have_no_target},
      {500, "NFCF", "filter_unavailable{lua}", get(), break_filter},
      {502, "UPE", "upstream_reset_before_response_started{protocol_error}", get(), say_garbage},
      {503, "NC", "cluster_not_found", get(), go_nowhere},
      {503, "UH", "no_healthy_upstream", get(), be_sick},
      {503, "UF", "upstream_reset_before_response_started{remote_connection_failure|refused}",
       get(), refuse_tunnels},
      {503, "UO", "upstream_reset_before_response_started{overflow}", get(), let_nobody_in},
      {503, "UC", "upstream_reset_before_response_started{connection_termination}", get(), hang_up},
      {504, "UT", "response_timeout", get(), say_nothing},
  };
}

TEST_CASE("each refusal has its status, its flag and its cause") {
  for (const Row& row : rows()) {
    World world;
    world.application.handler.serve = wire::test::echo;
    row.prepare(world);
    world.use();
    const std::string line = status_line(world, row.said);
    INFO(row.details << " " << line);
    CHECK(line.starts_with("HTTP/1.1 " + std::to_string(row.status) + " "));
    REQUIRE(world.kept.records.size() == 1);
    CHECK(world.kept.last().status == row.status);
    CHECK(world.kept.last().flags.to_string() == row.flags);
    CHECK(world.kept.last().details == row.details);
  }
}

TEST_CASE("a gRPC caller is told the mapped status of each") {
  const struct {
    int http, grpc;
  } mapped[] = {{400, 13}, {404, 12}, {408, 2},  {413, 2},  {417, 2},
                {429, 14}, {500, 2},  {502, 14}, {503, 14}, {504, 14}};
  for (const Row& row : rows()) {
    if (std::string_view(row.details).starts_with("http1.codec_error")) continue;
    World world;
    world.application.handler.serve = wire::test::echo;
    row.prepare(world);
    world.use();
    std::string said = row.said;
    said.insert(said.find("Host:"), "Content-Type: application/grpc\r\n");
    std::string heard;
    world.run(talk_into(world, std::move(said), heard));
    INFO(row.details << " " << heard);
    CHECK(heard.starts_with("HTTP/1.1 200 "));
    const auto* found =
        std::ranges::find(mapped, row.status, &std::decay_t<decltype(*mapped)>::http);
    REQUIRE(found != std::end(mapped));
    CHECK(heard.contains("grpc-status: " + std::to_string(found->grpc) + "\r\n"));
  }
}

// ---- over HTTP/2, where a caller's words are known before the exchange begins ----

struct Http2Row {
  int status = 0, grpc = 0;
  const char* flags = "";
  const char* details = "";
  http::Request request = {};
  std::string body = {};
  void (*prepare)(World&) = [](World&) {};
};

std::vector<Http2Row> http2_rows() {
  const auto with = [](std::string path, h2::Headers headers) {
    return http::Request{
        .method = "POST", .authority = "a", .path = std::move(path), .headers = std::move(headers)};
  };
  h2::Headers many;
  for (int i = 0; i < 1'300; ++i)
    many.push_back({"x-" + std::to_string(1'000 + i), "01234567890123456789"});
  return {
      {400, 13, "DPE", "http2.codec_error{ambiguous_framing}",
       with("/", {{"content_length", "5"}})},
      {400, 13, "DPE", "path_normalization_failed{path_ambiguous}", with("/a/..;/b", {})},
      {404, 12, "NR", "route_not_found", with("/", {}), "", match_nothing},
      {413, 2, "DPE", "request_payload_too_large", with("/", {}), std::string(20, 'a'),
       show_little_to_authorizer},
      {414, 2, "DPE", "path_normalization_failed{path_too_long}",
       with("/" + std::string(62'000, 'a'), {})},
      {417, 2, "DPE", "expectation_failed", with("/", {{"expect", "the-best"}})},
      {429, 14, "RL", "local_rate_limited", with("/", {}), "", limit_to_nothing},
      {431, 2, "DPE", "http2.codec_error{headers_too_large}", with("/", many)},
      {500, 2, "NC", "no_cluster", with("/", {}), "", have_no_target},
      {502, 14, "UPE", "upstream_reset_before_response_started{protocol_error}", with("/", {}), "",
       say_garbage},
      {503, 14, "UH", "no_healthy_upstream", with("/", {}), "", be_sick},
      {504, 14, "UT", "response_timeout", with("/", {}), "", say_nothing},
  };
}

io::Task<void> ask_row(wire::Http2Session& session, const Http2Row& row, bool grpc, Answer& got) {
  auto stream = session.open(nullptr).value();
  http::Request request = row.request;
  // Before what is too much: of a head that is too large the beginning is known.
  if (grpc) request.headers.insert(request.headers.begin(), {"content-type", "application/grpc"});
  auto sent = co_await stream->send(request, row.body.empty());
  REQUIRE(sent.has_value());
  if (!row.body.empty()) {
    sent = co_await stream->write(bytes(row.body));
    if (sent) sent = co_await stream->finish({});
  }
  auto head = co_await stream->read_head();
  REQUIRE(head.has_value());
  got.status = head->status;
  got.headers = std::move(head->headers);
}

TEST_CASE("over HTTP/2 the same, and gRPC callers are told in their words whatever it was") {
  for (const Http2Row& row : http2_rows()) {
    for (const bool grpc : {false, true}) {
      World world;
      world.application.handler.serve = wire::test::echo;
      row.prepare(world);
      world.use();
      Answer got;
      world.run(as_http2(
          world, [&](wire::Http2Session& session) { return ask_row(session, row, grpc, got); }));
      INFO(row.details << (grpc ? " by gRPC" : ""));
      CHECK(got.status == (grpc ? 200 : row.status));
      const auto told = h2::find_header(got.headers, "grpc-status");
      CHECK(told.has_value() == grpc);
      if (grpc) CHECK(told == std::to_string(row.grpc));
      REQUIRE(world.kept.records.size() == 1);
      CHECK(world.kept.last().status == (grpc ? 200 : row.status));
      CHECK(world.kept.last().grpc_status == (grpc ? row.grpc : -1));
      CHECK(world.kept.last().flags.to_string() == row.flags);
      CHECK(world.kept.last().details == row.details);
      CHECK(world.kept.last().protocol == "HTTP/2");
    }
  }
}

io::Task<void> leave_destination(World& world, wire::Http2Session& session, Answer& got) {
  auto snapshot = std::make_shared<config::Snapshot>(*world.context.snapshot);
  ++snapshot->number;
  snapshot->by_address = std::make_shared<config::Snapshot::Destinations>();
  world.context.snapshot = std::move(snapshot);
  Http2Row row{.request = {.method = "POST", .authority = "a", .path = "/", .headers = {}}};
  co_await ask_row(session, row, true, got);
}

TEST_CASE("a destination that went while its tunnel stayed is a 503 with its flag") {
  World world;
  Answer got;
  world.run(as_http2(
      world, [&](wire::Http2Session& session) { return leave_destination(world, session, got); }));
  CHECK(got.status == 200);
  CHECK(h2::find_header(got.headers, "grpc-status") == "14");
  CHECK(world.kept.last().flags.to_string() == "NR");
  CHECK(world.kept.last().details == "destination_gone");
}

io::Task<void> be_slow(World& world, std::string& heard) {
  auto wire = co_await world.call();
  REQUIRE(wire.has_value());
  const auto sent = co_await (*wire)->send_all(bytes("GET / HTTP/1.1\r\nHost: "));
  CHECK(sent.has_value());
  const auto got = co_await (*wire)->recv();
  if (got) heard = text(got->bytes());
}

TEST_CASE("a head that does not come is 408", "[time]") {
  World world;
  std::string heard;
  world.run(be_slow(world, heard));
  CHECK(heard.starts_with("HTTP/1.1 408 "));
  CHECK(world.kept.last().status == 408);
  CHECK(world.kept.last().flags.to_string() == "DT");  // Envoy has none here
  CHECK(world.kept.last().details == "request_header_timeout");
}

// ---- endpoints ----

// What an endpoint says to each request; it keeps the connection as long as we do.
void say(World& world, std::string answer) {
  world.application.raw = [answer = std::move(answer)](wire::Wire& wire) -> io::Task<void> {
    for (;;) {
      const auto got = co_await wire.recv();
      if (!got || got->empty()) co_return;
      const auto said = co_await wire.send_all(bytes(answer));
      if (!said) co_return;
    }
  };
}

io::Task<void> ask_twice(World& world, std::string (&heard)[2]) {
  for (std::string& one : heard) one = co_await world.talk(get());
}

TEST_CASE("garbage of an endpoint is a 502, and its connection is not used again") {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string rows[] = {
      std::string("\0\1\2\3", 4) + "\r\n\r\n",
      "ICY 200 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
      "HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
      "HTTP/1.1 600 OK\r\ncontent-length: 0\r\n\r\n",
      "HTTP/1.1\r\n\r\n",
      "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
      "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
      ok + "content-length: 1\r\ncontent-length: 2\r\n\r\na",
      ok + "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      ok + "transfer-encoding: gzip\r\n\r\n",
      ok + "transfer-encoding: chunked, gzip\r\n\r\n",
      ok + "content-length: -1\r\n\r\n",
      ok + "content-length: 1x\r\n\r\na",
      ok + "content-length : 1\r\n\r\na",
      ok + "x: a\r\n b\r\ncontent-length: 0\r\n\r\n",
      ok + std::string("x: a\0b\r\ncontent-length: 0\r\n\r\n", 29),
      ok + "no colon\r\n\r\n",
      "HTTP/1.1 200 OK\nx: y\n\n",
      "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
      ok + "x: " + std::string(70'000, 'a') + "\r\n\r\n",
  };
  for (const std::string& answer : rows) {
    World world;
    say(world, answer);
    std::string heard[2];
    world.run(ask_twice(world, heard));
    INFO(answer.substr(0, 80) << " -> " << heard[0].substr(0, 80));
    CHECK(heard[0].starts_with("HTTP/1.1 502 "));
    CHECK(heard[1].starts_with("HTTP/1.1 502 "));
    CHECK(world.kept.last().flags.to_string() == "UPE");
    CHECK(world.application.asked.size() == 2);  // a connection each
  }
}

TEST_CASE("interim answers without end are a 502") {
  World world;
  std::string many;
  for (int i = 0; i < 40; ++i) many += "HTTP/1.1 103 Early Hints\r\n\r\n";
  say(world, many);
  std::string heard[2];
  world.run(ask_twice(world, heard));
  CHECK(heard[0].contains("HTTP/1.1 502 "));
  CHECK(world.application.asked.size() == 2);
}

TEST_CASE("an answer that is cut off never looks whole, and its connection is not used again") {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const std::string& answer :
       {ok + "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        ok + "transfer-encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n",
        ok + "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n"}) {
    World world;
    say(world, answer);
    std::string heard[2];
    world.run(ask_twice(world, heard));
    INFO(answer << " -> " << heard[0]);
    // Reset, or a 502 when nothing had been passed on yet.
    CHECK((heard[0].contains("!") || heard[0].starts_with("HTTP/1.1 502 ")));
    CHECK_FALSE(heard[0].ends_with("0\r\n\r\n"));
    CHECK(world.application.asked.size() == 2);
  }
}

TEST_CASE("a second answer is nobody's, and its connection is not used again") {
  World world;
  const std::string one = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n";
  say(world, one + "a" + one + "b");
  std::string heard[2];
  world.run(ask_twice(world, heard));
  for (const std::string& each : heard) {
    CHECK(each.ends_with("\r\n\r\na"));
  }
  CHECK(world.application.asked.size() == 2);
}

io::Task<void> answer_early(wire::Wire& wire) {
  (void)co_await wire.recv();
  (void)co_await wire.send_all(bytes("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly"));
  for (;;) {
    const auto got = co_await wire.recv();
    if (!got || got->empty()) co_return;
  }
}

io::Task<void> post_slowly(World& world, std::string& heard) {
  for (int i = 0; i < 2; ++i) {
    auto wire = co_await world.call();
    REQUIRE(wire.has_value());
    const auto sent = co_await (*wire)->send_all(
        bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhello"));
    CHECK(sent.has_value());
    const auto got = co_await (*wire)->recv();
    if (got) heard = text(got->bytes());
  }
}

TEST_CASE("an early answer is passed on, and its connection is not used again") {
  World world;
  world.application.raw = answer_early;
  std::string heard;
  world.run(post_slowly(world, heard));
  CHECK(heard.starts_with("HTTP/1.1 200 "));
  CHECK(world.application.asked.size() == 2);
}

io::Task<void> wait_twice(World& world) {
  for (int i = 0; i < 2; ++i) {
    const std::string heard = co_await world.talk(get());
    CHECK(heard.starts_with("HTTP/1.1 504 "));
  }
}

TEST_CASE("an endpoint that never answers is a 504, and its connection is not used again") {
  World world;
  say_nothing(world);
  world.use();
  world.run(wait_twice(world));
  CHECK(world.application.asked.size() == 2);
  CHECK(world.kept.last().flags.to_string() == "UT");
}

}  // namespace
}  // namespace mesh::waypoint::test
