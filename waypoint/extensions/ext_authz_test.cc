// A chain that asks an authorizer: every kind of answer, and of no answer, as client and endpoint
// see it. Authorizer and endpoint are one application here, told apart by the path.

#include <catch2/catch_test_macros.hpp>

#include "envoy/service_auth.pb.h"
#include "mesh/grpc/framing.h"
#include "waypoint/extensions/ext_authz.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;
namespace auth = envoy::service::auth::v3;
constexpr std::string_view kCheck = "/envoy.service.auth.v3.Authorization/Check";

// What the authorizer answers, what it was asked, and what arrived at the endpoint.
struct Authorizer {
  auth::CheckResponse answer;
  std::string raw = {};  // instead, unframed
  h2::Headers trailers = {{"grpc-status", "0"}};
  bool reset = false;
  wire::Response http = {.status = 200, .headers = {}};
  std::string http_body = {};
  auth::CheckRequest asked;
  http::Request asked_http;
  std::string asked_body;
  int questions = 0;
  http::Request arrived;
  std::string arrived_body;
  int arrivals = 0;
};

io::Task<void> decide(wire::ServerStream& stream, Authorizer& authorizer, http::Request request) {
  ++authorizer.questions;
  const std::string body = co_await wire::test::read_all(stream);
  (void)authorizer.asked.ParseFromString(body.substr(std::min<std::size_t>(5, body.size())));
  authorizer.asked_http = std::move(request);
  if (authorizer.reset) co_return stream.reset(h2::ErrorCode::kInternalError);
  wire::Response head{.status = 200, .headers = {{"content-type", "application/grpc"}}};
  (void)co_await stream.respond(std::move(head), false);
  const std::string said = authorizer.raw.empty()
                               ? grpc::frame_message(authorizer.answer.SerializeAsString())
                               : authorizer.raw;
  (void)co_await stream.write(bytes(said));
  (void)co_await stream.finish(authorizer.trailers);
}

io::Task<void> decide_http(wire::ServerStream& stream, Authorizer& authorizer,
                           http::Request request) {
  ++authorizer.questions;
  authorizer.asked_body = co_await wire::test::read_all(stream);
  authorizer.asked_http = std::move(request);
  if (authorizer.reset) co_return stream.reset(h2::ErrorCode::kInternalError);
  (void)co_await stream.respond(authorizer.http, false);
  (void)co_await stream.write(bytes(authorizer.http_body));
  (void)co_await stream.finish({});
}

io::Task<void> serve(wire::ServerStream& stream, Authorizer& authorizer) {
  http::Request request = stream.take_request();
  if (request.path == kCheck) co_return co_await decide(stream, authorizer, std::move(request));
  if (request.path.starts_with("/authz/")) {
    co_return co_await decide_http(stream, authorizer, std::move(request));
  }
  ++authorizer.arrivals;
  authorizer.arrived = std::move(request);
  authorizer.arrived_body = co_await wire::test::read_all(stream);
  (void)co_await stream.respond({.status = 200, .headers = {{"x-from", "endpoint"}}}, true);
}

struct AuthzWorld : World {
  Authorizer authorizer;
  config::ExtAuthz filter{.cluster = "cart", .timeout = 2s};

  explicit AuthzWorld(bool grpc = true) {
    filter.grpc = grpc;
    if (!grpc) filter.path_prefix = "/authz";
    application.handler.serve = [this](wire::ServerStream& stream) {
      return serve(stream, authorizer);
    };
    application.version = grpc ? wire::Version::kHttp2 : wire::Version::kHttp1;
    cluster.http.version = grpc ? config::Http::Version::kHttp2 : config::Http::Version::kHttp1;
  }
  static io::Task<void> ask_into(World& world, http::Request request, std::string body,
                                 Answer& answer) {
    answer = co_await ask(world, std::move(request), std::move(body));
  }
  Answer answer_to(http::Request request, std::string body = {}) {
    chain.filters.push_back({.name = "authz", .settings = filter});
    use();
    Answer answer;
    run(ask_into(*this, std::move(request), std::move(body), answer));
    return answer;
  }
};

http::Request get(std::string path = "/a", h2::Headers headers = {}) {
  return {.method = "GET", .path = std::move(path), .headers = std::move(headers)};
}

void set(envoy::config::core::v3::HeaderValueOption* option, const char* name, const char* value) {
  option->mutable_header()->set_key(name);
  option->mutable_header()->set_value(value);
}

TEST_CASE("ext_authz: a request that is allowed arrives, changed as the authorizer said") {
  AuthzWorld world;
  auth::OkHttpResponse& ok = *world.authorizer.answer.mutable_ok_response();
  world.authorizer.answer.mutable_status();
  set(ok.add_headers(), "X-User", "ann");
  set(ok.add_headers(), "x-old", "new");
  auto* appended = ok.add_headers();
  set(appended, "x-list", "b");
  appended->mutable_append()->set_value(true);
  appended = ok.add_headers();
  set(appended, "x-nowhere", "b");
  appended->mutable_append()->set_value(true);
  ok.add_headers_to_remove("authorization");
  ok.add_headers_to_remove("host");
  set(ok.add_response_headers_to_add(), "x-checked", "yes");
  auto* query = ok.add_query_parameters_to_set();
  query->set_key("b");
  query->set_value("2");
  ok.add_query_parameters_to_remove("a");
  const Answer answer = world.answer_to(get("/p/../q?a=1&b=1&c=1", {{"authorization", "Bearer t"},
                                                                    {"x-old", "o"},
                                                                    {"x-list", "a"},
                                                                    {"x-two", "1"},
                                                                    {"x-two", "2"}}));
  CHECK(answer.status == 200);
  CHECK(h2::find_header(answer.headers, "x-checked") == "yes");
  const http::Request& arrived = world.authorizer.arrived;
  CHECK(arrived.path == "/q?c=1&b=2");
  CHECK(arrived.authority == "cart");
  CHECK(http::header_text(arrived.headers, "x-user").text() == "ann");
  CHECK(http::header_text(arrived.headers, "x-old").text() == "new");
  CHECK(http::header_text(arrived.headers, "x-list").text() == "a,b");
  CHECK_FALSE(http::header_text(arrived.headers, "x-nowhere").present());
  CHECK_FALSE(http::header_text(arrived.headers, "authorization").present());
  const auth::AttributeContext& asked = world.authorizer.asked.attributes();
  CHECK(asked.source().principal() == kWeb);
  CHECK(asked.destination().principal() == kWaypoint);
  CHECK(asked.destination().address().socket_address().address() == "10.96.0.1");
  CHECK(asked.destination().address().socket_address().port_value() == 80);
  CHECK(asked.request().http().method() == "GET");
  CHECK(asked.request().http().path() == "/q?a=1&b=1&c=1");
  CHECK(asked.request().http().host() == "cart");
  CHECK(asked.request().http().size() == -1);
  CHECK(asked.request().http().headers().at(":path") == "/q?a=1&b=1&c=1");
  CHECK(asked.request().http().headers().at("x-two") == "1,2");
  CHECK(asked.request().http().headers().at("authorization") == "Bearer t");
  CHECK(asked.request().time().seconds() > 0);
}

TEST_CASE("ext_authz: a refusal is the authorizer's, and nothing arrives") {
  AuthzWorld world;
  world.authorizer.answer.mutable_status()->set_code(7);
  auth::DeniedHttpResponse& denied = *world.authorizer.answer.mutable_denied_response();
  denied.mutable_status()->set_code(envoy::type::v3::Unauthorized);
  denied.set_body("who are you?");
  set(denied.add_headers(), "www-authenticate", "Basic");
  set(denied.add_headers(), "content-length", "999");
  const Answer answer = world.answer_to(get());
  CHECK(answer.status == 401);
  CHECK(answer.body == "who are you?");
  CHECK(h2::find_header(answer.headers, "www-authenticate") == "Basic");
  CHECK(h2::find_header(answer.headers, "content-length") == "12");
  CHECK(world.authorizer.arrivals == 0);
  CHECK(world.kept.last().flags.to_string() == "UAEX");
  CHECK(world.kept.last().details == "ext_authz_denied");
}

TEST_CASE("ext_authz: a refusal without words is a 403, and for gRPC its own status") {
  AuthzWorld world;
  world.authorizer.answer.mutable_status()->set_code(16);
  CHECK(world.answer_to(get()).status == 403);
  AuthzWorld grpc;
  grpc.authorizer.answer.mutable_status()->set_code(16);
  const Answer answer = grpc.answer_to(
      {.method = "POST", .path = "/s/m", .headers = {{"content-type", "application/grpc"}}});
  CHECK(answer.status == 200);
  CHECK(h2::find_header(answer.headers, "grpc-status") == "7");
  CHECK(grpc.authorizer.arrivals == 0);
}

// Everything that is no yes.
TEST_CASE("ext_authz: whatever is not understood to be a yes is a no") {
  using Change = void (*)(AuthzWorld&);
  const std::pair<const char*, Change> kCases[] = {
      {"a reset", [](AuthzWorld& w) { w.authorizer.reset = true; }},
      {"a message that says nothing", [](AuthzWorld&) {}},
      {"garbage", [](AuthzWorld& w) { w.authorizer.raw = "\xff\xff\xff\xff\xff\xff"; }},
      {"bytes that are no message",
       [](AuthzWorld& w) { w.authorizer.raw = grpc::frame_message("\x0a\xff\xff\xff"); }},
      {"a field nobody knows",
       [](AuthzWorld& w) { w.authorizer.raw = grpc::frame_message("\x0a\x00\xf8\x07\x01"); }},
      {"cut off", [](AuthzWorld& w) { w.authorizer.raw = std::string("\0\0\0\0\x09\x0a", 6); }},
      {"a bad status of the call",
       [](AuthzWorld& w) {
         w.authorizer.answer.mutable_status();
         w.authorizer.trailers = {{"grpc-status", "14"}};
       }},
      {"no status of the call",
       [](AuthzWorld& w) {
         w.authorizer.answer.mutable_status();
         w.authorizer.trailers = {};
       }},
      {"a huge message",
       [](AuthzWorld& w) {
         w.authorizer.answer.mutable_status();
         w.authorizer.answer.mutable_ok_response()->add_headers_to_remove(std::string(70'000, 'x'));
       }},
      {"a yes with a refusal",
       [](AuthzWorld& w) {
         w.authorizer.answer.mutable_status();
         w.authorizer.answer.mutable_denied_response();
       }},
      {"no such cluster", [](AuthzWorld& w) { w.filter.cluster = "gone"; }},
      {"nobody there",
       [](AuthzWorld& w) {
         w.application.refuse_with = 503;
         w.authorizer.answer.mutable_status();
       }},
  };
  for (const auto& [what, change] : kCases) {
    for (const bool open : {false, true}) {
      INFO(what << (open ? ", failing open" : ""));
      AuthzWorld world;
      change(world);
      world.filter.failure_mode_allow = open;
      world.filter.failure_mode_allow_header = open;
      world.filter.status_on_error = 418;
      const Answer answer = world.answer_to(get());
      const bool unreachable = world.application.refuse_with != 0;
      CHECK(answer.status == (open ? (unreachable ? 503 : 200) : 418));
      CHECK(world.authorizer.arrivals == (open && !unreachable ? 1 : 0));
      CHECK(world.kept.last().flags.has(Flag::kUAEX) == !open);
      if (!open) CHECK(world.kept.last().details == "ext_authz_error");
      if (open && !unreachable) {
        CHECK(
            http::header_text(world.authorizer.arrived.headers, "x-envoy-auth-failure-mode-allowed")
                .text() == "true");
      }
    }
  }
}

TEST_CASE("ext_authz: changes that cannot be made are a 500, failing open or not") {
  const std::pair<const char*, const char*> kCases[] = {
      {":path", "/admin"},     {"host", "x"},
      {"content-length", "3"}, {"te", "x"},
      {"x-a", "b\r\nc: d"},    {"transfer-encoding", "chunked"},
      {"bad name", "x"},       {"", "x"}};
  for (const auto& [name, value] : kCases) {
    AuthzWorld world;
    world.filter.failure_mode_allow = true;
    world.authorizer.answer.mutable_status();
    set(world.authorizer.answer.mutable_ok_response()->add_headers(), name, value);
    INFO(name);
    CHECK(world.answer_to(get()).status == 500);
    CHECK(world.authorizer.arrivals == 0);
  }
}

TEST_CASE("ext_authz: a body is sent along within its limit") {
  for (const bool partial : {false, true}) {
    for (const std::size_t size : {10u, 11u, 100'000u}) {
      AuthzWorld world;
      world.authorizer.answer.mutable_status();
      world.filter.max_request_bytes = 10;
      world.filter.allow_partial_message = partial;
      world.filter.pack_as_bytes = partial;
      const std::string body(size, 'b');
      const Answer answer = world.answer_to({.method = "POST", .path = "/a", .headers = {}}, body);
      INFO(size << (partial ? " in part" : ""));
      if (size > 10 && !partial) {
        CHECK(answer.status == 413);
        CHECK(world.authorizer.questions == 0);
        continue;
      }
      CHECK(answer.status == 200);
      CHECK(world.authorizer.arrived_body == body);
      const auto& http = world.authorizer.asked.attributes().request().http();
      CHECK((partial ? http.raw_body() : http.body()) == std::string(10, 'b'));
      CHECK(http.headers().at("x-envoy-auth-partial-body") == (size > 10 ? "true" : "false"));
    }
  }
}

TEST_CASE("ext_authz: asked only where a CUSTOM policy matched") {
  config::RbacFilter shadow{.shadow_prefix = "istio_ext_authz_"};
  config::RbacPolicy policy{.name = "istio-ext-authz-one-ns[shop]-policy[p]-rule[0]"};
  policy.permissions.push_back({.kind = config::RbacNode::Kind::kUrlPath});
  policy.permissions[0].text = config::StringMatch::prefix("/secure");
  policy.principals.push_back({.kind = config::RbacNode::Kind::kAny});
  shadow.shadow =
      config::RbacRules{.action = config::RbacRules::Action::kDeny, .policies = {policy}};
  for (const bool asked : {true, false}) {
    AuthzWorld world;
    world.authorizer.answer.mutable_status()->set_code(7);
    world.chain.filters.push_back({.name = "rbac", .settings = shadow});
    world.filter.enabled_by_prefix = "istio_ext_authz_";
    world.filter.enabled_by_policy = config::StringMatch::prefix("istio-ext-authz-one-ns[");
    CHECK(world.answer_to(get(asked ? "/secure/x" : "/open")).status == (asked ? 403 : 200));
    CHECK(world.authorizer.questions == (asked ? 1 : 0));
  }
}

TEST_CASE("ext_authz: what a route says of it") {
  AuthzWorld off;
  off.authorizer.answer.mutable_status()->set_code(7);
  off.route.overrides.ext_authz = config::ExtAuthzOverride{.disabled = true};
  CHECK(off.answer_to(get()).status == 200);
  CHECK(off.authorizer.questions == 0);
  AuthzWorld more;
  more.authorizer.answer.mutable_status();
  more.routes.overrides.ext_authz =
      config::ExtAuthzOverride{.context_extensions = {{"a", "table"}, {"b", "table"}}};
  more.route.overrides.ext_authz = config::ExtAuthzOverride{.context_extensions = {{"a", "route"}}};
  CHECK(more.answer_to(get()).status == 200);
  const auto& extensions = more.authorizer.asked.attributes().context_extensions();
  CHECK(extensions.at("a") == "route");
  AuthzWorld never;
  never.filter.enabled = {.numerator = 0, .denominator = 100};
  CHECK(never.answer_to(get()).status == 200);
  AuthzWorld deny;
  deny.filter.enabled = {.numerator = 0, .denominator = 100};
  deny.filter.deny_at_disable = true;
  CHECK(deny.answer_to(get()).status == 403);
  CHECK(deny.authorizer.questions + never.authorizer.questions == 0);
}

TEST_CASE("ext_authz over HTTP: what is asked, and what an answer changes") {
  AuthzWorld world(false);
  world.filter.allowed_headers = {config::StringMatch::exact("x-user")};
  world.filter.headers_to_add = {{"x-from", "waypoint"}};
  world.filter.allowed_upstream_headers = {config::StringMatch::exact("x-authz")};
  world.filter.allowed_upstream_headers_to_append = {config::StringMatch::exact("x-user")};
  world.filter.allowed_client_headers_on_success = {config::StringMatch::exact("x-checked")};
  world.authorizer.http.headers = {{"x-authz", "ok"},
                                   {"x-user", "b"},
                                   {"x-other", "no"},
                                   {"x-checked", "yes"},
                                   {"x-envoy-auth-headers-to-remove", "authorization, x-gone"}};
  const Answer answer = world.answer_to(
      get("/a?b=1",
          {{"authorization", "Bearer t"}, {"x-user", "a"}, {"x-gone", "1"}, {"x-secret", "s"}}));
  CHECK(answer.status == 200);
  CHECK(h2::find_header(answer.headers, "x-checked") == "yes");
  const http::Request& asked = world.authorizer.asked_http;
  CHECK(asked.method == "GET");
  CHECK(asked.path == "/authz/a?b=1");
  CHECK(asked.authority == "cart");
  CHECK(http::header_text(asked.headers, "authorization").text() == "Bearer t");
  CHECK(http::header_text(asked.headers, "x-user").text() == "a");
  CHECK(http::header_text(asked.headers, "x-from").text() == "waypoint");
  CHECK(http::header_text(asked.headers, "content-length").text() == "0");
  CHECK_FALSE(http::header_text(asked.headers, "x-secret").present());
  const http::Request& arrived = world.authorizer.arrived;
  CHECK(http::header_text(arrived.headers, "x-authz").text() == "ok");
  CHECK(http::header_text(arrived.headers, "x-user").text() == "a,b");
  CHECK_FALSE(http::header_text(arrived.headers, "x-other").present());
  CHECK_FALSE(http::header_text(arrived.headers, "authorization").present());
  CHECK_FALSE(http::header_text(arrived.headers, "x-gone").present());
}

TEST_CASE("ext_authz over HTTP: refusals, failures and bodies") {
  AuthzWorld denied(false);
  denied.authorizer.http = {.status = 302, .headers = {{"location", "/login"}, {"x-a", "1"}}};
  denied.authorizer.http_body = "go there";
  Answer answer = denied.answer_to(get());
  CHECK(answer.status == 302);
  CHECK(answer.body == "go there");
  CHECK(h2::find_header(answer.headers, "location") == "/login");
  CHECK(h2::find_header(answer.headers, "x-a") == "1");
  CHECK(denied.authorizer.arrivals == 0);
  AuthzWorld picked(false);
  picked.filter.allowed_client_headers = {config::StringMatch::exact("x-b")};
  picked.authorizer.http = {.status = 403, .headers = {{"x-b", "1"}, {"x-a", "1"}}};
  answer = picked.answer_to(get());
  CHECK(answer.status == 403);
  CHECK(h2::find_header(answer.headers, "x-b") == "1");
  CHECK_FALSE(h2::find_header(answer.headers, "x-a"));
  for (const bool open : {false, true}) {
    AuthzWorld failing(false);
    failing.filter.failure_mode_allow = open;
    failing.authorizer.http.status = 503;
    CHECK(failing.answer_to(get()).status == (open ? 200 : 403));
  }
  AuthzWorld large(false);
  large.authorizer.http_body = std::string(70'000, 'x');
  CHECK(large.answer_to(get()).status == 403);
  AuthzWorld body(false);
  body.filter.max_request_bytes = 100;
  CHECK(body.answer_to({.method = "POST", .path = "/a", .headers = {}}, "hello").status == 200);
  CHECK(body.authorizer.asked_body == "hello");
  CHECK(body.authorizer.arrived_body == "hello");
}

}  // namespace
}  // namespace mesh::waypoint::test
