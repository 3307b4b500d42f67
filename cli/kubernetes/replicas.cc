#include "cli/kubernetes/replicas.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "mesh/base/base64.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

constexpr const char* kDebugSecret = "weft-debug-token";
const kube::ResourceType kSecrets{"", "v1", "secrets", true};

}  // namespace

Outcome<std::vector<ControlTarget>> controls_of_cluster(Cluster& cluster, const std::string& ns) {
  TRY(const std::vector<Json> pods, cluster.list(kPods.path(ns), "app=weft-control"));
  TRY(const Json secret, cluster.get(kSecrets.path(ns, kDebugSecret)));
  const auto token = base64_decode(text(member(secret, "data"), "token"));
  const auto shared = std::make_shared<Cluster>(cluster);
  std::vector<ControlTarget> targets;
  for (const Json& pod : pods) {
    const bool ends = member(member(pod, "metadata"), "deletionTimestamp").is_string();
    if (ends || text(member(pod, "status"), "phase") != "Running") continue;
    if (!token || token->empty()) {
      return problem("Secret " + ns + "/" + kDebugSecret + " holds no token yet");
    }
    targets.push_back({.name = name_of(pod),
                       .ask = [shared, page = PodPage{.ns = ns,
                                                      .pod = name_of(pod),
                                                      .port = kDebugPort,
                                                      .path = {},
                                                      .bearer_token = *token}](
                                  HttpMethod method, const std::string& path) mutable {
                         page.method = method;
                         page.path = path;
                         return shared->pod_answer(page);
                       }});
  }
  if (targets.empty()) return problem("no weft-control runs in " + ns);
  return targets;
}

}  // namespace mesh::cli
