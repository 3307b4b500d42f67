#include "control/envoy/health_checks.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "control/envoy/destination_rules.h"
#include "envoy/cluster.pb.h"
#include "envoy/endpoint.pb.h"

namespace mesh::control {
namespace {

using std::chrono::milliseconds;
using Cluster = envoy::config::cluster::v3::Cluster;
using Check = envoy::config::core::v3::HealthCheck;

constexpr std::size_t kTextMax = 2048;
constexpr std::uint32_t kCountMax = 100;
constexpr const char* kSettings[] = {"every", "timeout", "healthy", "unhealthy", "port", "host"};

class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) { skip(); }
  // Empty: there is none left.
  std::string_view peek() const { return rest_.substr(0, rest_.find_first_of(kSpace)); }
  std::string_view next() {
    const std::string_view word = peek();
    rest_.remove_prefix(word.size());
    skip();
    return word;
  }

 private:
  static constexpr std::string_view kSpace = " \t\r\n";
  void skip() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpace), rest_.size())); }
  std::string_view rest_;
};

bool is_setting(std::string_view word) {
  return std::ranges::find(kSettings, word) != std::end(kSettings);
}

bool read_number(std::string_view text, std::uint32_t max, std::uint32_t& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size() && into > 0 && into <= max;
}

bool read_time(std::string_view text, milliseconds least, milliseconds most, milliseconds& into) {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit = text.substr(digits);
  const std::uint32_t scale = unit == "ms" ? 1 : unit == "s" ? 1000 : unit == "m" ? 60'000 : 0;
  std::uint32_t number = 0;
  if (scale == 0 || !read_number(text.substr(0, digits), 3'600'000, number)) return false;
  into = milliseconds(std::uint64_t(number) * scale);
  return into >= least && into <= most;
}

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

// A host or a service of gRPC: nothing that would end a header, or begin another part of one.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':' || c == '/';
  });
}

// What is wrong; null: nothing.
const char* read_setting(std::string_view name, std::string_view value, HealthAsk& into) {
  using std::chrono::seconds;
  if (name == "every") {
    const bool right = read_time(value, milliseconds(100), seconds(3600), into.every);
    return right ? nullptr : "`every` is a number of ms, s or m, from 100ms to 60m";
  }
  if (name == "timeout") {
    const bool right = read_time(value, milliseconds(10), seconds(60), into.timeout);
    return right ? nullptr : "`timeout` is a number of ms, s or m, from 10ms to 1m";
  }
  if (name == "port") {
    std::uint32_t port = 0;
    if (!read_number(value, 65'535, port)) return "`port` is a number from 1 to 65535";
    into.port = static_cast<std::uint16_t>(port);
    return nullptr;
  }
  if (name == "host") {
    into.host = value;
    return is_name(value) && !value.contains('/') ? nullptr : "`host` is a name";
  }
  std::uint32_t& count = name == "healthy" ? into.healthy : into.unhealthy;
  return read_number(value, kCountMax, count) ? nullptr
                                              : "`healthy` and `unhealthy` are from 1 to 100";
}

// The first words: what is asked. What is wrong; null: nothing.
const char* read_kind(Words& words, HealthAsk& into) {
  const std::string_view kind = words.next();
  if (kind == "http") {
    into.kind = HealthAsk::Kind::kHttp;
    into.path = words.next();
    return into.path.starts_with('/') && is_visible(into.path) ? nullptr
                                                               : "`http` needs a path, as /healthz";
  }
  if (kind == "grpc") {
    into.kind = HealthAsk::Kind::kGrpc;
    if (words.peek().empty() || is_setting(words.peek())) return nullptr;
    into.service = words.next();
    return is_name(into.service) ? nullptr : "no name of a gRPC service";
  }
  if (kind == "tcp") {
    into.kind = HealthAsk::Kind::kTcp;
    return nullptr;
  }
  if (kind != "none") return "it begins with http PATH, grpc, tcp or none";
  return words.peek().empty() ? nullptr : "nothing comes after none";
}

void fill_range(std::int64_t from, std::int64_t to, envoy::type::v3::Int64Range* into) {
  into->set_start(from);
  into->set_end(to);
}

void fill_http(const HealthAsk& ask, const std::string& host, bool http2,
               Check::HttpHealthCheck* to) {
  to->set_host(host);
  to->set_path(ask.path);
  fill_range(200, 400, to->add_expected_statuses());
  // Others would be believed at once, whatever `unhealthy` says.
  fill_range(400, 600, to->add_retriable_statuses());
  if (http2) to->set_codec_client_type(envoy::type::v3::HTTP2);
}

// The port that is called speaks HTTP/2 alone, as far as the waypoint knows.
bool speaks_http2(const ClusterUse& use) {
  const auto pool = traffic_policy(use.rule, use.subset, use.port.number).pool;
  return use.port.protocol == PortProtocol::kHttp2 || (pool && pool->h2_upgrade == "UPGRADE");
}

// What is to be asked; none: nothing, or `problem` says why not.
std::optional<HealthAsk> asked_of(const ClusterUse& use, std::string& problem) {
  const std::string_view text = annotation_of(use, kHealthAnnotation);
  if (text.empty() || calls_waypoint(use)) return {};
  auto ask = parse_health_check(text);
  if (!ask) {
    problem = std::string(kHealthAnnotation) + ": " + ask.error() + ": nobody is checked";
    return {};
  }
  if (ask->kind == HealthAsk::Kind::kNone) return {};
  return *std::move(ask);
}

std::optional<HealthAsk> asked_of(const ClusterUse& use) {
  std::string problem;
  return asked_of(use, problem);
}

}  // namespace

std::expected<HealthAsk, std::string> parse_health_check(std::string_view text) {
  if (text.size() > kTextMax) return std::unexpected("longer than 2 KiB");
  Words words(text);
  HealthAsk ask;
  if (const char* wrong = read_kind(words, ask)) return std::unexpected(wrong);
  bool seen[std::size(kSettings)] = {};
  while (!words.peek().empty()) {
    const std::string name(words.next());
    const auto at = std::ranges::find(kSettings, name) - std::begin(kSettings);
    if (!is_setting(name)) return std::unexpected("\"" + name + "\" means nothing here");
    if (std::exchange(seen[at], true)) return std::unexpected("`" + name + "` twice");
    if (name == "host" && ask.kind == HealthAsk::Kind::kTcp) {
      return std::unexpected("`host` is for http and grpc");
    }
    if (const char* wrong = read_setting(name, words.next(), ask)) return std::unexpected(wrong);
  }
  return ask;
}

std::string fill_health_check(const WaypointClient& client, const ClusterUse& use, Cluster& to) {
  std::string problem;
  const auto ask = asked_of(use, problem);
  if (!ask) return problem;
  const std::string name(kHealthAnnotation);
  if (to.type() == Cluster::STATIC) return {};  // refused, and noted: nobody is behind it
  if (to.type() == Cluster::ORIGINAL_DST) {
    return name + " is not honoured: who is asked is whom the client dialled";
  }
  Check* check = to.add_health_checks();
  set_duration(check->mutable_timeout(), ask->timeout);
  set_duration(check->mutable_interval(), ask->every);
  set_duration(check->mutable_no_traffic_interval(), ask->every);
  check->mutable_healthy_threshold()->set_value(ask->healthy);
  check->mutable_unhealthy_threshold()->set_value(ask->unhealthy);
  const std::string host = ask->host.empty() ? use.service->host : ask->host;
  if (ask->kind == HealthAsk::Kind::kHttp) {
    fill_http(*ask, host, ask->port == 0 && speaks_http2(use), check->mutable_http_health_check());
  } else if (ask->kind == HealthAsk::Kind::kGrpc) {
    check->mutable_grpc_health_check()->set_service_name(ask->service);
    check->mutable_grpc_health_check()->set_authority(host);
  } else {
    check->mutable_tcp_health_check();
  }
  if (client.checks_through_tunnels || to.type() != Cluster::EDS) return {};
  return name + ": this Envoy checks nobody through a tunnel, only endpoints outside the mesh";
}

EndpointChecks::EndpointChecks(const WaypointClient& client, const ClusterUse& use)
    : tunnels_too_(client.checks_through_tunnels), ask_(asked_of(use)) {}

void EndpointChecks::fill(bool tunnelled, envoy::config::endpoint::v3::Endpoint* into) const {
  if (!ask_) return;
  if (tunnelled && !tunnels_too_) {
    into->mutable_health_check_config()->set_disable_active_health_check(true);
  } else if (ask_->port != 0) {
    into->mutable_health_check_config()->set_port_value(ask_->port);
  }
}

}  // namespace mesh::control
