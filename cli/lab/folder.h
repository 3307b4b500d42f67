#pragma once
// The run folder's manifests: what the control server reads and the lab writes.
//
// Each Pod, Service and Node has a file of its own there (pod.NAMESPACE.NAME.yaml, …), because the
// lab writes addresses and status into it. Every other object stays in the file it came in, on the
// lines it had: documents that moved out leave blank lines, so that errors name the right place.

#include <map>
#include <string>
#include <vector>

#include "cli/lab/document.h"
#include "cli/lab/model.h"
#include "cli/outcome.h"

namespace mesh::cli::lab {

// Copies `source` (manifests and everything else, at most 64 MiB) into FOLDER/source, and its
// manifests into FOLDER/manifests in the lab's arrangement.
Outcome<Done> copy_source(const std::string& source, const std::string& folder);

// Writes a manifest into `manifests` under its name, in the lab's arrangement.
Outcome<Done> put_manifest(const std::string& manifests, const std::string& file_name,
                           const std::string& text);

// `weft lab apply`: adds or replaces each object of a manifest, in a file of its own, wherever it
// was before. The new one is there before the old one goes, so that no policy is ever missing.
Outcome<Done> put_objects(const std::string& manifests, const std::string& file_name,
                          const std::string& text);

// Moves objects that somebody wrote straight into the folder to files of their own.
Outcome<Done> arrange(const std::string& manifests);

// Removes an object. Kind in any case, "pod" or "Pod". Errors: there is none.
Outcome<Done> remove_object(const std::string& manifests, const std::string& kind,
                            const std::string& ns, const std::string& name);

struct Contents {
  std::map<std::string, Pod> pods;  // by NAMESPACE/NAME
  std::map<std::string, Service> services;
  std::map<std::string, std::string> namespace_modes;  // istio.io/dataplane-mode of each Namespace
  std::vector<std::string> nodes;
  std::vector<std::string> problems;  // files that could not be read: their objects are missing
};
Contents read_contents(const std::string& manifests);

std::string pod_file(const std::string& manifests, const std::string& ns, const std::string& name);
std::string service_file(const std::string& manifests, const std::string& ns,
                         const std::string& name);
std::string node_file(const std::string& manifests, const std::string& name);

}  // namespace mesh::cli::lab
