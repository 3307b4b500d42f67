#include "control/envoy/pieces.h"

#include <limits>
#include <utility>

#include <google/protobuf/message_lite.h>

#include "control/resource_store.h"
#include "control/trust_domains.h"
#include "envoy/cluster.pb.h"
#include "envoy/core.pb.h"
#include "envoy/core_source.pb.h"
#include "envoy/internal_upstream.pb.h"
#include "envoy/raw_buffer.pb.h"
#include "envoy/tls.pb.h"

namespace mesh::control {
namespace {

namespace core = envoy::config::core::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
namespace internal = envoy::extensions::transport_sockets::internal_upstream::v3;

// Where a secret is found: in a file that a helper beside the proxy writes, or at that helper.
void fill_source(const WaypointClient& client, const std::string& name, core::ConfigSource* into) {
  into->set_resource_api_version(core::V3);
  into->mutable_initial_fetch_timeout();
  if (!client.sds_folder.empty()) {
    core::PathConfigSource* file = into->mutable_path_config_source();
    file->set_path(client.sds_folder + "/" + name + ".json");
    file->mutable_watched_directory()->set_path(client.sds_folder);
    return;
  }
  core::ApiConfigSource* api = into->mutable_api_config_source();
  api->set_api_type(core::ApiConfigSource::GRPC);
  api->set_transport_api_version(core::V3);
  api->set_set_node_on_first_message_only(true);
  api->add_grpc_services()->mutable_envoy_grpc()->set_cluster_name("sds-grpc");
}

void fill_secret(const WaypointClient& client, const std::string& name,
                 tls::SdsSecretConfig* into) {
  into->set_name(name);
  fill_source(client, name, into->mutable_sds_config());
}

void add_uri_prefix(const std::string& prefix, tls::CertificateValidationContext* into) {
  tls::SubjectAltNameMatcher* matcher = into->add_match_typed_subject_alt_names();
  matcher->set_san_type(tls::SubjectAltNameMatcher::URI);
  matcher->mutable_matcher()->set_prefix(prefix);
}

}  // namespace

std::string inbound_cluster(const CatalogService& service, std::uint16_t port, bool http,
                            std::string_view subset) {
  std::string name = "inbound-vip|" + std::to_string(port) + (http ? "|http" : "|tcp");
  if (!subset.empty()) name += "/" + std::string(subset);
  return name + "|" + service.host;
}

std::string outbound_cluster(const CatalogService& service, std::uint16_t port,
                             std::string_view subset) {
  return "outbound|" + std::to_string(port) + "|" + std::string(subset) + "|" + service.host;
}

void pack(const google::protobuf::MessageLite& message, weft::wire::Any* into) {
  std::string name = message.GetTypeName();
  if (name.starts_with("weft.wire.")) name = "google.protobuf." + name.substr(10);
  into->set_type_url("type.googleapis.com/" + name);
  into->set_value(bytes_of(message));
}

void set_duration(weft::wire::Duration* into, std::chrono::milliseconds time) {
  into->set_seconds(time.count() / 1'000);
  into->set_nanos(static_cast<std::int32_t>(time.count() % 1'000) * 1'000'000);
}

void add_metadata(core::Metadata* into, std::string_view filter, std::string_view key,
                  std::string_view value) {
  auto& fields = *(*into->mutable_filter_metadata())[std::string(filter)].mutable_fields();
  fields[std::string(key)].set_string_value(std::string(value));
}

void add_origin(core::Metadata* into, std::string_view api, std::string_view kind,
                std::string_view ns, std::string_view name) {
  std::string path = "/apis/";
  for (const std::string_view part : {api, std::string_view("/namespaces/"), ns,
                                      std::string_view("/"), kind, std::string_view("/"), name}) {
    path += part;
  }
  add_metadata(into, "istio", "config", path);
}

void fill_tls(const Settings& settings, const WaypointClient& client, bool upstream,
              tls::CommonTlsContext* into) {
  tls::TlsParameters* params = into->mutable_tls_params();
  params->set_tls_minimum_protocol_version(tls::TlsParameters::TLSv1_3);
  params->set_tls_maximum_protocol_version(tls::TlsParameters::TLSv1_3);
  into->add_alpn_protocols("h2");
  fill_secret(client, "default", into->add_tls_certificate_sds_secret_configs());
  auto* validation = into->mutable_combined_validation_context();
  auto* names = validation->mutable_default_validation_context();
  for (const std::string& name : trust_domains(settings)) {
    const std::string domain = "spiffe://" + name + "/";
    add_uri_prefix(domain, names);
    if (upstream) add_uri_prefix(domain + "ns/" + client.gateway->metadata.ns + "/sa/", names);
  }
  fill_secret(client, "ROOTCA", validation->mutable_validation_context_sds_secret_config());
}

void fill_internal_transport(bool passes_metadata, core::TransportSocket* into) {
  internal::InternalUpstreamTransport transport;
  if (passes_metadata) {
    for (const std::string_view name : {kOriginalDst, std::string_view("istio")}) {
      auto* source = transport.add_passthrough_metadata();
      source->mutable_kind()->mutable_host();
      source->set_name(std::string(name));
    }
  }
  transport.mutable_transport_socket()->set_name("raw_buffer");
  pack(envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer(),
       transport.mutable_transport_socket()->mutable_typed_config());
  into->set_name("internal_upstream");
  pack(transport, into->mutable_typed_config());
}

void fill_cluster(std::string_view name, envoy::config::cluster::v3::Cluster* into) {
  constexpr std::uint32_t kNoLimit = std::numeric_limits<std::uint32_t>::max();
  into->set_name(std::string(name));
  into->set_alt_stat_name(std::string(name) + ";");
  auto* limits = into->mutable_circuit_breakers()->add_thresholds();
  limits->mutable_max_connections()->set_value(kNoLimit);
  limits->mutable_max_pending_requests()->set_value(kNoLimit);
  limits->mutable_max_requests()->set_value(kNoLimit);
  limits->mutable_max_retries()->set_value(kNoLimit);
}

}  // namespace mesh::control
