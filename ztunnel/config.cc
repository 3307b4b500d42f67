#include "ztunnel/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "mesh/grpc/channel.h"

namespace mesh::ztunnel {
namespace {

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// Settings that are text until they are checked.
struct RawConfig {
  std::string workers, unknown = "passthrough", log_format = "plain";
  std::string admin = "127.0.0.1:15000", metrics = "[::]:15020", readiness = "[::]:15021";
  std::string termination = "5s", pool_release = "5m", ready = "5s", secret_ttl = "24h";
  std::string streams = "100", dns_capture = "true", ipv6 = "true";
};

constexpr const char* kXdsInCluster = "https://istiod.istio-system.svc:15012";

bool is_true(std::string_view text) { return text == "true" || text == "1"; }

// Istio's names first.
constexpr Variable<Config> kVariables[] = {
    {"NODE_NAME", nullptr, &Config::node_name},
    {"CLUSTER_ID", "ISTIO_META_CLUSTER_ID", &Config::cluster_id},
    {"CLUSTER_DOMAIN", nullptr, &Config::cluster_domain},
    {"TRUST_DOMAIN", nullptr, &Config::trust_domain},
    {"NETWORK", nullptr, &Config::network},
    {"INSTANCE_IP", nullptr, &Config::instance_ip},
    {"POD_NAME", nullptr, &Config::pod_name},
    {"POD_NAMESPACE", nullptr, &Config::pod_namespace},
    {"PREFERED_SERVICE_NAMESPACE", nullptr, &Config::preferred_namespace},
    {"XDS_ADDRESS", nullptr, &Config::xds_address},
    {"CA_ADDRESS", nullptr, &Config::ca_address},
    {"ALT_XDS_HOSTNAME", nullptr, &Config::xds_hostname},
    {"ALT_CA_HOSTNAME", nullptr, &Config::ca_hostname},
    {"XDS_ROOT_CA", "CA_ROOT_CA", &Config::root_cert},
    {"CA_ROOT_CA", nullptr, &Config::ca_root_cert},
    {"AUTH_TOKEN", nullptr, &Config::token},
    {"INPOD_UDS", nullptr, &Config::zds_socket},
    {"WEFT_AGENT_SOCKET", nullptr, &Config::agent_socket},
    {"RESOLV_CONF", nullptr, &Config::resolv_conf},
    {"WEFT_LOG", "RUST_LOG", &Config::log_level},
    {"WEFT_TUNNEL_CONGESTION_CONTROL", nullptr, &Config::tunnel_congestion_control},
};
constexpr Variable<RawConfig> kRawVariables[] = {
    {"LOG_FORMAT", nullptr, &RawConfig::log_format},
    {"ISTIO_META_DNS_CAPTURE", nullptr, &RawConfig::dns_capture},
    {"IPV6_ENABLED", nullptr, &RawConfig::ipv6},
    {"ZTUNNEL_WORKER_THREADS", nullptr, &RawConfig::workers},
    {"CONNECTION_TERMINATION_DEADLINE", nullptr, &RawConfig::termination},
    {"POOL_UNUSED_RELEASE_TIMEOUT", nullptr, &RawConfig::pool_release},
    {"POOL_MAX_STREAMS_PER_CONNECTION", nullptr, &RawConfig::streams},
    {"SECRET_TTL", nullptr, &RawConfig::secret_ttl},
    {"WEFT_UNKNOWN_DESTINATIONS", nullptr, &RawConfig::unknown},
};

std::string bad(std::string_view what, std::string_view value) {
  return std::string(what) + ": cannot read '" + std::string(value) + "'";
}

// Empty, or what is wrong.
std::string check(Config& config, const RawConfig& raw, unsigned cpus) {
  const auto address = [&](const std::string& text, net::SocketAddress& into) {
    const auto parsed = net::SocketAddress::parse(text);
    if (parsed) into = *parsed;
    return parsed.has_value();
  };
  const auto duration = [&](const std::string& text, std::chrono::nanoseconds& into) {
    const auto parsed = parse_duration(text);
    if (parsed) into = *parsed;
    return parsed.has_value();
  };
  std::chrono::nanoseconds ttl{};
  if (!address(raw.admin, config.admin)) return bad("--admin", raw.admin);
  if (!config.admin.ip.is_loopback()) return "--admin must be a loopback address";
  if (!address(raw.metrics, config.metrics)) return bad("--metrics", raw.metrics);
  if (!address(raw.readiness, config.readiness)) return bad("--readiness", raw.readiness);
  if (!duration(raw.termination, config.termination_deadline))
    return bad("--termination-deadline", raw.termination);
  if (!duration(raw.pool_release, config.pool_idle_release))
    return bad("POOL_UNUSED_RELEASE_TIMEOUT", raw.pool_release);
  if (!duration(raw.ready, config.ready_deadline)) return bad("--ready-deadline", raw.ready);
  if (!duration(raw.secret_ttl, ttl)) return bad("SECRET_TTL", raw.secret_ttl);
  config.secret_ttl = std::chrono::duration_cast<std::chrono::seconds>(ttl);
  const auto workers = raw.workers.empty() ? std::optional(std::max(1u, cpus / 4))
                                           : parse_workers(raw.workers, cpus);
  if (!workers) return bad("--workers", raw.workers);
  config.workers = *workers;
  const auto streams = parse_number(raw.streams);
  if (!streams || *streams == 0 || *streams > 1000)
    return bad("POOL_MAX_STREAMS_PER_CONNECTION", raw.streams);
  config.streams_per_tunnel = static_cast<unsigned>(*streams);
  if (raw.unknown != "passthrough" && raw.unknown != "refuse")
    return bad("--unknown-destinations", raw.unknown);
  config.unknown_destinations =
      raw.unknown == "refuse" ? UnknownDestinations::kRefuse : UnknownDestinations::kPassthrough;
  if (raw.log_format != "json" && raw.log_format != "text" && raw.log_format != "plain")
    return bad("--log-format", raw.log_format);
  config.log_json = raw.log_format == "json";
  config.dns_proxy = is_true(raw.dns_capture);
  config.ipv6 = is_true(raw.ipv6);
  if (config.xds_address.empty()) return "--xds-address is needed";
  if (config.ca_address.empty()) config.ca_address = config.xds_address;
  if (config.ca_root_cert.empty()) config.ca_root_cert = config.root_cert;
  return {};
}

// Field names know no capitals, so variables may have them. Empty, or what is wrong.
std::string read_headers(std::string_view prefix, const char* const* variables,
                         std::map<std::string, std::string>& into) {
  for (const auto& [name, value] : variables_with(prefix, variables)) {
    std::string lower = name;
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const std::string variable = std::string(prefix) + name;
    if (!grpc::is_own_metadata(lower, value)) return variable + ": not a header of one's own";
    if (!into.emplace(lower, value).second) return variable + ": said twice";
  }
  return {};
}

}  // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  std::chrono::nanoseconds total{0};
  if (text == "0") return total;
  while (!text.empty()) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_number(text.substr(0, digits));
    if (!number || digits > 9) return std::nullopt;
    text.remove_prefix(digits);
    const std::size_t unit_size = std::min(text.find_first_of("0123456789"), text.size());
    const std::string_view unit = text.substr(0, unit_size);
    text.remove_prefix(unit_size);
    const auto count = static_cast<std::int64_t>(*number);
    if (unit == "ms") {
      total += std::chrono::milliseconds(count);
    } else if (unit == "s") {
      total += std::chrono::seconds(count);
    } else if (unit == "m" && count < 1'000'000) {
      total += std::chrono::minutes(count);
    } else if (unit == "h" && count < 100'000) {
      total += std::chrono::hours(count);
    } else {
      return std::nullopt;
    }
  }
  return total.count() > 0 ? std::optional(total) : std::nullopt;
}

std::optional<unsigned> parse_workers(std::string_view text, unsigned cpus) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  const auto number = parse_number(text);
  if (!number || *number > 1024) return std::nullopt;
  if (percent) {
    return std::max(1u, static_cast<unsigned>((*number * cpus + 99) / 100));
  }
  return *number == 0 ? std::max(1u, cpus) : static_cast<unsigned>(*number);
}

ParsedConfig parse_config(std::vector<std::string> arguments, const Environment& environment,
                          unsigned cpus, const char* const* variables) {
  Config config;
  RawConfig raw;
  if (environment("KUBERNETES_SERVICE_HOST") != nullptr) config.xds_address = kXdsInCluster;
  read_environment(config, kVariables, environment);
  read_environment(raw, kRawVariables, environment);
  CLI::App app("The node proxy of the mesh: one per node, for all its pods.", "weft-ztunnel");
  app.set_version_flag("--version", "weft-ztunnel " WEFT_VERSION);
  app.add_option("--node", config.node_name, "name of this node");
  app.add_option("--xds-address", config.xds_address, "control plane, https://HOST:PORT");
  app.add_option("--ca-address", config.ca_address, "certificate authority (default: control)");
  app.add_option("--root-cert", config.root_cert,
                 "PEM file to verify the control plane with, or SYSTEM");
  app.add_option("--token", config.token, "file with this node's bearer token");
  app.add_option("--zds-socket", config.zds_socket, "the node agent's socket");
  app.add_option("--agent-socket", config.agent_socket,
                 "the node agent's own socket: ends older connections that policies refuse");
  app.add_option("--resolv-conf", config.resolv_conf, "whom to forward DNS questions to");
  app.add_option("--workers", raw.workers, "threads: N, N% of the CPUs, 0 for all");
  app.add_option("--admin", raw.admin, "admin pages; loopback only");
  app.add_option("--metrics", raw.metrics, "metrics page");
  app.add_option("--readiness", raw.readiness, "readiness page");
  app.add_option("--log-level", config.log_level, "info, or info,access=debug, …");
  app.add_option("--log-format", raw.log_format, "text or json");
  app.add_option("--unknown-destinations", raw.unknown, "passthrough or refuse");
  app.add_option("--tunnel-congestion-control", config.tunnel_congestion_control,
                 "auto (not BBR on short paths), system, or the name of one");
  app.add_option("--termination-deadline", raw.termination, "how long a drain may take");
  app.add_option("--ready-deadline", raw.ready, "how long a connection is held before refusal");
  app.add_option("--trust-domain", config.trust_domain, "of this mesh");
  app.add_option("--cluster-id", config.cluster_id, "of this cluster");
  app.add_option("--network", config.network, "of this node");
  try {
    std::ranges::reverse(arguments);
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& problem) {
    std::ostringstream out, errors;
    const int status = app.exit(problem, out, errors);
    return {.config = {}, .status = status == 0 ? 0 : 1, .text = out.str() + errors.str()};
  }
  config.node_metadata = variables_with("ISTIO_META_", variables);
  std::string problem = read_headers("XDS_HEADER_", variables, config.xds_headers);
  if (problem.empty()) problem = read_headers("CA_HEADER_", variables, config.ca_headers);
  if (problem.empty()) problem = check(config, raw, cpus);
  if (!problem.empty()) {
    return {.config = {}, .status = 1, .text = "weft-ztunnel: " + problem + "\n"};
  }
  return {.config = std::move(config), .status = 0, .text = {}};
}

}  // namespace mesh::ztunnel
