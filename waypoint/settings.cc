#include "waypoint/settings.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <sstream>

namespace mesh::waypoint {
namespace {

// Settings that are text until they are checked.
struct Raw {
  std::string workers, log_format = "plain", termination = "5", delay = "1";
  std::string hbone = "[::]:15008";
  std::string admin = "127.0.0.1:15000", metrics = "[::]:15020", readiness = "[::]:15021";
};

constexpr Variable<Settings> kVariables[] = {
    {"POD_NAME", nullptr, &Settings::pod_name},
    {"POD_NAMESPACE", nullptr, &Settings::pod_namespace},
    {"SERVICE_ACCOUNT", nullptr, &Settings::service_account},
    {"GATEWAY_NAME", nullptr, &Settings::gateway},
    {"INSTANCE_IP", nullptr, &Settings::instance_ip},
    {"NODE_NAME", nullptr, &Settings::node_name},
    {"CLUSTER_ID", "ISTIO_META_CLUSTER_ID", &Settings::cluster_id},
    {"CLUSTER_DOMAIN", nullptr, &Settings::cluster_domain},
    {"TRUST_DOMAIN", nullptr, &Settings::trust_domain},
    {"XDS_ADDRESS", nullptr, &Settings::xds_address},
    {"CA_ADDRESS", "CA_ADDR", &Settings::ca_address},
    {"ALT_XDS_HOSTNAME", nullptr, &Settings::xds_hostname},
    {"ALT_CA_HOSTNAME", nullptr, &Settings::ca_hostname},
    {"ISTIO_DELTA_XDS", nullptr, &Settings::delta_xds},
    {"XDS_ROOT_CA", "CA_ROOT_CA", &Settings::root_cert},
    {"AUTH_TOKEN", nullptr, &Settings::token},
    {"WEFT_LOG", nullptr, &Settings::log_level},
    {"ACCESS_LOG", nullptr, &Settings::access_log},
};
constexpr Variable<Raw> kRawVariables[] = {
    {"LOG_FORMAT", nullptr, &Raw::log_format},
    {"WAYPOINT_WORKER_THREADS", nullptr, &Raw::workers},
    {"CONNECTION_TERMINATION_DEADLINE", nullptr, &Raw::termination},
    {"DRAIN_DELAY", nullptr, &Raw::delay},
};

std::optional<unsigned> number_in(std::string_view text, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > most) return {};
  return value;
}

std::string bad(std::string_view what, std::string_view value) {
  return std::string(what) + ": cannot read '" + std::string(value) + "'";
}

// Empty, or what is wrong.
std::string check(Settings& settings, Raw& raw, unsigned cpus) {
  const struct {
    const char* name;
    const std::string& text;
    net::SocketAddress& into;
  } addresses[] = {{"--hbone", raw.hbone, settings.hbone},
                   {"--admin", raw.admin, settings.admin},
                   {"--metrics", raw.metrics, settings.metrics},
                   {"--readiness", raw.readiness, settings.readiness}};
  for (const auto& address : addresses) {
    const auto parsed = net::SocketAddress::parse(address.text);
    if (!parsed) return bad(address.name, address.text);
    address.into = *parsed;
  }
  if (!settings.admin.ip.is_loopback()) return "--admin must be a loopback address";
  const struct {
    const char* name;
    std::string& text;
    std::chrono::nanoseconds& into;
  } times[] = {{"--termination-deadline", raw.termination, settings.termination_deadline},
               {"--drain-delay", raw.delay, settings.drain_delay}};
  for (const auto& time : times) {
    if (time.text.ends_with('s')) time.text.pop_back();
    const auto seconds = number_in(time.text, 86400);
    if (!seconds) return bad(time.name, time.text);
    time.into = std::chrono::seconds(*seconds);
  }
  const auto workers = raw.workers.empty() ? std::optional(1u) : number_in(raw.workers, 1024);
  if (!workers) return bad("--workers", raw.workers);
  settings.workers = *workers == 0 ? std::max(1u, cpus) : *workers;
  settings.log_json = raw.log_format == "json";
  if (settings.xds_address.empty()) return "--xds-address is needed";
  if (settings.pod_namespace.empty()) return "--namespace is needed";
  if (settings.service_account.empty()) return "--service-account is needed";
  if (!net::IpAddress::parse(settings.instance_ip)) return bad("--ip", settings.instance_ip);
  if (settings.delta_xds != "true" && settings.delta_xds != "false") {
    return bad("--delta-xds", settings.delta_xds);
  }
  if (settings.ca_address.empty()) settings.ca_address = settings.xds_address;
  return {};
}

}  // namespace

std::string Settings::identity() const {
  return "spiffe://" + trust_domain + "/ns/" + pod_namespace + "/sa/" + service_account;
}

ParsedSettings parse_settings(std::vector<std::string> arguments, const Environment& environment,
                              unsigned cpus) {
  Settings settings;
  Raw raw;
  read_environment(settings, kVariables, environment);
  read_environment(raw, kRawVariables, environment);
  CLI::App app("The L7 proxy of a namespace or service.", "weft-waypoint");
  app.set_version_flag("--version", "weft-waypoint " WEFT_VERSION);
  app.add_option("--pod", settings.pod_name, "name of this pod");
  app.add_option("--namespace", settings.pod_namespace, "namespace of this pod");
  app.add_option("--service-account", settings.service_account, "service account of this pod");
  app.add_option("--gateway", settings.gateway, "the Gateway it serves");
  app.add_option("--ip", settings.instance_ip, "address of this pod");
  app.add_option("--node", settings.node_name, "name of its node");
  app.add_option("--xds-address", settings.xds_address, "control plane, https://HOST:PORT");
  app.add_option("--delta-xds", settings.delta_xds, "false: state-of-the-world discovery");
  app.add_option("--ca-address", settings.ca_address, "certificate authority (default: control)");
  app.add_option("--root-cert", settings.root_cert, "PEM file to verify the control plane with");
  app.add_option("--token", settings.token, "file with this pod's bearer token");
  app.add_option("--workers", raw.workers, "threads: N, 0 for one per CPU");
  app.add_option("--hbone", raw.hbone, "where tunnels arrive");
  app.add_option("--admin", raw.admin, "admin pages; loopback only");
  app.add_option("--metrics", raw.metrics, "metrics page");
  app.add_option("--readiness", raw.readiness, "readiness page");
  app.add_option("--log-level", settings.log_level, "info, or info,xds=debug, …");
  app.add_option("--log-format", raw.log_format, "text or json");
  app.add_option("--drain-delay", raw.delay,
                 "how long all goes on before a drain, while callers hear of it: 1s");
  app.add_option("--termination-deadline", raw.termination, "how long a drain may take: 5s");
  app.add_option("--trust-domain", settings.trust_domain, "of this mesh");
  app.add_option("--cluster-id", settings.cluster_id, "of this cluster");
  try {
    std::ranges::reverse(arguments);
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& problem) {
    std::ostringstream out, errors;
    const int status = app.exit(problem, out, errors);
    return {.settings = {}, .status = status == 0 ? 0 : 1, .text = out.str() + errors.str()};
  }
  if (std::string problem = check(settings, raw, cpus); !problem.empty()) {
    return {.settings = {}, .status = 1, .text = "weft-waypoint: " + problem + "\n"};
  }
  return {.settings = std::move(settings), .status = 0, .text = {}};
}

}  // namespace mesh::waypoint
