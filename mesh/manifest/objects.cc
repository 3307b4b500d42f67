#include "mesh/manifest/objects.h"

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
  }
  return "";
}

bool is_security_kind(Kind kind) {
  return kind == Kind::kAuthorizationPolicy || kind == Kind::kPeerAuthentication;
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
