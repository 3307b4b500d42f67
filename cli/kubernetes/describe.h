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

// What is to be said of an object, from what there is; null when there is no such object. And as
// text. Pure.
nlohmann::json pod_facts(const Inventory& all, const std::string& ns, const std::string& name);
std::string pod_text(const nlohmann::json& facts);
nlohmann::json service_facts(const Inventory& all, const std::string& ns, const std::string& name);
std::string service_text(const nlohmann::json& facts);
std::string authz_text(const nlohmann::json& policies);

}  // namespace mesh::cli
