#pragma once
// `weft analyze`: what in manifests, or in a cluster, does not do what its author must have meant.

#include <string>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

struct AnalyzeOptions {
  std::vector<std::string> files = {};  // or folders; "-" is standard input; none: the cluster
  bool with_cluster = false;            // files as if they were applied to the cluster
  bool all_namespaces = false;
};

// Exit codes: kOk; kFindings: there are errors or warnings; kFailed.
int analyze(const Session& session, const AnalyzeOptions& options);

}  // namespace mesh::cli
