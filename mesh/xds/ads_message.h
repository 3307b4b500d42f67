#pragma once
// The messages of delta ADS as plain values: what the state machines of this folder speak, and what
// ads_codec.h turns into protobuf bytes and back. The seam at which simulations and tests plug in.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::xds {

enum class ResourceType : std::uint8_t {
  kAddress,        // istio.workload.Address: a workload or a service
  kAuthorization,  // istio.security.Authorization
};
inline constexpr int kResourceTypeCount = 2;

// "type.googleapis.com/istio.workload.Address"
std::string_view type_url(ResourceType type);
std::optional<ResourceType> type_of_url(std::string_view url);
// "Address", "Authorization": for logs and labels.
std::string_view type_name(ResourceType type);

// Who asks. `metadata` becomes string values of the node's Struct.
struct Node {
  std::string id{};
  std::map<std::string, std::string> metadata{};
  friend bool operator==(const Node&, const Node&) = default;
};

// envoy.service.discovery.v3.DeltaDiscoveryRequest
struct DeltaRequest {
  std::optional<Node> node{};  // on the first request of each type on a stream
  std::string type_url{};
  std::vector<std::string> subscribe{};
  std::vector<std::string> unsubscribe{};
  std::vector<std::pair<std::string, std::string>> initial_versions{};  // name, version; sorted
  std::string response_nonce{};                                         // empty: not an answer
  std::optional<std::string> error{};  // a NACK; what is wrong, naming resource and field
  friend bool operator==(const DeltaRequest&, const DeltaRequest&) = default;
};

struct RawResource {
  std::string name{};
  std::string version{};
  std::string type_url{};  // of the Any
  std::string bytes{};     // of the Any
  bool has_ttl = false;    // it asks to be forgotten after a time, which we do not do
  friend bool operator==(const RawResource&, const RawResource&) = default;
};

// envoy.service.discovery.v3.DeltaDiscoveryResponse
struct DeltaResponse {
  std::string system_version{};
  std::string type_url{};
  std::string nonce{};
  std::vector<RawResource> resources{};
  std::vector<std::string> removed{};
  friend bool operator==(const DeltaResponse&, const DeltaResponse&) = default;
};

}  // namespace mesh::xds
