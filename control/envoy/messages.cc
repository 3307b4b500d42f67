#include "control/envoy/messages.h"

#include <google/protobuf/stubs/logging.h>

#include "discovery.pb.h"

namespace mesh::control {
namespace {

namespace wire = envoy::service::discovery::v3;

// Without protobuf's own complaints on stderr.
template <class Message>
bool parse(Message& message, std::string_view bytes) {
  const google::protobuf::LogSilencer silence;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

template <class Message>
void read_common(const Message& from, DecodedRequest& to) {
  to.request.type_url = from.type_url();
  to.request.nonce = from.response_nonce();
  if (from.has_error_detail()) to.request.error = from.error_detail().message();
  if (!from.has_node()) return;
  to.node_id = from.node().id();
  const auto& metadata = from.node().metadata().fields();
  const auto folder = metadata.find("WEFT_SDS_FOLDER");
  if (folder != metadata.end()) to.sds_folder = folder->second.string_value();
  const auto checks = metadata.find("WEFT_HEALTH_CHECKS");
  to.checks_through_tunnels =
      checks != metadata.end() && checks->second.string_value() == "tunnels";
}

// A folder of the proxy's own: it is only ever told back to the proxy that named it.
bool is_folder(std::string_view path) {
  return path.starts_with('/') && path.size() <= 256 && path.find("..") == std::string_view::npos;
}

}  // namespace

std::optional<DecodedRequest> decode_envoy_request(bool delta, std::string_view bytes) {
  DecodedRequest to;
  if (delta) {
    wire::DeltaDiscoveryRequest from;
    if (!parse(from, bytes)) return {};
    read_common(from, to);
    to.request.subscribe.assign(from.resource_names_subscribe().begin(),
                                from.resource_names_subscribe().end());
    to.request.unsubscribe.assign(from.resource_names_unsubscribe().begin(),
                                  from.resource_names_unsubscribe().end());
    for (const auto& [name, version] : from.initial_resource_versions()) {
      to.request.initial_versions.emplace_back(name, version);
    }
  } else {
    wire::DiscoveryRequest from;
    if (!parse(from, bytes)) return {};
    read_common(from, to);
    to.request.names.assign(from.resource_names().begin(), from.resource_names().end());
  }
  if (!is_folder(to.sds_folder)) to.sds_folder.clear();
  return to;
}

std::string encode_envoy_response(bool delta, const EnvoyResponse& response) {
  if (!delta) {
    wire::DiscoveryResponse to;
    to.set_version_info(response.version);
    to.set_type_url(response.type_url);
    to.set_nonce(response.nonce);
    for (const auto& resource : response.resources) {
      auto* any = to.add_resources();
      any->set_type_url(response.type_url);
      any->set_value(resource->bytes);
    }
    return to.SerializeAsString();
  }
  wire::DeltaDiscoveryResponse to;
  to.set_system_version_info(response.version);
  to.set_type_url(response.type_url);
  to.set_nonce(response.nonce);
  for (const auto& resource : response.resources) {
    auto* one = to.add_resources();
    one->set_name(resource->name);
    one->set_version(resource->version);
    one->mutable_resource()->set_type_url(response.type_url);
    one->mutable_resource()->set_value(resource->bytes);
  }
  for (const std::string& name : response.removed) to.add_removed_resources(name);
  return to.SerializeAsString();
}

std::optional<WaypointNode> parse_waypoint_id(std::string_view id) {
  // KIND~ADDRESS~POD.NAMESPACE~DOMAIN
  constexpr std::string_view kKind = "waypoint~";
  if (!id.starts_with(kKind) || id.size() > 1024) return {};
  id.remove_prefix(kKind.size());
  const auto address = id.find('~');
  if (address == std::string_view::npos) return {};
  id.remove_prefix(address + 1);
  const std::string_view name = id.substr(0, id.find('~'));
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == name.size()) return {};
  return WaypointNode{.pod = std::string(name.substr(0, dot)),
                      .ns = std::string(name.substr(dot + 1)),
                      .sds_folder = {}};
}

}  // namespace mesh::control
