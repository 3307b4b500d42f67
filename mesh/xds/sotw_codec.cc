#include "mesh/xds/sotw_codec.h"

#include <utility>

#include <google/protobuf/stubs/logging.h>

#include "mesh/xds/proto/discovery.pb.h"
#include "mesh/xds/wire_reader.h"

namespace mesh::xds {
namespace {

namespace wire = envoy::service::discovery::v3;

constexpr int kInvalidArgument = 3;  // google.rpc.Code: what a NACK is

template <class Message>
bool parse(Message& message, std::string_view bytes) {
  const google::protobuf::LogSilencer silence;  // a peer could write there as fast as it can send
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// Listener.name, Cluster.name, ClusterLoadAssignment.cluster_name, RouteConfiguration.name, …
std::string name_of(std::string_view resource) {
  WireReader reader(resource);
  WireField field;
  std::string name;
  while (reader.next(field)) {
    if (field.number == 1 && field.type == WireType::kBytes) name = field.bytes;
  }
  return name;
}

}  // namespace

std::string encode(const SotwRequest& request) {
  wire::DiscoveryRequest message;
  if (request.node) {
    message.mutable_node()->set_id(request.node->id);
    for (const auto& [name, value] : request.node->metadata) {
      (*message.mutable_node()->mutable_metadata()->mutable_fields())[name].set_string_value(value);
    }
  }
  message.set_version_info(request.version);
  message.set_type_url(request.type_url);
  for (const std::string& name : request.names) message.add_resource_names(name);
  message.set_response_nonce(request.response_nonce);
  if (request.error) {
    message.mutable_error_detail()->set_code(kInvalidArgument);
    message.mutable_error_detail()->set_message(*request.error);
  }
  return message.SerializeAsString();
}

Result<SotwResponse> decode_sotw_response(std::string_view bytes) {
  wire::DiscoveryResponse message;
  if (!parse(message, bytes)) return failed(Reason::kMalformed, "xds response");
  SotwResponse response{.version = std::move(*message.mutable_version_info()),
                        .type_url = std::move(*message.mutable_type_url()),
                        .nonce = std::move(*message.mutable_nonce())};
  for (weft::wire::Any& any : *message.mutable_resources()) {
    RawResource resource{.version = response.version,
                         .type_url = std::move(*any.mutable_type_url()),
                         .bytes = std::move(*any.mutable_value())};
    resource.name = name_of(resource.bytes);
    if (resource.name.empty()) return failed(Reason::kMalformed, "xds resource without a name");
    response.resources.push_back(std::move(resource));
  }
  return response;
}

std::string encode(const SotwResponse& response) {
  wire::DiscoveryResponse message;
  message.set_version_info(response.version);
  message.set_type_url(response.type_url);
  message.set_nonce(response.nonce);
  for (const RawResource& resource : response.resources) {
    weft::wire::Any& to = *message.add_resources();
    to.set_type_url(resource.type_url);
    to.set_value(resource.bytes);
  }
  return message.SerializeAsString();
}

Result<SotwRequest> decode_sotw_request(std::string_view bytes) {
  wire::DiscoveryRequest message;
  if (!parse(message, bytes)) return failed(Reason::kMalformed, "xds request");
  SotwRequest request{.version = message.version_info(),
                      .type_url = message.type_url(),
                      .names = {message.resource_names().begin(), message.resource_names().end()},
                      .response_nonce = message.response_nonce()};
  if (message.has_node()) request.node.emplace().id = message.node().id();
  if (message.has_error_detail()) request.error = message.error_detail().message();
  return request;
}

}  // namespace mesh::xds
