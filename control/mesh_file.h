#pragma once
// MeshFile: the file with the mesh's configuration (`--mesh-config`), followed. Looked at four
// times a second, through links (a mounted ConfigMap is replaced by one); what differs is read once
// it has rested for 100 ms, so that no half of it is.
//
// Its last good text is kept in another file: what broke meanwhile, or just before, falls back on
// that at the next start, too.
//
// Threads: one of its own, which calls `changed`; the rest from any thread. Limit: 4 MiB.

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "control/mesh_state.h"

namespace mesh::control {

class MeshFile {
 public:
  // Reads the file once, calls `changed`, then again after each change.
  // Errors: what is wrong with it, if it is not good and no earlier one is kept.
  static std::expected<std::unique_ptr<MeshFile>, std::string> open(
      std::string path, std::string kept, std::function<void(const MeshState&)> changed);
  ~MeshFile();
  MeshFile(const MeshFile&) = delete;
  MeshFile& operator=(const MeshFile&) = delete;

  // Takes in what was written until now: returns when `changed` was called for it, or after
  // `timeout_ms`.
  void settle(int timeout_ms);

 private:
  struct Follow;
  explicit MeshFile(std::unique_ptr<Follow> follow);
  std::unique_ptr<Follow> follow_;
};

}  // namespace mesh::control
