#pragma once
// Applied: has this state of an object reached every node? What `weft wait --for applied` asks each
// replica. Pure.

#include <optional>
#include <string>
#include <vector>

#include "control/hub.h"

namespace mesh::control {

struct AppliedQuestion {
  std::string kind, ns, name;
  std::string resource_version;  // empty: the object is gone
  std::uint64_t version = 0;     // of an earlier answer: the snapshot to wait for
};

struct Applied {
  bool known = false;         // it is in what this replica serves
  std::uint64_t version = 0;  // the snapshot that has it; 0 when not known
  // Nodes and waypoints with a stream here, by whether they have acknowledged it; and nodes with
  // enrolled pods and ready pods of waypoints whose stream, if they have one, is with another
  // replica.
  std::vector<std::string> current, pending, absent;
  std::string refused;  // why it will not be: our readers refuse it
  bool is_kind = true;  // false: no such kind is read here
};

// The ConfigMap with the mesh's configuration: "NAMESPACE/NAME", and its resourceVersion here; "":
// it is not there; none: nobody knows yet.
struct MeshMapVersion {
  std::string name;
  std::optional<std::string> version;
};

// It is applied when every replica knows it, none has it pending, and every node that is absent
// from one is current with another.
Applied applied(const Hub& hub, const AppliedQuestion& question,
                const std::optional<MeshMapVersion>& mesh = {});

}  // namespace mesh::control
