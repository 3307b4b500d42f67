#include "mesh/xds/ads_codec.h"

#include <algorithm>
#include <utility>

#include <google/protobuf/stubs/logging.h>

#include "mesh/xds/proto/discovery.pb.h"

namespace mesh::xds {
namespace {

namespace wire = envoy::service::discovery::v3;

// Without protobuf's own complaints on stderr: a peer could write there as fast as it can send.
template <class Message>
bool parse(Message& message, std::string_view bytes) {
  const google::protobuf::LogSilencer silence;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// google.rpc.Code INVALID_ARGUMENT: what a NACK is.
constexpr int kInvalidArgument = 3;

void encode_node(const Node& node, envoy::config::core::v3::Node& to) {
  to.set_id(node.id);
  for (const auto& [name, value] : node.metadata) {
    (*to.mutable_metadata()->mutable_fields())[name].set_string_value(value);
  }
}

}  // namespace

std::string encode(const DeltaRequest& request) {
  wire::DeltaDiscoveryRequest message;
  if (request.node) encode_node(*request.node, *message.mutable_node());
  message.set_type_url(request.type_url);
  for (const std::string& name : request.subscribe) message.add_resource_names_subscribe(name);
  for (const std::string& name : request.unsubscribe) message.add_resource_names_unsubscribe(name);
  for (const auto& [name, version] : request.initial_versions) {
    (*message.mutable_initial_resource_versions())[name] = version;
  }
  message.set_response_nonce(request.response_nonce);
  if (request.error) {
    message.mutable_error_detail()->set_code(kInvalidArgument);
    message.mutable_error_detail()->set_message(*request.error);
  }
  return message.SerializeAsString();
}

Result<DeltaResponse> decode_response(std::string_view bytes) {
  wire::DeltaDiscoveryResponse message;
  if (!parse(message, bytes)) {
    return failed(Reason::kMalformed, "xds response");
  }
  DeltaResponse response{.system_version = std::move(*message.mutable_system_version_info()),
                         .type_url = std::move(*message.mutable_type_url()),
                         .nonce = std::move(*message.mutable_nonce())};
  response.resources.reserve(static_cast<std::size_t>(message.resources_size()));
  for (wire::Resource& resource : *message.mutable_resources()) {
    weft::wire::Any& any = *resource.mutable_resource();
    response.resources.push_back({.name = std::move(*resource.mutable_name()),
                                  .version = std::move(*resource.mutable_version()),
                                  .type_url = std::move(*any.mutable_type_url()),
                                  .bytes = std::move(*any.mutable_value()),
                                  .has_ttl = resource.has_ttl()});
  }
  response.removed.assign(std::make_move_iterator(message.mutable_removed_resources()->begin()),
                          std::make_move_iterator(message.mutable_removed_resources()->end()));
  return response;
}

std::string encode(const DeltaResponse& response) {
  wire::DeltaDiscoveryResponse message;
  message.set_system_version_info(response.system_version);
  message.set_type_url(response.type_url);
  message.set_nonce(response.nonce);
  for (const RawResource& resource : response.resources) {
    wire::Resource& to = *message.add_resources();
    to.set_name(resource.name);
    to.set_version(resource.version);
    to.mutable_resource()->set_type_url(resource.type_url);
    to.mutable_resource()->set_value(resource.bytes);
  }
  for (const std::string& name : response.removed) message.add_removed_resources(name);
  return message.SerializeAsString();
}

Result<DeltaRequest> decode_request(std::string_view bytes) {
  wire::DeltaDiscoveryRequest message;
  if (!parse(message, bytes)) {
    return failed(Reason::kMalformed, "xds request");
  }
  DeltaRequest request{.type_url = message.type_url()};
  if (message.has_node()) {
    Node& node = request.node.emplace();
    node.id = message.node().id();
    for (const auto& [name, value] : message.node().metadata().fields()) {
      node.metadata[name] = value.string_value();
    }
  }
  request.subscribe.assign(message.resource_names_subscribe().begin(),
                           message.resource_names_subscribe().end());
  request.unsubscribe.assign(message.resource_names_unsubscribe().begin(),
                             message.resource_names_unsubscribe().end());
  for (const auto& [name, version] : message.initial_resource_versions()) {
    request.initial_versions.emplace_back(name, version);
  }
  std::ranges::sort(request.initial_versions);
  request.response_nonce = message.response_nonce();
  if (message.has_error_detail()) request.error = message.error_detail().message();
  return request;
}

}  // namespace mesh::xds
