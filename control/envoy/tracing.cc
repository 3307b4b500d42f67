#include "control/envoy/tracing.h"

#include <algorithm>
#include <string>

#include "control/envoy/authorization.h"
#include "control/envoy/providers.h"
#include "envoy/http_connection_manager.pb.h"
#include "envoy/trace.pb.h"

namespace mesh::control {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
using manifest::TracingProvider;
using manifest::TracingTag;

void fill_provider(const Build& build, const TracingProvider& from, const std::string& cluster,
                   envoy::config::trace::v3::OpenTelemetryConfig& to) {
  const manifest::Metadata& gateway = build.client.gateway->metadata;
  to.set_service_name(gateway.name + "." + gateway.ns);
  if (from.http) {
    auto* uri = to.mutable_http_service()->mutable_http_uri();
    uri->set_uri("http://" + from.host + ":" + std::to_string(from.port) + from.path);
    uri->set_cluster(cluster);
    set_duration(uri->mutable_timeout(), from.timeout);
    return;
  }
  auto* grpc = to.mutable_grpc_service();
  fill_grpc_service(cluster, from.host, grpc);
  set_duration(grpc->mutable_timeout(), from.timeout);
}

void fill_tags(const ChainTracing& tracing, hcm::HttpConnectionManager::Tracing& to) {
  for (const auto& [name, tag] : tracing.tags) {
    auto* one = to.add_custom_tags();
    one->set_tag(name);
    if (tag.source == TracingTag::Source::kLiteral) {
      one->mutable_literal()->set_value(tag.value);
    } else {
      one->mutable_request_header()->set_name(tag.value);
      one->mutable_request_header()->set_default_value(tag.fallback);
    }
  }
}

}  // namespace

ChainTelemetry telemetry_for(const Build& build, const CatalogService* service) {
  const manifest::Gateway& gateway = *build.client.gateway;
  const auto targets = [&](const manifest::Telemetry& telemetry) {
    auto by = TargetedBy::kNothing;
    for (const manifest::TargetRef& ref : telemetry.targets) {
      if (!targets_chain({ref}, telemetry.metadata.ns, build.settings, gateway, service)) continue;
      by = std::max(by, ref.kind == "GatewayClass" ? TargetedBy::kClass
                        : ref.kind == "Gateway"    ? TargetedBy::kGateway
                                                   : TargetedBy::kService);
    }
    return by;
  };
  return chain_telemetry(build.world, build.settings, gateway.metadata.ns, targets);
}

void fill_tracing(Build& build, const ChainTracing& tracing, hcm::HttpConnectionManager* into) {
  const TracingProvider& provider = *tracing.provider;
  const manifest::Metadata& gateway = build.client.gateway->metadata;
  const CatalogService* service =
      build.catalog.find_provider(gateway.ns, provider.ns, provider.host);
  const std::string problem =
      provider_problem(service, provider.host, provider.port, !provider.http);
  if (!problem.empty()) {
    const bool own = tracing.owner != nullptr;
    const manifest::Metadata& metadata = own ? tracing.owner->metadata : gateway;
    const auto kind = own ? manifest::Kind::kTelemetry : manifest::Kind::kGateway;
    return build.note({kind, metadata.ns, metadata.name},
                      "tracing: provider " + provider.name + ": " + problem);
  }
  auto& to = *into->mutable_tracing();
  to.mutable_client_sampling()->set_value(100);
  to.mutable_random_sampling()->set_value(tracing.sampling);
  to.mutable_overall_sampling()->set_value(100);
  to.mutable_max_path_tag_length()->set_value(provider.max_tag_length);
  fill_tags(tracing, to);
  envoy::config::trace::v3::OpenTelemetryConfig config;
  fill_provider(build, provider, build.cluster(*service, provider.port, true), config);
  to.mutable_provider()->set_name("envoy.tracers.opentelemetry");
  pack(config, to.mutable_provider()->mutable_typed_config());
}

}  // namespace mesh::control
