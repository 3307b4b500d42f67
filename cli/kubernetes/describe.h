#pragma once
// `weft describe`, `weft authz check`, `weft status`: what the mesh does with a pod, a service, and
// how Weft is.

#include <string>

#include "cli/analyze/inventory.h"
#include "cli/session.h"

namespace mesh::cli {

int describe_pod(const Session& session, const std::string& name);
int describe_service(const Session& session, const std::string& name);
int authz_check(const Session& session, const std::string& pod);
int status(const Session& session);

// The text, from what there is. "" when there is no such object. Pure.
std::string pod_text(const Inventory& all, const std::string& ns, const std::string& name);
std::string service_text(const Inventory& all, const std::string& ns, const std::string& name);
std::string authz_text(const Inventory& all, const manifest::Pod& pod);

}  // namespace mesh::cli
