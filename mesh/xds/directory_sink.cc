#include "mesh/xds/directory_sink.h"

#include <utility>

namespace mesh::xds {

std::vector<Rejection> DirectorySink::take(ResourceType type,
                                           std::span<const RawResource> resources,
                                           std::span<const std::string> removed) {
  const bool addresses = type == ResourceType::kAddress;
  Decoded decoded = addresses ? decode_addresses(resources, removed)
                              : decode_authorizations(resources, removed, options_);
  // Delta discovery's first response of a type holds all there is of it.
  (addresses ? decoded.delta.addresses_complete : decoded.delta.policies_complete) = true;
  order_.take(decoded.delta, ++taken_, now_);

  std::vector<Rejection> rejections;
  for (Complaint& complaint : decoded.complaints) {
    rejections.push_back({type, std::move(complaint.resource), std::move(complaint.problem)});
  }
  return rejections;
}

}  // namespace mesh::xds
