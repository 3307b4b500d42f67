#include "sds/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "mesh/net/address.h"

namespace mesh::sds {
namespace {

using nlohmann::json;

constexpr const char* kTls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.";
constexpr const char* kManager =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager";

json discovery_of(json secret) {
  secret["@type"] = std::string(kTls) + "Secret";
  return {{"resources", json::array({std::move(secret)})}};
}

json secret_source(const Config& config, const std::string& name) {
  return {{"name", name},
          {"sds_config",
           {{"path_config_source",
             {{"path", config.folder + "/" + name + ".json"},
              {"watched_directory", {{"path", config.folder}}}}},
            {"resource_api_version", "V3"}}}};
}

json socket_address(const std::string& address, unsigned port) {
  return {{"socket_address", {{"address", address}, {"port_value", port}}}};
}

json cluster_to(const std::string& name, const std::string& host, unsigned port) {
  return {
      {"name", name},
      {"type", net::IpAddress::parse(host) ? "STATIC" : "STRICT_DNS"},
      {"connect_timeout", "5s"},
      {"load_assignment",
       {{"cluster_name", name},
        {"endpoints",
         json::array(
             {{{"lb_endpoints",
                json::array({{{"endpoint", {{"address", socket_address(host, port)}}}}})}}})}}}};
}

json control_cluster(const Config& config, const std::string& host, unsigned port) {
  json cluster = cluster_to("xds-grpc", host, port);
  cluster["typed_extension_protocol_options"]
         ["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = {
             {"@type",
              "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"},
             {"explicit_http_config",
              {{"http2_protocol_options",
                {{"connection_keepalive", {{"interval", "30s"}, {"timeout", "10s"}}}}}}}};
  const bool is_ip = net::IpAddress::parse(host).has_value();
  json context = {
      {"@type", std::string(kTls) + "UpstreamTlsContext"},
      {"sni", is_ip ? "" : host},
      {"common_tls_context",
       {{"alpn_protocols", {"h2"}},
        {"tls_params", {{"tls_minimum_protocol_version", "TLSv1_2"}}},
        {"tls_certificate_sds_secret_configs", json::array({secret_source(config, "default")})},
        {"validation_context",
         {{"trusted_ca", {{"filename", config.root_cert}}},
          {"match_typed_subject_alt_names",
           json::array({{{"san_type", is_ip ? "IP_ADDRESS" : "DNS"},
                         {"matcher", {{"exact", host}}}}})}}}}}};
  cluster["transport_socket"] = {{"name", "tls"}, {"typed_config", std::move(context)}};
  return cluster;
}

// One path of admin's, on a port that others may reach.
json page(const std::string& name, unsigned port, const char* path, const char* admin_path) {
  const json route = {{"match", {{"path", path}}},
                      {"route", {{"cluster", "admin"}, {"prefix_rewrite", admin_path}}}};
  const json manager = {
      {"@type", kManager},
      {"stat_prefix", name},
      {"http_filters",
       json::array({{{"name", "envoy.filters.http.router"},
                     {"typed_config",
                      {{"@type",
                        "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}}}})},
      {"route_config",
       {{"virtual_hosts",
         json::array({{{"name", name}, {"domains", {"*"}}, {"routes", json::array({route})}}})}}}};
  return {{"name", name},
          {"address", socket_address("0.0.0.0", port)},
          {"filter_chains",
           json::array({{{"filters",
                          json::array({{{"name", "envoy.filters.network.http_connection_manager"},
                                        {"typed_config", manager}}})}}})}};
}

}  // namespace

std::string secret_file(std::string_view chain_pem, std::string_view key_pem) {
  return discovery_of({{"name", "default"},
                       {"tls_certificate",
                        {{"certificate_chain", {{"inline_string", chain_pem}}},
                         {"private_key", {{"inline_string", key_pem}}}}}})
      .dump();
}

std::string roots_file(std::string_view roots_pem) {
  return discovery_of({{"name", "ROOTCA"},
                       {"validation_context", {{"trusted_ca", {{"inline_string", roots_pem}}}}}})
      .dump();
}

std::string bootstrap_file(const Config& config, const std::string& host, unsigned port) {
  const json ads = {
      {"ads", json::object()}, {"resource_api_version", "V3"}, {"initial_fetch_timeout", "0s"}};
  const json bootstrap = {
      {"node",
       {{"id", "waypoint~" + config.instance_ip + "~" + config.pod_name + "." +
                   config.pod_namespace + "~" + config.pod_namespace + ".svc." +
                   config.cluster_domain},
        {"cluster", config.service_account + "." + config.pod_namespace},
        {"metadata",
         {{"NAME", config.pod_name},
          {"NAMESPACE", config.pod_namespace},
          {"CLUSTER_ID", config.cluster_id},
          {"WEFT_SDS_FOLDER", config.folder}}}}},
      {"admin", {{"address", socket_address("127.0.0.1", 15000)}}},
      {"bootstrap_extensions",
       json::array({{{"name", "envoy.bootstrap.internal_listener"},
                     {"typed_config",
                      {{"@type",
                        "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3."
                        "InternalListener"}}}}})},
      // What control checks regular expressions against (control/envoy/checks.h).
      {"layered_runtime",
       {{"layers",
         json::array({{{"name", "weft"},
                       {"static_layer", {{"re2.max_program_size.error_level", 32768}}}}})}}},
      {"dynamic_resources",
       {{"lds_config", ads},
        {"cds_config", ads},
        {"ads_config",
         {{"api_type", config.whole ? "GRPC" : "DELTA_GRPC"},
          {"transport_api_version", "V3"},
          {"set_node_on_first_message_only", true},
          {"grpc_services", json::array({{{"envoy_grpc", {{"cluster_name", "xds-grpc"}}}}})}}}}},
      {"static_resources",
       {{"clusters", json::array({control_cluster(config, host, port),
                                  cluster_to("admin", "127.0.0.1", 15000)})},
        {"listeners", json::array({page("readiness", 15021, "/healthz/ready", "/ready"),
                                   page("metrics", 15020, "/metrics", "/stats/prometheus")})}}}};
  return bootstrap.dump(1);
}

Result<Done> replace(const std::string& path, std::string_view content) {
  const std::string fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return failed_with_errno(errno, "a secret's file");
  while (!content.empty()) {
    const ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      const int why = errno;
      ::close(fd);
      return failed_with_errno(why, "a secret's file");
    }
    content.remove_prefix(static_cast<std::size_t>(put));
  }
  ::close(fd);
  if (std::rename(fresh.c_str(), path.c_str()) != 0) {
    return failed_with_errno(errno, "a secret's file");
  }
  return Done{};
}

}  // namespace mesh::sds
