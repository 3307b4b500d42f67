// Attacks on whole exchanges, in both versions of HTTP: not one byte of any reaches the
// application. Simulated time alone: tokens say when they were made.

#include <catch2/catch_test_macros.hpp>
#include <set>

#include "waypoint/jwt/attack_table.h"
#include "waypoint/rbac/test_rules.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using jwt::attacks::Attack;

io::Task<void> talk_into(World& world, std::string said, std::string& heard) {
  heard = co_await world.talk(std::move(said));
}

io::Task<void> run_session(wire::Http2Session& session) { (void)co_await session.run(); }

// The status, or 0: refused in HTTP/2's own words.
io::Task<void> ask_http2(World& world, http::Request request, int& status) {
  auto wire = co_await world.call();
  if (!wire) co_return;
  wire::Http2Session session(*world.ring, **wire, nullptr,
                             {.h2 = wire::Http2Options::for_client()});
  io::TaskScope running;
  running.spawn(run_session(session));
  {
    auto stream = session.open(nullptr).value();
    const auto sent = co_await stream->send(request, true);
    if (sent) {
      const auto head = co_await stream->read_head();
      if (head) status = head->status;
    }
  }
  session.retire();
  co_await running.join();
}

struct Outcome {
  bool reached = false;  // the application
  std::string answer = {};
};

// False: that is no name a tunnel could have.
bool be(World& world, const std::string& peer) {
  auto made = tls::Context::for_mesh(tls::Role::kClient,
                                     hbone::test::issue(world.ca, *world.ring, peer.c_str()));
  if (made) world.client_context = *std::move(made);
  return made.has_value();
}

Outcome over_http1(const std::vector<config::HttpFilter>& filters, const Attack& attack) {
  World world;
  world.application.handler.serve = wire::test::echo;
  world.chain.filters = filters;
  world.use();
  if (!be(world, attack.peer)) return {};
  std::string said = attack.method + " " + attack.path + " HTTP/1.1\r\nHost: " + attack.authority;
  for (const h2::Header& header : attack.headers) {
    said += "\r\n" + header.name + ": " + header.value;
  }
  Outcome outcome;
  world.run(talk_into(world, said + "\r\nConnection: close\r\n\r\n", outcome.answer));
  outcome.reached = !world.application.asked.empty();
  outcome.answer = outcome.answer.substr(0, outcome.answer.find("\r\n"));
  return outcome;
}

Outcome over_http2(const std::vector<config::HttpFilter>& filters, const Attack& attack) {
  World world;
  world.application.handler.serve = wire::test::echo;
  world.chain.filters = filters;
  world.use();
  if (!be(world, attack.peer)) return {};
  int status = 0;
  world.run(ask_http2(world,
                      {.method = attack.method,
                       .authority = attack.authority,
                       .path = attack.path,
                       .headers = attack.headers},
                      status));
  return {.reached = !world.application.asked.empty(), .answer = std::to_string(status)};
}

std::vector<config::HttpFilter> filters_of(std::vector<config::RbacFilter> rules) {
  std::vector<config::HttpFilter> filters = {{.name = "jwt", .settings = jwt::attacks::tokens()}};
  for (config::RbacFilter& one : rules) filters.push_back({.name = "rbac", .settings = one});
  return filters;
}

TEST_CASE("the attack table, through whole exchanges: nothing reaches the application") {
  const auto filters = filters_of(jwt::attacks::rules());
  for (const Attack& good : jwt::attacks::all_good()) {
    INFO(good.name);
    CHECK(over_http1(filters, good).answer == "HTTP/1.1 200 OK");
    CHECK(over_http2(filters, good).answer == "200");
  }
  for (const Attack& attack : jwt::attacks::all()) {
    INFO(attack.name);
    const Outcome first = over_http1(filters, attack);
    INFO(first.answer);
    CHECK_FALSE(first.reached);
    const Outcome second = over_http2(filters, attack);
    INFO(second.answer);
    CHECK_FALSE(second.reached);
  }
}

// ---- rules about what a request says of itself ----

using namespace rbac::test;

constexpr const char* kOps = "spiffe://cluster.local/ns/ops/sa/admin";

// One caller, one host, one method, from one network, with a role that is not to be admin.
std::vector<config::HttpFilter> one_way_in() {
  const RbacNode both =
      all({header(":authority", "web.shop"), header(":method", "GET"),
           text_node(RbacNode::Kind::kUrlPath, "/ok"), none(remote("10.0.0.0/8"))});
  std::vector<config::HttpFilter> filters;
  const auto add = [&filters](config::RbacFilter one) {
    filters.push_back({.name = "rbac", .settings = std::move(one)});
  };
  add(filter(config::RbacRules::Action::kDeny, {policy("role", header("x-role", "admin"), any())}));
  add(filter(config::RbacRules::Action::kAllow,
             {policy("ok", both, caller(kOps)),
              policy("vouched", header("x-forwarded-client-cert", "URI=spiffe://a/b"), any()),
              policy("near", any(), remote("10.0.0.0/8"))}));
  return filters;
}

Attack ok() { return {.name = "ok", .path = "/ok", .peer = kOps, .authority = "web.shop"}; }

std::vector<Attack> said_of_itself() {
  std::vector<Attack> attacks;
  const auto from = [&](std::string name) -> Attack& {
    attacks.push_back(ok());
    attacks.back().name = std::move(name);
    return attacks.back();
  };
  for (const char* host :
       {"web.shop.", "web.shop:80", "evil", "web.shop.evil", "evil/web.shop", "u@web.shop",
        "web.shop,evil", "web.shop evil", "web%2eshop", "[::1]", "web.shop:", "web.shop#",
        ".web.shop", "web.shop:80:80", "WEB.SHOP.EVIL"}) {
    from(std::string("host ") + host).authority = host;
  }
  for (const char* method : {"get", "Get", "POST", "HEAD", "DELETE", "GETX", "G", "CONNECT",
                             "TRACE", "PRI", "get ", "M-SEARCH", "SOURCE", "ANNOUNCE"}) {
    from(std::string("method ") + method).method = method;
  }
  for (const char* peer :
       {"spiffe://cluster.local/ns/ops/sa/admin2", "spiffe://cluster.local/ns/ops/sa/Admin",
        "spiffe://cluster.local/ns/ops/sa/admin/", "spiffe://CLUSTER.local/ns/ops/sa/admin",
        "spiffe://cluster.local/ns/ops/sa/*", "spiffe://cluster.local/ns/*/sa/admin",
        "spiffe://cluster.local/ns/ops/sa/adm%69n", "spiffe://other.local/ns/ops/sa/admin",
        "spiffe://cluster.local/ns/shop/sa/web"}) {
    from(std::string("caller ") + peer).peer = peer;
  }
  for (const char* path : {"/ok/", "/ok/x", "/OK", "/ok%00", "/ok;x", "/ok%2f", "/%6f%6b%2f..", "/",
                           "/x/../ok/.", "ok", "//ok", "/ok%20", "/ok%09", "/o%6B%2e"}) {
    from(std::string("path ") + path).path = path;
  }
  from("role").headers = {{"x-role", "admin"}};
  from("role in another case").headers = {{"X-Role", "admin"}};
  from("role twice").headers = {{"x-role", "user"}, {"x-role", "admin"}};
  from("role twice, admin first").headers = {{"x-role", "admin"}, {"x-role", "user"}};
  from("role with space around").headers = {{"x-role", " admin "}};
  from("role with a tab").headers = {{"x-role", "\tadmin"}};
  // What stands in for rights that the sender does not have.
  const auto stranger = [&](std::string name, h2::Headers headers) {
    Attack& attack = from("stranger: " + name);
    attack.peer = "spiffe://cluster.local/ns/shop/sa/web";
    attack.headers = std::move(headers);
  };
  for (const char* name : {"x-forwarded-client-cert", "X-Forwarded-Client-Cert",
                           "x_forwarded_client_cert", "x-forwarded_client-cert"}) {
    stranger(std::string("vouched for by ") + name, {{name, "URI=spiffe://a/b"}});
  }
  for (const char* name : {"x-forwarded-for", "x-real-ip", "x-envoy-external-address", "forwarded",
                           "true-client-ip", "x-client-ip"}) {
    stranger(std::string("from the network by ") + name, {{name, "10.1.1.1"}});
  }
  stranger("as somebody else", {{"x-istio-peer", kOps}, {"baggage", "k8s.namespace.name=ops"}});
  for (const char* name : {"x-envoy-original-path", "x-original-url", "x-rewrite-url",
                           "x-http-method-override", "x-forwarded-host", "x-envoy-peer-metadata"}) {
    stranger(std::string("another target by ") + name, {{name, "/ok"}});
  }
  return attacks;
}

TEST_CASE("what a request says of itself gives it no rights") {
  const auto filters = one_way_in();
  CHECK(over_http1(filters, ok()).answer == "HTTP/1.1 200 OK");
  CHECK(over_http2(filters, ok()).answer == "200");
  std::set<std::string> names;
  for (const Attack& attack : said_of_itself()) {
    INFO(attack.name);
    CHECK(names.insert(attack.name).second);
    const Outcome first = over_http1(filters, attack);
    INFO(first.answer);
    CHECK_FALSE(first.reached);
    const Outcome second = over_http2(filters, attack);
    INFO(second.answer);
    CHECK_FALSE(second.reached);
  }
  CHECK(names.size() >= 70);
}

}  // namespace
}  // namespace mesh::waypoint::test
