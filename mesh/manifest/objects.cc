#include "mesh/manifest/objects.h"

#include <algorithm>

namespace mesh::manifest {
namespace {

std::string_view find(const Labels& labels, std::string_view key) {
  const auto found = labels.find(key);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace

std::string_view Metadata::label(std::string_view key) const { return find(labels, key); }
std::string_view Metadata::annotation(std::string_view key) const { return find(annotations, key); }

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kNode:
      return "Node";
    case Kind::kServiceAccount:
      return "ServiceAccount";
    case Kind::kPod:
      return "Pod";
    case Kind::kService:
      return "Service";
    case Kind::kEndpointSlice:
      return "EndpointSlice";
    case Kind::kAuthorizationPolicy:
      return "AuthorizationPolicy";
    case Kind::kPeerAuthentication:
      return "PeerAuthentication";
    case Kind::kWorkloadEntry:
      return "WorkloadEntry";
    case Kind::kServiceEntry:
      return "ServiceEntry";
    case Kind::kGateway:
      return "Gateway";
    case Kind::kRequestAuthentication:
      return "RequestAuthentication";
    case Kind::kGatewayClass:
      return "GatewayClass";
    case Kind::kHttpRoute:
      return "HTTPRoute";
    case Kind::kGrpcRoute:
      return "GRPCRoute";
    case Kind::kTcpRoute:
      return "TCPRoute";
    case Kind::kTlsRoute:
      return "TLSRoute";
    case Kind::kReferenceGrant:
      return "ReferenceGrant";
    case Kind::kDestinationRule:
      return "DestinationRule";
    case Kind::kVirtualService:
      return "VirtualService";
    case Kind::kTelemetry:
      return "Telemetry";
  }
  return "";
}

bool is_strict_kind(Kind kind) {
  switch (kind) {
    case Kind::kAuthorizationPolicy:
    case Kind::kPeerAuthentication:
    case Kind::kRequestAuthentication:
    case Kind::kHttpRoute:
    case Kind::kGrpcRoute:
    case Kind::kTcpRoute:
    case Kind::kTlsRoute:
    case Kind::kReferenceGrant:
    case Kind::kDestinationRule:
    case Kind::kVirtualService:
    case Kind::kTelemetry:
      return true;
    default:
      return false;
  }
}

bool LabelSelector::selects(const Labels& object) const {
  for (const auto& [key, value] : labels) {
    const auto label = object.find(key);
    if (label == object.end() || label->second != value) return false;
  }
  for (const LabelExpression& term : expressions) {
    const auto label = object.find(term.key);
    const bool present = label != object.end();
    const bool listed = present && std::find(term.values.begin(), term.values.end(),
                                             label->second) != term.values.end();
    const bool holds = term.op == "In"       ? listed
                       : term.op == "NotIn"  ? !listed
                       : term.op == "Exists" ? present
                                             : term.op == "DoesNotExist" && !present;
    if (!holds) return false;
  }
  return true;
}

std::string ObjectKey::to_string() const {
  std::string text(kind_name(kind));
  text += ' ';
  if (!ns.empty()) text += ns + "/";
  return text + name;
}

const Metadata& metadata_of(const Object& object) {
  return std::visit([](const auto& typed) -> const Metadata& { return typed.metadata; }, object);
}

ObjectKey key_of(const Object& object) {
  const Metadata& metadata = metadata_of(object);
  return {static_cast<Kind>(object.index()), metadata.ns, metadata.name};
}

}  // namespace mesh::manifest
