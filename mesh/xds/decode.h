#pragma once
// decode: the wire's bytes to workload and policy values, and a complaint for each resource that is
// not understood in full.
//
// Reads the wire format itself (wire_reader.h), because what matters here is what a protobuf
// library hides: the field that we do not know.

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/policy/policy.h"
#include "mesh/workload/delta.h"
#include "mesh/xds/ads_message.h"

namespace mesh::xds {

inline constexpr std::string_view kAddressType = "type.googleapis.com/istio.workload.Address";
inline constexpr std::string_view kWorkloadType = "type.googleapis.com/istio.workload.Workload";
inline constexpr std::string_view kAuthorizationType =
    "type.googleapis.com/istio.security.Authorization";

struct DecodeOptions {
  // Namespaces whose policies may be global. An unusable policy of unknown scope denies everybody
  // if it is in one of these, else its own namespace.
  std::vector<std::string> root_namespaces = {"istio-system", "weft-system"};
};

// What is wrong with a resource, after the path of its field:
// "services[\"shop/web\"].ports[1].target_port: port 70000".
struct Complaint {
  std::string resource = {};
  std::string problem = {};
};

struct Decoded {
  workload::Delta delta = {};
  std::vector<Complaint> complaints = {};  // not empty: NACK

  // For the NACK's error_detail: "app/a: rules[0]…: an address of 3 bytes; …", at most 4 KiB.
  std::string nack_message() const;
};

// The resources of one response of type kAddressType (kWorkloadType is taken as well). The good
// ones are in the delta whatever the others are.
// Limits: those in mesh/xds/README.md; a resource beyond one of them is rejected.
Decoded decode_addresses(std::span<const RawResource> resources,
                         std::span<const std::string> removed);

// The resources of one response of type kAuthorizationType.
Decoded decode_authorizations(std::span<const RawResource> resources,
                              std::span<const std::string> removed,
                              const DecodeOptions& options = {});

}  // namespace mesh::xds
