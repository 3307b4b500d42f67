#include "control/envoy/processors.h"

#include <optional>
#include <string>

#include "control/envoy/build.h"
#include "control/envoy/providers.h"
#include "control/envoy/rbac_rules.h"
#include "envoy/ext_proc.pb.h"
#include "envoy/http_connection_manager.pb.h"
#include "envoy/http_rbac.pb.h"
#include "envoy/listener.pb.h"
#include "envoy/network_rbac.pb.h"

namespace mesh::control {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace ext_proc = envoy::extensions::filters::http::ext_proc::v3;
using ext_proc::ProcessingMode;
using manifest::ProcessorProvider;

constexpr const char* kDenial = "external-processor";

struct Wish {
  std::string provider;
  manifest::ObjectKey author;
};

std::optional<Wish> wish_in(const manifest::Metadata& metadata, manifest::Kind kind) {
  const auto found = metadata.annotations.find(std::string(kProcessorAnnotation));
  if (found == metadata.annotations.end()) return std::nullopt;
  return Wish{found->second, {kind, metadata.ns, metadata.name}};
}

std::optional<Wish> wish_for(const Build& build, const CatalogService* service) {
  if (service != nullptr && service->metadata != nullptr) {
    const auto kind = service->is_entry ? manifest::Kind::kServiceEntry : manifest::Kind::kService;
    if (auto own = wish_in(*service->metadata, kind)) return own;
  }
  return wish_in(build.client.gateway->metadata, manifest::Kind::kGateway);
}

ProcessingMode::BodySendMode body_mode(ProcessorProvider::Body body) {
  switch (body) {
    case ProcessorProvider::Body::kNone:
      return ProcessingMode::NONE;
    case ProcessorProvider::Body::kStreamed:
      return ProcessingMode::STREAMED;
    case ProcessorProvider::Body::kBuffered:
      return ProcessingMode::BUFFERED;
    case ProcessorProvider::Body::kBufferedPartial:
      break;
  }
  return ProcessingMode::BUFFERED_PARTIAL;
}

ext_proc::ExternalProcessor filter_of(const ProcessorProvider& provider,
                                      const std::string& cluster) {
  const auto send = [](bool sent) { return sent ? ProcessingMode::SEND : ProcessingMode::SKIP; };
  ext_proc::ExternalProcessor to;
  fill_grpc_service(cluster, provider.host, to.mutable_grpc_service());
  to.set_failure_mode_allow(provider.fail_open);
  to.set_allow_mode_override(provider.allow_mode_override);
  set_duration(to.mutable_message_timeout(), provider.message_timeout);
  ProcessingMode& mode = *to.mutable_processing_mode();
  mode.set_request_header_mode(send(provider.request.headers));
  mode.set_request_body_mode(body_mode(provider.request.body));
  mode.set_request_trailer_mode(send(provider.request.trailers));
  mode.set_response_header_mode(send(provider.response.headers));
  mode.set_response_body_mode(body_mode(provider.response.body));
  mode.set_response_trailer_mode(send(provider.response.trailers));
  return to;
}

template <class Rbac>
void deny_all(Rbac& filter) {
  filter.mutable_rules()->set_action(envoy::config::rbac::v3::RBAC::DENY);
  fill_always(&(*filter.mutable_rules()->mutable_policies())[kDenial]);
}

}  // namespace

void add_processor(Build& build, const CatalogService* service, hcm::HttpConnectionManager* into) {
  const auto wish = wish_for(build, service);
  if (!wish) return;
  const manifest::MeshConfig& mesh = build.world.mesh();
  const ProcessorProvider* provider = mesh.processor(wish->provider);
  std::expected<std::string, std::string> cluster =
      provider == nullptr ? std::unexpected(mesh.why_not(wish->provider, "weftExtProcGrpc"))
                          : grpc_cluster(build, *provider);
  hcm::HttpFilter* filter = into->add_http_filters();
  if (cluster) {
    filter->set_name("envoy.filters.http.ext_proc");
    return pack(filter_of(*provider, *cluster), filter->mutable_typed_config());
  }
  build.note(wish->author, std::string(kProcessorAnnotation) + ": " + cluster.error() +
                               ": what it would be shown is denied");
  envoy::extensions::filters::http::rbac::v3::RBAC denial;
  deny_all(denial);
  filter->set_name("envoy.filters.http.rbac");
  pack(denial, filter->mutable_typed_config());
}

void deny_unprocessed(const Build& build, const CatalogService* service,
                      envoy::config::listener::v3::FilterChain* into) {
  if (!wish_for(build, service)) return;
  envoy::extensions::filters::network::rbac::v3::RBAC denial;
  deny_all(denial);
  denial.set_stat_prefix("tcp.");
  auto* filter = into->add_filters();
  filter->set_name("envoy.filters.network.rbac");
  pack(denial, filter->mutable_typed_config());
}

}  // namespace mesh::control
