// A chain with a processor: what it sees of a request and its response, what its answers change,
// and what bad ones come to. Processor and endpoint are one application here, told apart by the
// path.

#include <catch2/catch_test_macros.hpp>

#include "envoy/service_ext_proc.pb.h"
#include "mesh/grpc/framing.h"
#include "waypoint/extensions/ext_proc.h"
#include "waypoint/test_world.h"

namespace mesh::waypoint::test {
namespace {

using namespace std::chrono_literals;
namespace proc = envoy::service::ext_proc::v3;
using config::ExtProc;
using Case = proc::ProcessingRequest::RequestCase;

// Answers each question of one conversation by `say`; nothing said ends it.
struct Service {
  std::function<std::optional<std::string>(const proc::ProcessingRequest&)> say;
  grpc::Status ends_with{};
  bool silent = false;
  std::vector<proc::ProcessingRequest> asked;
  http::Request arrived;
  std::string arrived_body;
  h2::Headers arrived_trailers;
  int arrivals = 0;
  std::string body = "from the endpoint";
  h2::Headers trailers;
  io::Event* release = nullptr;
};

// The plain answer to a question: go on.
proc::ProcessingResponse on(const proc::ProcessingRequest& asked) {
  proc::ProcessingResponse answer;
  switch (asked.request_case()) {
    case Case::kRequestHeaders:
      answer.mutable_request_headers();
      break;
    case Case::kResponseHeaders:
      answer.mutable_response_headers();
      break;
    case Case::kRequestBody:
      answer.mutable_request_body();
      break;
    case Case::kResponseBody:
      answer.mutable_response_body();
      break;
    case Case::kRequestTrailers:
      answer.mutable_request_trailers();
      break;
    default:
      answer.mutable_response_trailers();
      break;
  }
  return answer;
}

io::Task<void> converse(wire::ServerStream& stream, Service& service) {
  wire::Response head{.status = 200, .headers = {{"content-type", "application/grpc"}}};
  auto done = co_await stream.respond(std::move(head), false);
  grpc::MessageReader frames(4 << 20);
  while (done) {
    const auto part = co_await stream.read();
    if (!part || part->empty()) break;
    std::span<const std::byte> rest = part->bytes();
    while (!rest.empty() && done) {
      const auto message = frames.feed(rest);
      REQUIRE(message.has_value());
      if (!*message) break;
      auto& asked = service.asked.emplace_back();
      REQUIRE(asked.ParseFromString(**message));
      if (service.silent) {
        (void)co_await service.release->wait();
        co_return;
      }
      const auto said = service.say(asked);
      if (!said) {
        (void)co_await stream.finish(
            {{"grpc-status", std::to_string(static_cast<int>(service.ends_with.code))}});
        co_return;
      }
      done = co_await stream.write(bytes(grpc::frame_message(*said)));
    }
  }
  if (done) (void)co_await stream.finish({{"grpc-status", "0"}});
}

io::Task<void> serve(wire::ServerStream& stream, Service& service) {
  http::Request request = stream.take_request();
  if (request.path == "/envoy.service.ext_proc.v3.ExternalProcessor/Process") {
    co_return co_await converse(stream, service);
  }
  ++service.arrivals;
  service.arrived = std::move(request);
  service.arrived_body = co_await wire::test::read_all(stream);
  service.arrived_trailers = stream.take_trailers();
  wire::Response head{.status = 200, .headers = {{"x-from", "endpoint"}}};
  if (service.trailers.empty()) {
    head.headers.push_back({"content-length", std::to_string(service.body.size())});
  }
  (void)co_await stream.respond(std::move(head), service.body.empty());
  if (service.body.empty()) co_return;
  (void)co_await stream.write(bytes(service.body));
  (void)co_await stream.finish(service.trailers);
}

struct ProcWorld : World {
  Service service;
  io::Event release{*ring};
  ExtProc filter{.cluster = "cart", .message_timeout = 2s};

  ProcWorld() {
    service.release = &release;
    service.say = [](const proc::ProcessingRequest& asked) {
      return on(asked).SerializeAsString();
    };
    application.handler.serve = [this](wire::ServerStream& stream) {
      return serve(stream, service);
    };
    application.version = wire::Version::kHttp2;
    cluster.http.version = config::Http::Version::kHttp2;
  }
  static io::Task<void> ask_into(ProcWorld& world, http::Request request, std::string body,
                                 Answer& answer) {
    answer = co_await ask(world, std::move(request), std::move(body));
    world.release.set();
  }
  Answer answer_to(http::Request request = {.method = "GET", .path = "/a", .headers = {}},
                   std::string body = {}) {
    chain.filters.push_back({.name = "processor", .settings = filter});
    use();
    Answer answer;
    run(ask_into(*this, std::move(request), std::move(body), answer));
    return answer;
  }
  // One change of one answer.
  void change(Case which, std::function<void(proc::ProcessingResponse&)> how) {
    service.say = [which, how](const proc::ProcessingRequest& asked) {
      proc::ProcessingResponse answer = on(asked);
      if (asked.request_case() == which) how(answer);
      return answer.SerializeAsString();
    };
  }
};

http::Request post(h2::Headers headers = {}) {
  return {.method = "POST", .path = "/a", .headers = std::move(headers)};
}

void set(proc::HeaderMutation* to, const char* name, const char* value) {
  auto* header = to->add_set_headers()->mutable_header();
  header->set_key(name);
  header->set_raw_value(value);
}

std::string header(const h2::Headers& headers, std::string_view name) {
  return std::string(http::header_text(headers, name).text());
}

std::string told(const envoy::config::core::v3::HeaderMap& map, std::string_view name) {
  for (const auto& one : map.headers()) {
    if (one.key() == name) return one.raw_value();
  }
  return "-";
}

TEST_CASE("ext_proc: heads are seen and changed on the way there and back") {
  ProcWorld world;
  world.service.say = [](const proc::ProcessingRequest& asked) {
    proc::ProcessingResponse answer = on(asked);
    if (asked.has_request_headers()) {
      auto* mutation =
          answer.mutable_request_headers()->mutable_response()->mutable_header_mutation();
      set(mutation, "X-Added", "1");
      set(mutation, ":path", "/b/../c");
      set(mutation, ":method", "DELETE");
      set(mutation, "host", "evil");
      set(mutation, "x-envoy-retry-on", "5xx");
      set(mutation, "content-length", "7");
      mutation->add_remove_headers("x-secret");
      mutation->add_remove_headers(":path");
    } else {
      auto* mutation =
          answer.mutable_response_headers()->mutable_response()->mutable_header_mutation();
      set(mutation, "x-from", "processor");
      set(mutation, ":status", "203");
    }
    return answer.SerializeAsString();
  };
  const Answer answer = world.answer_to(
      {.method = "GET", .path = "/a?q=1", .headers = {{"x-secret", "s"}, {"x-kept", "k"}}});
  CHECK(answer.status == 203);
  CHECK(answer.body == "from the endpoint");
  CHECK(header(answer.headers, "x-from") == "processor");
  const http::Request& arrived = world.service.arrived;
  CHECK(arrived.method == "GET");
  CHECK(arrived.path == "/c");
  CHECK(arrived.authority == "cart");
  CHECK(header(arrived.headers, "x-added") == "1");
  CHECK(header(arrived.headers, "x-kept") == "k");
  CHECK_FALSE(http::header_text(arrived.headers, "x-secret").present());
  CHECK_FALSE(http::header_text(arrived.headers, "x-envoy-retry-on").present());
  REQUIRE(world.service.asked.size() == 2);
  const auto& heads = world.service.asked[0].request_headers();
  CHECK(heads.end_of_stream());
  CHECK(told(heads.headers(), ":path") == "/a?q=1");
  CHECK(told(heads.headers(), ":method") == "GET");
  CHECK(told(heads.headers(), ":authority") == "cart");
  CHECK(told(heads.headers(), "x-secret") == "s");
  CHECK(told(world.service.asked[1].response_headers().headers(), ":status") == "200");
  CHECK_FALSE(world.service.asked[1].response_headers().end_of_stream());
  CHECK(world.kept.last().flags.to_string() == "-");
}

// "REQUEST" of each body, in upper case.
std::string shouted(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return text;
}
std::optional<std::string> shout(const proc::ProcessingRequest& asked) {
  proc::ProcessingResponse answer = on(asked);
  const auto change = [](const proc::HttpBody& body, proc::BodyResponse* to) {
    to->mutable_response()->mutable_body_mutation()->set_body(shouted(body.body()) +
                                                              (body.end_of_stream() ? "!" : ""));
  };
  if (asked.has_request_body()) change(asked.request_body(), answer.mutable_request_body());
  if (asked.has_response_body()) change(asked.response_body(), answer.mutable_response_body());
  return answer.SerializeAsString();
}

TEST_CASE("ext_proc: bodies go through it whole or part by part") {
  for (const auto mode :
       {ExtProc::Body::kBuffered, ExtProc::Body::kBufferedPartial, ExtProc::Body::kStreamed}) {
    for (const std::size_t size : {5u, 200'000u}) {
      ProcWorld world;
      world.service.say = shout;
      world.service.body = std::string(size, 'r');
      world.filter.request_body = world.filter.response_body = mode;
      const Answer answer = world.answer_to(post(), std::string(size, 'q'));
      INFO(size << (mode == ExtProc::Body::kStreamed ? " streamed" : " buffered"));
      CHECK(answer.status == 200);
      CHECK(world.service.arrived_body == std::string(size, 'Q') + "!");
      CHECK(answer.body == std::string(size, 'R') + "!");
      const bool whole = mode != ExtProc::Body::kStreamed;
      CHECK(header(answer.headers, "content-length") ==
            (whole ? std::to_string(size + 1) : std::string()));
      CHECK(world.service.asked[0].protocol_config().request_body_mode() == static_cast<int>(mode));
      for (std::size_t i = 1; i < world.service.asked.size(); ++i) {
        CHECK_FALSE(world.service.asked[i].has_protocol_config());
      }
    }
  }
}

TEST_CASE("ext_proc: a body that it wants whole has a limit") {
  ProcWorld request;
  request.filter.request_body = ExtProc::Body::kBuffered;
  CHECK(request.answer_to(post(), std::string((1 << 20) + 1, 'q')).status == 413);
  CHECK(request.service.arrivals == 0);
  ProcWorld response;
  response.filter.response_body = ExtProc::Body::kBuffered;
  response.service.body = std::string((1 << 20) + 1, 'r');
  CHECK(response.answer_to().status == 500);
  CHECK(response.kept.last().details == "response_payload_too_large");
}

TEST_CASE("ext_proc: of a body that is too large a beginning, where that will do") {
  constexpr std::size_t kSize = extensions::kBufferedMax + 300'000;
  ProcWorld world;
  world.service.say = shout;
  world.service.body = std::string(kSize, 'r');
  world.filter.request_body = world.filter.response_body = ExtProc::Body::kBufferedPartial;
  world.filter.message_timeout = 10s;
  const Answer answer = world.answer_to(post(), std::string(kSize, 'q'));
  CHECK(answer.status == 200);
  CHECK(header(answer.headers, "content-length").empty());
  const auto check = [](const std::string& body, char loud, char quiet) {
    const std::size_t part = body.find_first_not_of(loud);
    CHECK(part >= extensions::kBufferedMax);
    CHECK(part <= extensions::kBufferedMax + 64 * 1024);
    CHECK(body == std::string(part, loud) + std::string(kSize - part, quiet));
  };
  check(world.service.arrived_body, 'Q', 'q');
  check(answer.body, 'R', 'r');
}

TEST_CASE("ext_proc: it may answer itself, at every step before the response began") {
  const std::pair<Case, int> kCases[] = {{Case::kRequestHeaders, 0},
                                         {Case::kRequestBody, 0},
                                         {Case::kResponseHeaders, 1},
                                         {Case::kResponseBody, 1}};
  for (const auto& [step, arrivals] : kCases) {
    for (const auto mode : {ExtProc::Body::kBuffered, ExtProc::Body::kStreamed}) {
      const bool late = step == Case::kResponseBody && mode == ExtProc::Body::kStreamed;
      const bool early = step == Case::kRequestBody && mode == ExtProc::Body::kStreamed;
      ProcWorld world;
      world.filter.request_body = world.filter.response_body = mode;
      world.change(step, [](proc::ProcessingResponse& answer) {
        auto* reply = answer.mutable_immediate_response();
        reply->mutable_status()->set_code(envoy::type::v3::Forbidden);
        reply->set_body("no");
        reply->set_details("because I say");
        set(reply->mutable_headers(), "x-why", "so");
      });
      const Answer answer = world.answer_to(post(), "hello");
      INFO(static_cast<int>(step) << (mode == ExtProc::Body::kStreamed ? " streamed" : ""));
      if (late) {
        CHECK(answer.body.ends_with("!peer_reset"));  // what began is cut off
        continue;
      }
      CHECK(answer.status == 403);
      CHECK(answer.body == "no");
      CHECK(header(answer.headers, "x-why") == "so");
      if (!early) CHECK(world.service.arrivals == arrivals);
      if (!early) CHECK(world.service.arrived_body.empty() == (arrivals == 0));
      CHECK(world.kept.last().status == 403);
      CHECK(world.kept.last().details == "because_I_say");
      CHECK(world.kept.last().flags.to_string() == "-");
    }
  }
}

TEST_CASE("ext_proc: what it says must fit, or it has failed") {
  using Say = std::function<std::optional<std::string>(const proc::ProcessingRequest&)>;
  const auto framed = [](std::string text) {
    return Say([text](const proc::ProcessingRequest&) { return std::optional(text); });
  };
  const auto changed = [](auto how) {
    return Say([how](const proc::ProcessingRequest& asked) {
      proc::ProcessingResponse answer = on(asked);
      how(answer);
      return std::optional(answer.SerializeAsString());
    });
  };
  const std::pair<const char*, Say> kCases[] = {
      {"an empty message", framed("")},
      {"garbage", framed("\x0a\xff\xff")},
      {"a field nobody knows", framed("\x0a\x00\xf8\x07\x01")},
      {"an answer to something else",
       changed([](auto& answer) { answer.mutable_response_trailers(); })},
      {"a value with a line's end", changed([](auto& answer) {
         set(answer.mutable_request_headers()->mutable_response()->mutable_header_mutation(), "a",
             "b\r\nc: d");
       })},
      {"no name", changed([](auto& answer) {
         set(answer.mutable_request_headers()->mutable_response()->mutable_header_mutation(), "",
             "b");
       })},
      {"another duplex mode", changed([](auto& answer) {
         answer.mutable_mode_override()->set_request_body_mode(
             envoy::extensions::filters::http::ext_proc::v3::ProcessingMode::FULL_DUPLEX_STREAMED);
       })},
      {"an end with an error",
       Say([](const proc::ProcessingRequest&) { return std::optional<std::string>(); })},
  };
  for (const auto& [what, say] : kCases) {
    for (const bool open : {false, true}) {
      INFO(what << (open ? ", failing open" : ""));
      ProcWorld world;
      world.service.say = say;
      world.service.ends_with.code = grpc::StatusCode::kInternal;
      world.filter.failure_mode_allow = open;
      CHECK(world.answer_to().status == (open ? 200 : 500));
      CHECK(world.service.arrivals == (open ? 1 : 0));
      if (!open) CHECK(world.kept.last().details.starts_with("ext_proc_error{"));
    }
  }
}

TEST_CASE("ext_proc: nobody there, and nobody who answers") {
  for (const bool open : {false, true}) {
    ProcWorld gone;
    gone.filter.cluster = "gone";
    gone.filter.failure_mode_allow = open;
    CHECK(gone.answer_to().status == (open ? 200 : 500));
    ProcWorld silent;
    silent.service.silent = true;
    silent.filter.message_timeout = 30ms;
    silent.filter.failure_mode_allow = open;
    CHECK(silent.answer_to().status == (open ? 200 : 504));
    CHECK(silent.service.arrivals == (open ? 1 : 0));
  }
}

TEST_CASE("ext_proc: a stream that it ends well is the end of its say") {
  ProcWorld world;
  world.filter.response_body = ExtProc::Body::kBuffered;
  world.service.say = [](const proc::ProcessingRequest&) { return std::optional<std::string>(); };
  const Answer answer = world.answer_to();
  CHECK(answer.status == 200);
  CHECK(answer.body == "from the endpoint");
  CHECK(world.kept.last().details == "via_upstream");
  CHECK(world.service.asked.size() == 1);
}

TEST_CASE("ext_proc: it fails in the middle of a response") {
  for (const bool headers : {true, false}) {
    ProcWorld world;
    world.filter.response_body = ExtProc::Body::kStreamed;
    world.change(headers ? Case::kResponseHeaders : Case::kResponseBody,
                 [](proc::ProcessingResponse& answer) { answer.Clear(); });
    const Answer answer = world.answer_to();
    if (headers) {
      CHECK(answer.status == 500);
      CHECK(answer.body.empty());
    } else {
      CHECK(answer.status == 200);
      CHECK(answer.body == "!peer_reset");
    }
  }
}

TEST_CASE("ext_proc: it may replace a message, ask for other modes, and for time") {
  ProcWorld replaced;
  replaced.filter.request_body = replaced.filter.response_body = ExtProc::Body::kBuffered;
  replaced.service.say = [](const proc::ProcessingRequest& asked) {
    proc::ProcessingResponse answer = on(asked);
    auto* common = asked.has_request_headers()
                       ? answer.mutable_request_headers()->mutable_response()
                       : answer.mutable_response_headers()->mutable_response();
    common->set_status(proc::CommonResponse::CONTINUE_AND_REPLACE);
    common->mutable_body_mutation()->set_body(asked.has_request_headers() ? "new" : "other");
    return answer.SerializeAsString();
  };
  const Answer answer = replaced.answer_to(post(), "old");
  CHECK(replaced.service.arrived_body == "new");
  CHECK(header(replaced.service.arrived.headers, "content-length") == "3");
  CHECK(answer.body == "other");
  CHECK(replaced.service.asked.size() == 2);
  CHECK(replaced.kept.last().flags.to_string() == "-");

  for (const bool allowed : {false, true}) {
    ProcWorld modes;
    modes.filter.allow_mode_override = allowed;
    modes.service.say = [](const proc::ProcessingRequest& asked) {
      proc::ProcessingResponse said;
      (void)said.ParseFromString(*shout(asked));
      using Mode = envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
      if (asked.has_request_headers()) {
        said.mutable_mode_override()->set_request_body_mode(Mode::BUFFERED);
        said.mutable_mode_override()->set_response_header_mode(Mode::SKIP);
      }
      return said.SerializeAsString();
    };
    CHECK(modes.answer_to(post(), "hello").status == 200);
    CHECK(modes.service.arrived_body == (allowed ? "HELLO!" : "hello"));
    CHECK(modes.service.asked.size() == 2);
  }
}

TEST_CASE("ext_proc: trailers are shown where that was asked for") {
  ProcWorld world;
  world.service.trailers = {{"x-sum", "1"}};
  world.filter.response_trailer = ExtProc::Send::kSend;
  world.filter.response_body = ExtProc::Body::kStreamed;
  world.change(Case::kResponseTrailers, [](proc::ProcessingResponse& answer) {
    set(answer.mutable_response_trailers()->mutable_header_mutation(), "x-sum", "2");
  });
  const Answer answer = world.answer_to();
  CHECK(answer.body == "from the endpoint");
  CHECK(header(answer.trailers, "x-sum") == "2");
  CHECK(world.service.asked.back().has_response_trailers());
}

TEST_CASE("ext_proc: what a route says of it") {
  ProcWorld off;
  off.route.overrides.ext_proc = config::ExtProcOverride{.disabled = true};
  CHECK(off.answer_to().status == 200);
  CHECK(off.service.asked.empty());
}

TEST_CASE("ext_proc: which headers may be changed") {
  using enum extensions::Allowed;
  CHECK(extensions::may_change({}, "x-a", false) == kYes);
  CHECK(extensions::may_change({}, ":path", false) == kYes);
  for (const char* name : {":authority", ":method", ":scheme", "host", "x-envoy-a",
                           "content-length", "transfer-encoding", "x-forwarded-client-cert"}) {
    CHECK(extensions::may_change({}, name, false) == kIgnored);
    CHECK(extensions::may_change({.disallow_is_error = true}, name, false) == kError);
  }
  CHECK(extensions::may_change({}, ":path", true) == kIgnored);
  CHECK(extensions::may_change({.allow_routing = true}, ":method", false) == kYes);
  CHECK(extensions::may_change({.allow_routing = true}, "host", true) == kIgnored);
  CHECK(extensions::may_change({.allow_envoy = true}, "x-envoy-a", false) == kYes);
  CHECK(extensions::may_change({.disallow_system = true}, ":path", false) == kIgnored);
  CHECK(extensions::may_change({.disallow_all = true}, "x-a", false) == kIgnored);
  const config::MutationRules some{.disallow_all = true,
                                   .allow_expression = config::Regex::compile("x-.*").value(),
                                   .disallow_expression = config::Regex::compile("x-b").value()};
  CHECK(extensions::may_change(some, "x-a", false) == kYes);
  CHECK(extensions::may_change(some, "x-b", false) == kIgnored);
  CHECK(extensions::may_change(some, "a", false) == kIgnored);
}

}  // namespace
}  // namespace mesh::waypoint::test
