#include "waypoint/exchange.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mesh/io/timer.h"
#include "waypoint/http/path.h"
#include "waypoint/route/deadlines.h"

namespace mesh::waypoint {
namespace {

constexpr io::Duration kLastWords = std::chrono::seconds(1);

http::PathOptions path_options(const config::HttpChain& chain) {
  using From = config::HttpChain::EscapedSlashes;
  http::PathOptions options;
  options.normalize = chain.normalize_path;
  options.merge_slashes = chain.merge_slashes;
  switch (chain.escaped_slashes) {
    case From::kKeep:
      options.escaped_slashes = http::EscapedSlashes::kKeep;
      break;
    case From::kReject:
      options.escaped_slashes = http::EscapedSlashes::kReject;
      break;
    case From::kUnescapeAndRedirect:
      options.escaped_slashes = http::EscapedSlashes::kUnescapeAndRedirect;
      break;
    case From::kUnescapeAndForward:
      options.escaped_slashes = http::EscapedSlashes::kUnescapeAndForward;
      break;
  }
  return options;
}

// A random UUID of version 4.
std::string new_request_id(http::Dice& dice) {
  constexpr char kHex[] = "0123456789abcdef";
  const std::uint64_t words[2] = {dice.roll(), dice.roll()};
  std::string text;
  for (int i = 0; i < 32; ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) text.push_back('-');
    unsigned nibble = static_cast<unsigned>(words[i / 16] >> (i % 16 * 4)) & 15;
    if (i == 12) nibble = 4;
    if (i == 16) nibble = 8 | (nibble & 3);
    text.push_back(kHex[nibble]);
  }
  return text;
}

// "waypoint.shop" of "spiffe://cluster.local/ns/shop/sa/waypoint".
std::string workload_name(std::string_view principal) {
  const auto id = net::SpiffeId::parse(principal);
  return id ? id->service_account() + "." + id->ns() : std::string();
}

// Backends that make variables of headers read '_' as '-'.
bool is_client_cert(std::string_view name) {
  constexpr std::string_view kName = "x-forwarded-client-cert";
  return std::ranges::equal(name, kName, [](char a, char b) { return (a == '_' ? '-' : a) == b; });
}

}  // namespace

Exchange::Exchange(RingContext& context, const Caller& caller, config::SnapshotPtr snapshot,
                   config::ChainPtr chain, wire::ServerStream& stream)
    : context_(context),
      caller_(caller),
      snapshot_(std::move(snapshot)),
      chain_(std::move(chain)),
      http_(*chain_->http),
      passage_(stream) {}

io::Task<void> Exchange::run() {
  StreamClock clock(context_.ring, co_await io::current_cancel());
  clock_ = &clock;
  request_ = stream_.take_request();
  record_.begun = context_.ring.now();
  record_.wall = context_.ring.wall_now();
  record_.protocol = stream_.version() == wire::Version::kHttp2 ? "HTTP/2" : "HTTP/1.1";
  record_.method = request_.method;
  record_.authority = request_.authority;
  record_.grpc = is_grpc_ = http::is_grpc(request_.headers);
  std::optional<LocalReply> reply = normalise();
  record_.path = request_.path;
  if (!reply) {
    sanitise();
    reply = route();
  }
  start_clock(clock);
  if (!reply) reply = co_await ask_filters().under(clock.scope);
  if (!is_over()) {
    co_await (reply ? answer(*std::move(reply)) : forward()).under(clock.scope);
  }
  if (is_over()) co_await give_up();
  clock_ = nullptr;
  finish();
}

// ---- what is asked, in one spelling ----

std::optional<LocalReply> Exchange::normalise() {
  http::NormalPath normal = http::normalize(request_.path, request_.method, path_options(http_));
  if (normal.fault != http::PathFault::kNone) {
    const int status = normal.fault == http::PathFault::kTooLong ? 414 : 400;
    return LocalReply{.status = status,
                      .flags = Flag::kDPE,
                      .details = "path_normalization_failed{" +
                                 std::string(http::path_fault_name(normal.fault)) + "}"};
  }
  request_.path = std::move(normal.path);
  if (!normal.redirect) return std::nullopt;
  return LocalReply{.status = 307,
                    .details = "path_normalization_redirect",
                    .headers = {{"location", request_.path}}};
}

// Whatever a client says in headers that are ours to write never survives.
void Exchange::sanitise() {
  std::erase_if(request_.headers,
                [](const h2::Header& header) { return is_client_cert(header.name); });
  route::strip_internal_headers(request_.headers);
  if (http_.client_cert == config::HttpChain::ClientCert::kIdentity) {
    http::set_header(request_.headers, "x-forwarded-client-cert",
                     "By=" + caller_.own_principal + ";URI=" + caller_.principal);
  }
  http::set_header(request_.headers, "x-forwarded-proto", request_.scheme);
  const auto id = http::header_text(request_.headers, "x-request-id");
  if (!id.present() || id.text().empty() || id.text().size() > 128) {
    record_.request_id = new_request_id(context_.dice);
    http::set_header(request_.headers, "x-request-id", record_.request_id);
  } else {
    record_.request_id = id.text();
  }
  record_.user_agent = http::header_text(request_.headers, "user-agent").text();
  begin_trace();
}

// ---- what becomes of it ----

std::optional<LocalReply> Exchange::route() {
  if (http_.routes == nullptr) {
    return LocalReply{.status = 503,
                      .flags = Flag::kNFCF,
                      .details = "route_configuration_missing",
                      .body = "routes have not arrived"};
  }
  decision_ = route::decide(*http_.routes, request_, context_.dice,
                            {.peer = caller_.principal, .own = caller_.own_principal});
  if (decision_.route != nullptr) record_.route = decision_.route->name;
  return std::nullopt;  // a refusal for want of a route comes after policy: see forward()
}

rbac::Subject Exchange::subject() const {
  return {.request = &request_,
          .destination = caller_.target,
          .direct_remote = caller_.address,
          .remote = caller_.address.ip,
          .peer_principal = caller_.principal,
          .local_principal = caller_.own_principal,
          .metadata = &metadata_};
}

std::optional<LocalReply> Exchange::ask(const config::RbacFilter& filter) {
  const rbac::Outcome outcome = rbac::decide(filter, subject());
  if (outcome.shadow) note_shadow(filter, *outcome.shadow);
  if (outcome.enforced.allowed()) return std::nullopt;
  record_.policy = outcome.enforced.policy();
  return LocalReply{
      .status = 403, .details = outcome.enforced.detail(), .body = "RBAC: access denied"};
}

std::optional<LocalReply> Exchange::ask_cors() {
  if (http_.routes == nullptr) return std::nullopt;
  const auto* policy = route::override_of(*http_.routes, decision_, &config::FilterOverrides::cors);
  cors_ = route::cors(policy, request_, context_.dice);
  if (cors_.kind != route::Cors::Kind::kPreflight) return std::nullopt;
  return LocalReply{.status = 200, .details = "cors_response", .headers = std::move(cors_.headers)};
}

io::Task<std::optional<LocalReply>> Exchange::ask_filters() {
  using Overrides = config::FilterOverrides;
  for (const config::HttpFilter& filter : http_.filters) {
    if (filter.disabled) continue;
    std::optional<LocalReply> reply;
    if (const auto* rules = std::get_if<config::RbacFilter>(&filter.settings)) {
      reply = ask(setting(*rules, &Overrides::rbac));
    } else if (const auto* tokens = std::get_if<config::JwtFilter>(&filter.settings)) {
      reply = co_await ask(*tokens);
    } else if (std::holds_alternative<config::CorsFilter>(filter.settings)) {
      reply = ask_cors();
    } else if (const auto* limit = std::get_if<config::LocalRateLimit>(&filter.settings)) {
      reply = ask(setting(*limit, &Overrides::local_rate_limit));
    } else if (const auto* fault = std::get_if<config::Fault>(&filter.settings)) {
      reply = co_await ask(setting(*fault, &Overrides::fault));
    } else if (const auto* authorizer = std::get_if<config::ExtAuthz>(&filter.settings)) {
      reply = co_await ask(*authorizer);
    } else if (const auto* counted = std::get_if<config::RateLimitService>(&filter.settings)) {
      reply = co_await ask(*counted);
    } else if (const auto* processor = std::get_if<config::ExtProc>(&filter.settings)) {
      reply = co_await ask(*processor);
    } else {
      reply = refuse_unavailable(filter);
    }
    if (reply) co_return reply;
  }
  co_return std::nullopt;
}

std::optional<LocalReply> Exchange::refuse_unavailable(const config::HttpFilter& filter) const {
  const auto* missing = std::get_if<config::UnavailableFilter>(&filter.settings);
  return LocalReply{.status = 500,
                    .flags = Flag::kNFCF,
                    .details = "filter_unavailable{" + filter.name + "}",
                    .body = "filter " + filter.name + " is not available" +
                            (missing != nullptr ? ": " + missing->problem : "")};
}

// `own`: what the route says of a filter, of those that a service counts for.
std::vector<limits::Descriptor> Exchange::descriptors(std::uint32_t stage,
                                                      const config::RateLimitOverride* own) const {
  limits::DescriptorContext about{
      .request = &request_, .remote = caller_.address.ip, .metadata = &metadata_};
  const std::string own_name = workload_name(caller_.own_principal);
  about.source_cluster = own_name;
  if (decision_.target != nullptr) about.destination_cluster = decision_.target->cluster;
  if (own != nullptr && !own->rules.empty()) return limits::descriptors(own->rules, 0, about);
  std::vector<limits::Descriptor> asked;
  const config::Forward* forward = decision_.forward();
  if (forward != nullptr) asked = limits::descriptors(forward->rate_limits, stage, about);
  using OfHost = config::RateLimitOverride::OfHost;
  OfHost of_host_too = own != nullptr ? own->of_host : OfHost::kOverride;
  if (forward != nullptr && forward->include_virtual_host_rate_limits) {
    of_host_too = OfHost::kInclude;
  }
  const bool none_of_route = forward == nullptr || forward->rate_limits.empty();
  if (decision_.host != nullptr &&
      (of_host_too == OfHost::kInclude || (of_host_too == OfHost::kOverride && none_of_route))) {
    auto of_host = limits::descriptors(decision_.host->rate_limits, stage, about);
    asked.insert(asked.end(), of_host.begin(), of_host.end());
  }
  return asked;
}

std::optional<LocalReply> Exchange::ask(const config::LocalRateLimit& limit) {
  const std::vector<limits::Descriptor> asked = descriptors(limit.stage);
  const bool own = route::override_of(*http_.routes, decision_,
                                      &config::FilterOverrides::local_rate_limit) != nullptr;
  const std::string owner = chain_->name + "|" + limit.stat_prefix + "|" +
                            (own && decision_.route != nullptr ? decision_.route->name : "");
  const auto result =
      context_.limiters.decide(owner, limit, asked, context_.ring.now(), context_.dice);
  if (result != limits::LimitResult::kOver) return std::nullopt;
  LocalReply reply{.status = limit.status,
                   .flags = Flag::kRL,
                   .details = "local_rate_limited",
                   .body = "local_rate_limited",
                   .headers = {{"x-envoy-ratelimited", "true"}},
                   .grpc_resource_exhausted = limit.grpc_resource_exhausted};
  for (const auto& [name, value] : limit.response_headers) reply.headers.push_back({name, value});
  return reply;
}

// Delay, then abort.
io::Task<std::optional<LocalReply>> Exchange::ask(const config::Fault& fault) {
  const limits::FaultDecision decided = limits::decide_fault(
      fault, request_, decision_.target != nullptr ? decision_.target->cluster : std::string(),
      context_.faults_active, context_.dice);
  if (decided.delay) {
    record_.flags.add(Flag::kDI);
    ++context_.faults_active;
    const auto slept = co_await io::sleep_for(context_.ring, *decided.delay);
    --context_.faults_active;
    if (!slept) co_return LocalReply{.status = 499, .flags = Flag::kDC, .details = "cancelled"};
  }
  if (decided.abort_grpc) {
    LocalReply reply{.status = 200, .flags = Flag::kFI, .details = "fault_filter_abort"};
    reply.headers = {{"content-type", "application/grpc"},
                     {"grpc-status", std::to_string(*decided.abort_grpc)},
                     {"grpc-message", "fault filter abort"}};
    co_return reply;
  }
  if (decided.abort_status != 0) {
    co_return LocalReply{.status = decided.abort_status,
                         .flags = Flag::kFI,
                         .details = "fault_filter_abort",
                         .body = "fault filter abort"};
  }
  co_return std::nullopt;
}

std::optional<LocalReply> Exchange::allow_upgrade() {
  if (request_.protocol.empty()) return std::nullopt;
  const auto holds = [&](const std::vector<std::string>& list) {
    return std::ranges::find(list, request_.protocol) != list.end();
  };
  const config::Forward* forward = decision_.forward();
  const bool refused = forward != nullptr && holds(forward->refused_upgrades);
  const bool allowed = holds(http_.upgrades) || (forward != nullptr && holds(forward->upgrades));
  if (allowed && !refused) return std::nullopt;
  return LocalReply{.status = 403, .details = "upgrade_failed"};
}

// ---- time ----

// A route's own times count instead of the chain's; where a route says 0 there is none.
void Exchange::start_clock(StreamClock& clock) {
  const config::Forward* forward = decision_.forward();
  clock.limit_idle(forward != nullptr ? forward->idle_timeout.value_or(http_.stream_idle_timeout)
                                      : http_.stream_idle_timeout);
  clock.limit_stream(forward != nullptr
                         ? forward->max_stream_duration.value_or(http_.max_stream_duration)
                         : http_.max_stream_duration);
  if (!stream_.request_ended()) clock.limit_request(http_.request_timeout);
}

// Whose fault it is that nothing moves: the client's until it has sent all, then the endpoint's.
LocalReply Exchange::over_reply() const {
  LocalReply reply{.status = stream_.request_ended() ? 504 : 408};
  switch (clock_->over()) {
    case StreamClock::Over::kIdle:
      reply.flags = Flag::kSI;
      reply.details = "stream_idle_timeout";
      reply.body = "stream timeout";
      break;
    case StreamClock::Over::kRequest:
      reply.flags = Flag::kDT;
      reply.details = "request_overall_timeout";
      reply.body = "request timeout";
      break;
    default:
      reply.flags = Flag::kDT;
      reply.details = "max_duration_timeout";
      reply.body = "downstream duration timeout";
  }
  return reply;
}

// The time is over. What began cannot be taken back: the client sees that it is not whole.
io::Task<void> Exchange::give_up() {
  LocalReply reply = over_reply();
  clock_ = nullptr;  // our own answer is not given up with the rest
  passage_.stand_aside();
  if (stream_.answered()) {
    record_.flags.add(reply.flags);
    record_.details = std::move(reply.details);
  } else {
    // A client that does not read holds nothing for longer.
    StreamClock last(context_.ring, co_await io::current_cancel());
    last.limit_whole(kLastWords);
    co_await answer(std::move(reply)).under(last.scope);
  }
  if (!stream_.finished()) stream_.reset(h2::ErrorCode::kCancel);
}

// ---- answers of our own ----

io::Task<void> Exchange::answer(LocalReply reply) {
  if (is_over()) co_return;  // see give_up()
  record_.flags.add(reply.flags);
  record_.details = reply.details;
  FormedReply formed = form(reply, is_grpc_);
  record_.status = formed.response.status;
  record_.grpc_status = formed.grpc_status;
  dress_response(formed.response);
  if (stream_.answered()) {
    stream_.reset(h2::ErrorCode::kInternalError);
    co_return;
  }
  const bool empty = formed.body.empty();
  auto done = co_await stream_.respond(std::move(formed.response), empty);
  if (done && !empty) {
    done = co_await stream_.write(std::as_bytes(std::span(formed.body)));
    record_.response_bytes = formed.body.size();
    if (done) done = co_await stream_.finish({});
  }
  if (!done && !passage_.settled()) record_.flags.add(Flag::kDC);
}

void Exchange::dress_response(wire::Response& response) {
  if (http_.routes != nullptr) {
    route::FormatContext context = format_context();
    context.response = &response.headers;
    context.response_code = response.status;
    if (decision_.kind != route::Decision::Kind::kNoRoute) {
      route::rewrite_response(*http_.routes, decision_, context, response.headers);
    }
  }
  if (cors_.kind == route::Cors::Kind::kForward) route::apply_cors(cors_, response.headers);
  if (!set_cookie_.empty()) http::add_header(response.headers, "set-cookie", set_cookie_);
  extensions::apply(response_edits_, response.headers);
  http::set_header(response.headers, "server", http_.server_name);
  if (!http_.access_logs.empty()) record_.response_headers = response.headers;
}

route::FormatContext Exchange::format_context() const {
  return {.request = &request_,
          .peer = caller_.address,
          .local = caller_.target,
          .peer_principal = caller_.principal,
          .local_principal = caller_.own_principal,
          .protocol = record_.protocol,
          .route_name = record_.route,
          .cluster = record_.cluster};
}

void Exchange::finish() {
  if (body_) record_.request_bytes = body_->bytes();
  if (const LocalReply* instead = passage_.replaced()) {
    record_.status = instead->status;
    record_.details = instead->details;
  }
  const io::Duration lasted = context_.ring.now() - record_.begun;
  record_.logs = &http_.access_logs;
  record_.request = &request_;
  record_.metadata = &metadata_;
  end_trace(lasted);
  context_.recorder.record(caller_, record_, lasted);
}

}  // namespace mesh::waypoint
