#include "waypoint/health/checks.h"

#include <algorithm>
#include <utility>

#include "mesh/io/timer.h"
#include "waypoint/callout.h"
#include "waypoint/health/message.h"
#include "waypoint/named_hosts.h"

namespace mesh::waypoint {
namespace {

using balance::CheckResult;
using config::HealthCheck;

constexpr const char* kDuring = "health check";
constexpr std::size_t kTcpAnswerMax = 64 * 1024;
constexpr io::Duration kPartWithin = std::chrono::seconds(1);

// What says something about us, and nothing about the host.
bool is_ours(Reason reason) {
  return reason == Reason::kCancelled || reason == Reason::kExhausted ||
         reason == Reason::kNoIdentity || reason == Reason::kDraining;
}

// The cluster as checks go to it: nothing shared with requests, no breakers.
std::shared_ptr<const config::Cluster> as_checked(const config::Cluster& cluster) {
  auto made = std::make_shared<config::Cluster>(cluster);
  const HealthCheck& check = *cluster.health_check;
  made->name = "health|" + cluster.name;
  made->inline_endpoints = nullptr;
  made->outlier.reset();
  made->http.version = check.http2 ? config::Http::Version::kHttp2 : config::Http::Version::kHttp1;
  made->http.max_requests_per_connection = check.reuse_connection ? 0 : 1;
  made->http.idle_timeout = std::max<HealthCheck::Ms>(2 * check.interval, std::chrono::seconds(30));
  made->connect_timeout = std::min(cluster.connect_timeout, check.timeout);
  return made;
}

config::CircuitBreaker unlimited() {
  constexpr std::uint32_t kAny = config::CircuitBreaker::kUnlimited;
  return {.max_connections = kAny, .max_pending = kAny, .max_requests = kAny};
}

config::Endpoint where(const config::Endpoint& endpoint) {
  config::Endpoint to = endpoint;
  if (endpoint.check_port != 0) to.address.port = endpoint.check_port;
  return to;
}

}  // namespace

struct HealthChecks::Checked {
  config::ClusterPtr cluster;  // as configured
  std::shared_ptr<const config::Cluster> as_checked;
  config::EndpointsPtr endpoints;
  std::shared_ptr<ClusterHealth> health;
  std::map<std::string, HostPtr, std::less<>> hosts;
  bool wanted = false;
};

struct HealthChecks::Host {
  Host(io::CancelScope* outer, std::string named) : key(std::move(named)), scope(outer) {}
  std::string key;
  config::Endpoint endpoint;  // where it is checked
  std::shared_ptr<const config::Cluster> cluster;
  std::shared_ptr<ClusterHealth> health;
  balance::HostHealth state;
  io::CancelScope scope;

  const HealthCheck& how() const { return *cluster->health_check; }
  std::string authority() const {
    if (!endpoint.check_host.empty()) return endpoint.check_host;
    // The name that it is asked by, without our mark.
    return how().host.empty() ? cluster->name.substr(cluster->name.find('|') + 1) : how().host;
  }
};

HealthChecks::HealthChecks(RingContext& context, HealthBoard& board)
    : context_(context), board_(board) {}
HealthChecks::~HealthChecks() = default;

// ---- who is checked ----

void HealthChecks::prepare(const config::Snapshot& snapshot) {
  for (auto& [name, checked] : clusters_) checked->wanted = false;
  counts_.hosts = counts_.unchecked = 0;
  for (const auto& [name, cluster] : *snapshot.clusters) {
    if (!cluster->health_check) continue;
    if (const auto endpoints = endpoints_in(snapshot, *cluster, context_.names))
      prepare(cluster, endpoints);
  }
  std::erase_if(clusters_, [](const auto& item) {
    if (item.second->wanted) return false;
    for (const auto& [key, host] : item.second->hosts) host->scope.request();
    return true;
  });
}

void HealthChecks::prepare(const config::ClusterPtr& cluster,
                           const config::EndpointsPtr& endpoints) {
  auto& checked = clusters_[cluster->name];
  const bool fresh = checked == nullptr;
  if (fresh) {
    checked = std::make_unique<Checked>();
    checked->health = board_.of(cluster->name);
  }
  checked->wanted = true;
  if (checked->cluster != cluster) {
    checked->cluster = cluster;
    checked->as_checked = as_checked(*cluster);
    for (const auto& [key, host] : checked->hosts) host->cluster = checked->as_checked;
  }
  if (checked->endpoints == endpoints) {
    counts_.hosts += checked->hosts.size();
    return;
  }
  checked->endpoints = endpoints;
  auto before = std::exchange(checked->hosts, {});
  for (const config::Endpoint& endpoint : endpoints->all) {
    if (endpoint.unchecked) continue;
    std::string key = endpoint.key();
    if (const auto found = before.find(key); found != before.end()) {
      found->second->endpoint = where(endpoint);
      checked->hosts.insert(before.extract(found));
      continue;
    }
    if (checked->hosts.contains(key)) continue;
    if (counts_.hosts + checked->hosts.size() >= kHostsMax || watching_.cancelled()) {
      ++counts_.unchecked;
      continue;
    }
    // Nobody is known to be well yet: they all count as such, or there would be nobody at all.
    checked->health->expect(key, fresh);
    auto host = std::make_shared<Host>(nullptr, key);
    host->endpoint = where(endpoint);
    host->cluster = checked->as_checked;
    host->health = checked->health;
    checked->hosts.emplace(std::move(key), host);
    watching_.spawn(watch(std::move(host)));
  }
  for (const auto& [key, host] : before) {
    host->scope.request();
    checked->health->forget(key);
  }
  counts_.hosts += checked->hosts.size();
}

io::Task<void> HealthChecks::close() {
  for (const auto& [name, checked] : clusters_) {
    for (const auto& [key, host] : checked->hosts) host->scope.request();
  }
  watching_.cancel();
  co_await watching_.join();
  clusters_.clear();
}

// ---- one of them ----

io::Task<void> HealthChecks::watch(HostPtr host) { co_await watch_now(host).under(host->scope); }

io::Task<void> HealthChecks::watch_now(HostPtr host) {
  HealthCheck::Ms wait = balance::HostHealth::first_wait(host->how(), context_.dice);
  for (;;) {
    if (wait > HealthCheck::Ms::zero()) {
      const auto slept = co_await io::sleep_for(context_.ring, wait);
      if (!slept) co_return;
    }
    // What began by one configuration ends by it.
    const auto cluster = host->cluster;
    auto result = co_await io::with_deadline(context_.ring, cluster->health_check->timeout, kDuring,
                                             check(*host));
    if (!result && result.error().reason == Reason::kCancelled) co_return;
    const bool tells = result || !is_ours(result.error().reason);
    if (tells) {
      const CheckResult said = result.value_or(CheckResult::kNoAnswer);
      const bool passed = said == CheckResult::kPass || said == CheckResult::kDegraded;
      ++(passed ? counts_.passed : counts_.failed);
      const bool changed = host->state.record(said, host->how());
      host->health->record(host->key, host->state.failed(), host->state.degraded(), changed,
                           passed);
    }
    wait = host->state.wait(host->how(), host->health->used(), context_.dice);
  }
}

io::Task<Result<CheckResult>> HealthChecks::check(const Host& host) {
  switch (host.how().kind) {
    case HealthCheck::Kind::kHttp:
      return check_http(host);
    case HealthCheck::Kind::kGrpc:
      return check_grpc(host);
    case HealthCheck::Kind::kTcp:
      break;
  }
  return check_tcp(host);
}

io::Task<Result<CheckResult>> HealthChecks::check_http(const Host& host) {
  const auto cluster = host.cluster;
  const HealthCheck& how = *cluster->health_check;
  balance::Breaker breaker{unlimited()};
  const config::Endpoint endpoint = host.endpoint;
  const Aim aim{.cluster = *cluster, .endpoint = endpoint, .breaker = breaker};
  HttpCall call{.cluster = cluster->name, .aim = &aim};
  call.request = {.method = how.method,
                  .authority = host.authority(),
                  .path = how.path,
                  .headers = {{"user-agent", "Envoy/HC"}}};
  for (const auto& [name, value] : how.headers) {
    http::add_header(call.request.headers, name, value);
  }
  for (const std::string& name : how.removed_headers) {
    http::remove_header(call.request.headers, name);
  }
  call.timeout = how.timeout;
  call.response_max = kAnswerMax;
  CO_TRY(const HttpAnswer answer, co_await call_http(context_, context_.snapshot, std::move(call)));
  if (h2::find_header(answer.headers, "x-envoy-immediate-health-check-fail")) {
    co_return CheckResult::kWrongAnswer;
  }
  const bool degraded = h2::find_header(answer.headers, "x-envoy-degraded").has_value();
  co_return balance::result_of_check(answer.status, degraded, how);
}

io::Task<Result<CheckResult>> HealthChecks::check_grpc(const Host& host) {
  const auto cluster = host.cluster;
  const HealthCheck& how = *cluster->health_check;
  balance::Breaker breaker{unlimited()};
  const config::Endpoint endpoint = host.endpoint;
  const Aim aim{.cluster = *cluster, .endpoint = endpoint, .breaker = breaker};
  GrpcCall call{.cluster = cluster->name,
                .aim = &aim,
                .authority = host.authority(),
                .path = "/grpc.health.v1.Health/Check",
                .metadata = {{"user-agent", "Envoy/HC"}},
                .timeout = how.timeout,
                .message_max = health::kAnswerMax};
  for (const auto& [name, value] : how.headers) call.metadata.push_back({name, value});
  CO_TRY(const GrpcAnswer answer, co_await call_grpc(context_, context_.snapshot, std::move(call),
                                                     health::encode_check(how.grpc_service)));
  if (!answer.status.ok()) co_return CheckResult::kWrongAnswer;
  const auto serving = health::decode_check_answer(answer.message);
  co_return serving == health::Serving::kServing ? CheckResult::kPass : CheckResult::kWrongAnswer;
}

// Something listens there, and says what it should.
io::Task<Result<CheckResult>> HealthChecks::check_tcp(const Host& host) {
  const auto cluster = host.cluster;
  const HealthCheck& how = *cluster->health_check;
  const config::Endpoint endpoint = host.endpoint;
  CO_TRY(auto wire, co_await context_.upstreams.dial(*cluster, endpoint));
  if (!how.send.empty()) {
    CO_TRY_DO(co_await wire->send_all(std::as_bytes(std::span(how.send))));
  }
  std::string heard;
  std::size_t at = 0;
  for (const std::string& part : how.receive) {
    for (std::size_t found = heard.find(part, at);; found = heard.find(part, at)) {
      if (found != std::string::npos) {
        at = found + part.size();
        break;
      }
      if (heard.size() > kTcpAnswerMax) co_return failed(Reason::kTooLarge, kDuring);
      CO_TRY(const tls::Slice more, co_await wire->recv());
      if (more.empty()) co_return failed(Reason::kPeerClosed, kDuring);
      heard.append(reinterpret_cast<const char*>(more.bytes().data()), more.size());
    }
  }
  watching_.spawn(part_from(std::move(wire)));
  co_return CheckResult::kPass;
}

// A reset would be an error in the logs of those who carry it.
io::Task<void> HealthChecks::part_from(std::unique_ptr<wire::Wire> wire) {
  (void)wire->finish_sending();
  (void)co_await io::with_deadline(context_.ring, kPartWithin, kDuring,
                                   wire::linger(*wire, kTcpAnswerMax));
}

}  // namespace mesh::waypoint
