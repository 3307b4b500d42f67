#include "control/config.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include <CLI/CLI.hpp>

#include "mesh/net/spiffe_id.h"

namespace mesh::control {
namespace {

struct Flags {
  std::string manifests, state, tokens;
  bool kubernetes = false;
  std::string kubeconfig, context;
  std::string ns = "weft-system", pod = "weft-control";
  std::vector<std::string> node_accounts;
  std::string rotation_wait;
  bool no_istio_root_map = false;
  WaypointImages waypoint_images;
  std::string waypoint_seccomp = "localhost";
  std::string listen = "[::]:15012";
  std::string debug_listen = "[::]:15014";
  std::string lifetime = "24h";
  std::string log_level = "info";
  std::string log_format = "text";
  std::vector<std::string> names;
  std::string mesh_config, mesh_config_map;
  Settings settings;
};

void declare_waypoints(CLI::App& app, Flags& flags) {
  app.add_option("--waypoint-image", flags.waypoint_images.weft, "Of the waypoints that it deploys")
      ->capture_default_str();
  app.add_option("--envoy-image", flags.waypoint_images.envoy,
                 "Of the waypoints that are to be stock Envoy")
      ->capture_default_str();
  app.add_option("--sds-image", flags.waypoint_images.sds, "Of what keeps their identity")
      ->capture_default_str();
  app.add_option("--waypoint-seccomp", flags.waypoint_seccomp,
                 "localhost: nodes have the profile weft/waypoint.json; or unconfined")
      ->capture_default_str()
      ->check(CLI::IsMember({"localhost", "unconfined"}));
}

void declare_mesh(CLI::App& app, Flags& flags) {
  app.add_option(
      "--mesh-config", flags.mesh_config,
      "A file with the mesh's configuration, or its ConfigMap: extensionProviders. Followed");
  app.add_option("--mesh-config-map", flags.mesh_config_map,
                 "With --kubernetes, instead: a ConfigMap of our namespace that holds it under the "
                 "key mesh, as `istio` does. Followed");
}

void declare(CLI::App& app, Flags& flags) {
  app.set_version_flag("--version", "weft-control " WEFT_VERSION);
  app.add_option("--manifests", flags.manifests, "Folder of manifests to serve");
  app.add_flag("--kubernetes", flags.kubernetes,
               "Serve what an API server holds: that of the cluster we run in, or --kubeconfig");
  app.add_option("--kubeconfig", flags.kubeconfig, "How to reach the API server from outside");
  app.add_option("--context", flags.context, "Of the kubeconfig, if not its current one");
  app.add_option("--namespace", flags.ns, "Our own: of the Lease and the root's Secret")
      ->envname("POD_NAMESPACE")
      ->capture_default_str();
  app.add_option("--pod-name", flags.pod, "What this replica is called")
      ->envname("POD_NAME")
      ->capture_default_str();
  app.add_option("--node-account", flags.node_accounts,
                 "Service account of ztunnels, NAMESPACE/NAME (default: ztunnel of our namespace)")
      ->envname("CA_TRUSTED_NODE_ACCOUNTS")
      ->delimiter(',');
  app.add_option(
      "--rotation-wait", flags.rotation_wait,
      "Between the steps of a root's rotation (default: the certificate lifetime and 10m)");
  app.add_flag("--no-istio-root-map", flags.no_istio_root_map,
               "ConfigMaps istio-ca-root-cert are somebody else's: only weft-ca-root-cert is ours");
  app.add_option("--trust-domain-alias", flags.settings.trust_domain_aliases,
                 "A former name of the trust domain, which counts as it")
      ->delimiter(',');
  app.add_option("--state", flags.state, "Folder for the root key and other state")->required();
  app.add_option("--listen", flags.listen, "Discovery and certificates: gRPC over TLS")
      ->capture_default_str();
  app.add_option("--debug-listen", flags.debug_listen, "Metrics and debug pages: HTTP")
      ->capture_default_str();
  app.add_option("--tokens", flags.tokens,
                 "Folder with a file per node that holds its bearer token (default: STATE/tokens, "
                 "with --kubernetes: none)");
  app.add_option("--trust-domain", flags.settings.trust_domain, "Of the identities issued")
      ->envname("TRUST_DOMAIN")
      ->capture_default_str();
  app.add_option("--cluster-id", flags.settings.cluster_id, "Name of this cluster")
      ->envname("CLUSTER_ID")
      ->capture_default_str();
  app.add_option("--root-namespace", flags.settings.root_namespace,
                 "Namespace whose policies are for the whole mesh")
      ->capture_default_str();
  app.add_option("--certificate-lifetime", flags.lifetime,
                 "Longest life of a certificate: 30s, 5m, 24h")
      ->capture_default_str();
  app.add_option("--san", flags.names, "A further name or address of this server")
      ->allow_extra_args(false);
  app.add_option("--log-level", flags.log_level, "info, debug, …; or SCOPE=LEVEL,…")
      ->envname("WEFT_LOG")
      ->capture_default_str();
  app.add_option("--log-format", flags.log_format, "text or json")
      ->envname("LOG_FORMAT")
      ->capture_default_str();
}

std::unexpected<Leave> mistake(std::string text) {
  return std::unexpected(Leave{1, "weft-control: " + std::move(text) + "\n"});
}

// What contradicts what; empty: nothing.
std::string contradiction(const Flags& flags) {
  if (flags.kubernetes == !flags.manifests.empty()) {
    return "give one of --manifests and --kubernetes (see --help)";
  }
  if (!flags.kubernetes && !(flags.kubeconfig + flags.context).empty()) {
    return "--kubeconfig and --context need --kubernetes";
  }
  if (!flags.mesh_config_map.empty() && (!flags.kubernetes || !flags.mesh_config.empty())) {
    return "--mesh-config-map needs --kubernetes, and no --mesh-config";
  }
  return {};
}

std::expected<Config, Leave> check(Flags flags) {
  Config config;
  if (std::string said = contradiction(flags); !said.empty()) return mistake(std::move(said));
  const auto listen = net::SocketAddress::parse(flags.listen);
  if (!listen) return mistake("--listen: \"" + flags.listen + "\" is not ADDRESS:PORT");
  const auto debug_listen = net::SocketAddress::parse(flags.debug_listen);
  if (!debug_listen) {
    return mistake("--debug-listen: \"" + flags.debug_listen + "\" is not ADDRESS:PORT");
  }
  const auto lifetime = parse_duration(flags.lifetime);
  if (!lifetime) {
    return mistake("--certificate-lifetime: \"" + flags.lifetime + "\" is not like 30s, 5m or 24h");
  }
  if (!net::SpiffeId::make(flags.settings.trust_domain, "ns", "sa")) {
    return mistake("--trust-domain: \"" + flags.settings.trust_domain + "\" is not a trust domain");
  }
  if (flags.log_format != "text" && flags.log_format != "json") {
    return mistake("--log-format: must be text or json");
  }
  config.rotation_wait = *lifetime + std::chrono::minutes(10);
  if (!flags.rotation_wait.empty()) {
    const auto wait = parse_duration(flags.rotation_wait);
    if (!wait || *wait < *lifetime) {
      return mistake("--rotation-wait: must be a duration, not under --certificate-lifetime");
    }
    config.rotation_wait = *wait;
  }
  config.istio_root_map = !flags.no_istio_root_map;
  config.waypoint_images = flags.waypoint_images;
  config.waypoint_seccomp_localhost = flags.waypoint_seccomp == "localhost";
  for (std::string& account : flags.node_accounts) {
    if (std::count(account.begin(), account.end(), '/') != 1 || account.size() < 3) {
      return mistake("--node-account: \"" + account + "\" is not NAMESPACE/NAME");
    }
    config.node_accounts.insert(std::move(account));
  }
  if (config.node_accounts.empty()) config.node_accounts.insert(flags.ns + "/ztunnel");
  for (const std::string& alias : flags.settings.trust_domain_aliases) {
    if (!net::SpiffeId::make(alias, "ns", "sa")) {
      return mistake("--trust-domain-alias: \"" + alias + "\" is not a trust domain");
    }
  }
  telemetry::LogFilter filter;
  if (!filter.apply(flags.log_level)) {
    return mistake("--log-level: \"" + flags.log_level + "\" is not a level");
  }
  config.manifests = std::move(flags.manifests);
  config.kubeconfig = std::move(flags.kubeconfig);
  config.context = std::move(flags.context);
  config.mesh_config = std::move(flags.mesh_config);
  config.mesh_config_map = std::move(flags.mesh_config_map);
  config.state = std::move(flags.state);
  config.tokens = std::move(flags.tokens);
  if (config.tokens.empty() && !flags.kubernetes) config.tokens = config.state + "/tokens";
  config.ns = std::move(flags.ns);
  config.pod = std::move(flags.pod);
  config.listen = *listen;
  config.debug_listen = *debug_listen;
  config.settings = std::move(flags.settings);
  config.certificate_lifetime = *lifetime;
  config.serving_names = {"localhost", "istiod.istio-system.svc", "weft-control.weft-system.svc",
                          "127.0.0.1", "::1"};
  for (std::string& name : flags.names) config.serving_names.push_back(std::move(name));
  config.log_level = std::move(flags.log_level);
  if (flags.log_format == "json") config.log_format = telemetry::LogFormat::kJson;
  return config;
}

}  // namespace

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 1) return {};
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  std::int64_t factor = 0;
  if (unit.empty() || unit == "s") factor = 1;
  if (unit == "m") factor = 60;
  if (unit == "h") factor = 3600;
  if (unit == "d") factor = 86400;
  constexpr std::int64_t kMax = 10LL * 366 * 86400;
  if (factor == 0 || value > kMax / factor) return {};
  return std::chrono::seconds(value * factor);
}

std::expected<Config, Leave> read_config(int argc, const char* const* argv) {
  Flags flags;
  CLI::App app(
      "Weft's control plane: serves a folder of manifests, or what a Kubernetes API "
      "server holds, to the data planes.",
      "weft-control");
  declare(app, flags);
  declare_waypoints(app, flags);
  declare_mesh(app, flags);
  // CLI11 reports help, version and mistakes by exception; they end here.
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return std::unexpected(Leave{0, app.help()});
  } catch (const CLI::CallForVersion&) {
    return std::unexpected(Leave{0, "weft-control " WEFT_VERSION "\n"});
  } catch (const CLI::ParseError& error) {
    return mistake(std::string(error.what()) + " (see --help)");
  }
  return check(std::move(flags));
}

}  // namespace mesh::control
