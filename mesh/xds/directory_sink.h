#pragma once
// DirectorySink: turns discovery responses into Directories, one after the other.

#include <span>
#include <string>
#include <vector>

#include "mesh/workload/directory.h"
#include "mesh/xds/ads_state.h"
#include "mesh/xds/decode.h"

namespace mesh::xds {

class DirectorySink final : public ResourceSink {
 public:
  explicit DirectorySink(DecodeOptions options = {}) : options_(std::move(options)) {}

  std::vector<Rejection> take(ResourceType type, std::span<const RawResource> resources,
                              std::span<const std::string> removed) override;

  // As of the last response taken; null before the first.
  const workload::DirectoryPtr& directory() const { return directory_; }

 private:
  DecodeOptions options_;
  workload::DirectoryPtr directory_;
};

}  // namespace mesh::xds
