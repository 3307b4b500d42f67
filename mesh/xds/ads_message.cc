#include "mesh/xds/ads_message.h"

namespace mesh::xds {
namespace {
constexpr std::string_view kAddressUrl = "type.googleapis.com/istio.workload.Address";
constexpr std::string_view kAuthorizationUrl = "type.googleapis.com/istio.security.Authorization";
}  // namespace

std::string_view type_url(ResourceType type) {
  return type == ResourceType::kAddress ? kAddressUrl : kAuthorizationUrl;
}

std::optional<ResourceType> type_of_url(std::string_view url) {
  if (url == kAddressUrl) return ResourceType::kAddress;
  if (url == kAuthorizationUrl) return ResourceType::kAuthorization;
  return std::nullopt;
}

std::string_view type_name(ResourceType type) {
  return type == ResourceType::kAddress ? "Address" : "Authorization";
}

}  // namespace mesh::xds
