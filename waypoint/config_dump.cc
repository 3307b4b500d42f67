#include "waypoint/config_dump.h"

#include <cctype>
#include <nlohmann/json.hpp>

#include "mesh/base/base64.h"
#include "mesh/telemetry/log.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::waypoint {
namespace {

using nlohmann::ordered_json;

constexpr const char* kAdmin = "type.googleapis.com/envoy.admin.v3.";

// Below these, names are somebody's own: labels, policies, metadata.
bool holds_own_names(std::string_view name) {
  return name == "filterMetadata" || name == "policies" || name == "labels" || name == "map" ||
         name == "jsonFormat" || name == "providers" || name == "requirementMap";
}

bool is_secret(std::string_view name) {
  return name == "privateKey" || name == "password" || name == "ticketKeys";
}

std::string with_underscores(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0) {
      if (!out.empty()) out.push_back('_');
      out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// `own`: the members of this object have names of their own.
ordered_json printed(const ordered_json& from, bool own) {
  if (from.is_array()) {
    ordered_json out = ordered_json::array();
    for (const ordered_json& one : from) out.push_back(printed(one, false));
    return out;
  }
  if (!from.is_object()) return from;
  ordered_json out = ordered_json::object();
  for (const auto& [name, value] : from.items()) {
    if (name == "filterMetadata" || name == "labels" || name == "jsonFormat") {
      out[with_underscores(name)] = value;  // all the way down
    } else if (!own && is_secret(name)) {
      out[with_underscores(name)] = "[redacted]";
    } else {
      out[own ? name : with_underscores(name)] = printed(value, !own && holds_own_names(name));
    }
  }
  return out;
}

// {"@type": …, …} of one resource.
ordered_json resource(EnvoyType type, const std::string& bytes) {
  const std::string_view message = xds::message_of(type_url(type));
  const ordered_json body = ordered_json::parse(xds::to_json(message, bytes), nullptr, false);
  ordered_json out = {{"@type", type_url(type)}};
  if (body.is_object()) out.update(printed(body, false));
  return out;
}

const std::map<std::string, KeptResource>& all(const KeptResources& kept, EnvoyType type) {
  static const std::map<std::string, KeptResource> kNone;
  const auto found = kept.find(type);
  return found == kept.end() ? kNone : found->second;
}

// A section whose entries hold their resource under `name`.
ordered_json section(const DumpSources& sources, EnvoyType type, const char* kind, const char* list,
                     const char* name) {
  ordered_json rows = ordered_json::array();
  for (const auto& [key, kept] : all(sources.kept, type)) {
    rows.push_back({{"version_info", kept.version}, {name, resource(type, kept.bytes)}});
  }
  return {{"@type", std::string(kAdmin) + kind},
          {"version_info", sources.snapshot.version},
          {list, std::move(rows)}};
}

ordered_json listeners(const DumpSources& sources) {
  ordered_json rows = ordered_json::array();
  for (const auto& [name, kept] : all(sources.kept, EnvoyType::kListener)) {
    rows.push_back({{"name", name},
                    {"active_state",
                     {{"version_info", kept.version},
                      {"listener", resource(EnvoyType::kListener, kept.bytes)}}}});
  }
  return {{"@type", std::string(kAdmin) + "ListenersConfigDump"},
          {"version_info", sources.snapshot.version},
          {"dynamic_listeners", std::move(rows)}};
}

std::string node_id(const Settings& settings) {
  return "waypoint~" + settings.instance_ip + "~" + settings.pod_name + "." +
         settings.pod_namespace + "~" + settings.pod_namespace + ".svc." + settings.cluster_domain;
}

ordered_json node(const Settings& settings) {
  return {{"id", node_id(settings)},
          {"cluster", settings.gateway + "." + settings.pod_namespace},
          {"metadata",
           {{"NAME", settings.pod_name},
            {"NAMESPACE", settings.pod_namespace},
            {"SERVICE_ACCOUNT", settings.service_account},
            {"CLUSTER_ID", settings.cluster_id},
            {"NODE_NAME", settings.node_name}}}};
}

ordered_json bootstrap(const Settings& settings) {
  return {{"@type", std::string(kAdmin) + "BootstrapConfigDump"},
          {"bootstrap",
           {{"node", node(settings)},
            {"admin",
             {{"address",
               {{"socket_address",
                 {{"address", settings.admin.ip.to_string()},
                  {"port_value", settings.admin.port}}}}}}}}}};
}

ordered_json data_source(const std::string& text) {
  return {{"inline_bytes", base64_encode(text)}};
}

ordered_json secrets(const DumpSources& sources) {
  constexpr const char* kType =
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
  ordered_json active = ordered_json::array();
  for (const identity::CertificateInfo& info : sources.certificates) {
    if (!info.certificate) continue;
    active.push_back({{"name", "default"},
                      {"secret",
                       {{"@type", kType},
                        {"name", "default"},
                        {"tls_certificate",
                         {{"certificate_chain", data_source(info.certificate->chain.to_pem())},
                          {"private_key", data_source("[redacted]")}}}}}});
    active.push_back({{"name", "ROOTCA"},
                      {"secret",
                       {{"@type", kType},
                        {"name", "ROOTCA"},
                        {"validation_context",
                         {{"trusted_ca", data_source(info.certificate->roots.to_pem())}}}}}});
  }
  for (const auto& [name, kept] : all(sources.kept, EnvoyType::kSecret)) {
    active.push_back({{"name", name},
                      {"version_info", kept.version},
                      {"secret", resource(EnvoyType::kSecret, kept.bytes)}});
  }
  return {{"@type", std::string(kAdmin) + "SecretsConfigDump"},
          {"dynamic_active_secrets", std::move(active)}};
}

std::string timestamp(tls::WallSeconds at) {
  std::string text;
  telemetry::append_timestamp(text, std::chrono::nanoseconds(at.time_since_epoch()).count());
  return text;
}

ordered_json certificate_row(const tls::Certificate& certificate, io::WallTime now) {
  ordered_json names = ordered_json::array();
  if (const auto id = certificate.spiffe_id()) names.push_back({{"uri", id->to_string()}});
  const auto left = std::chrono::floor<std::chrono::days>(
      certificate.not_after() - std::chrono::floor<std::chrono::seconds>(now));
  return {{"serial_number", certificate.serial()},
          {"subject_alt_names", std::move(names)},
          {"days_until_expiration", std::to_string(std::max<std::int64_t>(left.count(), 0))},
          {"valid_from", timestamp(certificate.not_before())},
          {"expiration_time", timestamp(certificate.not_after())}};
}

std::string text_of(const ordered_json& page) {
  return page.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string as_envoy_prints(std::string_view canonical) {
  const ordered_json body = ordered_json::parse(canonical, nullptr, false);
  return body.is_discarded() ? std::string() : printed(body, false).dump();
}

std::string dump_config(const DumpSources& sources, bool include_endpoints) {
  ordered_json configs = ordered_json::array();
  configs.push_back(bootstrap(sources.settings));
  configs.push_back(section(sources, EnvoyType::kCluster, "ClustersConfigDump",
                            "dynamic_active_clusters", "cluster"));
  if (include_endpoints) {
    configs.push_back(section(sources, EnvoyType::kEndpoints, "EndpointsConfigDump",
                              "dynamic_endpoint_configs", "endpoint_config"));
  }
  configs.push_back(listeners(sources));
  configs.push_back(section(sources, EnvoyType::kRoutes, "RoutesConfigDump",
                            "dynamic_route_configs", "route_config"));
  configs.push_back(
      section(sources, EnvoyType::kExtension, "EcdsConfigDump", "ecds_filters", "ecds_filter"));
  configs.push_back(secrets(sources));
  ordered_json not_honoured = ordered_json::array();
  for (const config::NotHonoured& one : sources.snapshot.not_honoured) {
    not_honoured.push_back({{"resource", one.resource}, {"path", one.path}});
  }
  return text_of({{"configs", std::move(configs)},
                  {"weft",
                   {{"identity", sources.settings.identity()},
                    {"snapshot", sources.snapshot.number},
                    {"version", sources.snapshot.version},
                    {"ready", sources.snapshot.ready},
                    {"waiting_for", sources.waiting_for},
                    {"not_honoured", std::move(not_honoured)}}}});
}

std::string dump_listeners(const KeptResources& kept, bool json) {
  std::string text;
  ordered_json rows = ordered_json::array();
  for (const auto& [name, one] : all(kept, EnvoyType::kListener)) {
    const ordered_json listener = resource(EnvoyType::kListener, one.bytes);
    const auto address = listener.find("address");
    rows.push_back({{"name", name}});
    std::string shown = "internal";
    if (address != listener.end()) {
      rows.back()["local_address"] = *address;
      if (const auto socket = address->find("socket_address"); socket != address->end()) {
        shown = socket->value("address", "") + ":" + std::to_string(socket->value("port_value", 0));
      }
    }
    text += name + "::" + shown + "\n";
  }
  return json ? text_of({{"listener_statuses", std::move(rows)}}) : text;
}

std::string dump_certificates(std::span<const identity::CertificateInfo> certificates,
                              io::WallTime now) {
  ordered_json rows = ordered_json::array();
  for (const identity::CertificateInfo& info : certificates) {
    if (!info.certificate) continue;
    ordered_json roots = ordered_json::array(), chain = ordered_json::array();
    for (const auto& one : info.certificate->roots.roots()) {
      roots.push_back(certificate_row(one, now));
    }
    for (const auto& one : info.certificate->chain.certificates()) {
      chain.push_back(certificate_row(one, now));
    }
    rows.push_back({{"ca_cert", std::move(roots)}, {"cert_chain", std::move(chain)}});
  }
  return text_of({{"certificates", std::move(rows)}});
}

std::string dump_server_info(const Settings& settings, std::string_view state,
                             std::chrono::seconds uptime) {
  const std::string lasted = std::to_string(uptime.count()) + "s";
  return text_of({{"version", std::string("weft-waypoint/") + WEFT_VERSION},
                  {"state", state},
                  {"uptime_current_epoch", lasted},
                  {"uptime_all_epochs", lasted},
                  {"node", node(settings)},
                  {"command_line_options", {{"concurrency", settings.workers}}}});
}

}  // namespace mesh::waypoint
