#include "sds/config.h"

#include <utility>

#include <CLI/CLI.hpp>

namespace mesh::sds {
namespace {

void read_environment(const Environment& environment, Config& config) {
  const std::pair<const char*, std::string Config::*> kNames[] = {
      {"XDS_ADDRESS", &Config::control},       {"XDS_ROOT_CA", &Config::root_cert},
      {"AUTH_TOKEN", &Config::token},          {"WEFT_SDS_FOLDER", &Config::folder},
      {"POD_NAME", &Config::pod_name},         {"POD_NAMESPACE", &Config::pod_namespace},
      {"INSTANCE_IP", &Config::instance_ip},   {"SERVICE_ACCOUNT", &Config::service_account},
      {"TRUST_DOMAIN", &Config::trust_domain}, {"CLUSTER_DOMAIN", &Config::cluster_domain},
      {"CLUSTER_ID", &Config::cluster_id}};
  for (const auto& [name, member] : kNames) {
    const char* value = environment(name);
    if (value != nullptr && *value != '\0') config.*member = value;
  }
}

std::string missing(const Config& config) {
  const std::pair<const char*, const std::string*> kNeeded[] = {
      {"--pod", &config.pod_name},
      {"--namespace", &config.pod_namespace},
      {"--service-account", &config.service_account}};
  for (const auto& [flag, value] : kNeeded) {
    if (value->empty()) return std::string(flag) + " is required";
  }
  if (!config.folder.starts_with('/')) return "--folder must be an absolute path";
  return {};
}

}  // namespace

std::expected<Config, ConfigError> read_config(int argc, const char* const* argv,
                                               const Environment& environment) {
  Config config;
  read_environment(environment, config);
  CLI::App app{
      "Identity for an Envoy beside it: makes the key, asks the mesh's CA, keeps the files.",
      "weft-sds"};
  app.set_version_flag("--version", "weft-sds " WEFT_VERSION);
  app.add_option("--control", config.control, "the control plane, https://HOST:PORT");
  app.add_option("--root-cert", config.root_cert, "whom to trust there, a PEM file");
  app.add_option("--token", config.token, "the service account's token, a file");
  app.add_option("--folder", config.folder, "where the secrets are written");
  app.add_option("--bootstrap", config.bootstrap, "write Envoy's bootstrap there");
  app.add_option("--pod", config.pod_name, "the pod's name");
  app.add_option("--namespace", config.pod_namespace, "its namespace");
  app.add_option("--ip", config.instance_ip, "its address");
  app.add_option("--service-account", config.service_account, "its service account");
  app.add_option("--trust-domain", config.trust_domain, "the mesh's trust domain");
  app.add_option("--cluster-domain", config.cluster_domain, "the cluster's DNS domain");
  app.add_option("--cluster-id", config.cluster_id, "the cluster's name");
  app.add_flag("--is-ready", config.ask_ready,
               "exit with 0 if the secrets are there, with 1 if not");
  app.add_flag("--state-of-the-world", config.whole, "not delta discovery");
  app.add_option("command", config.command, "what to run once the identity is there");
  app.positionals_at_end();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = app.exit(error, out, err);
    return std::unexpected(ConfigError{status == 0 ? 0 : 1, status == 0 ? out.str() : err.str()});
  }
  if (config.ask_ready) return config;
  if (std::string text = missing(config); !text.empty()) {
    return std::unexpected(ConfigError{1, "weft-sds: " + text + "\n"});
  }
  return config;
}

}  // namespace mesh::sds
