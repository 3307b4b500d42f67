#pragma once
// An API server for tests: canned answers by method and target, and what was asked.

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/kubernetes/cluster.h"

namespace mesh::cli {

struct FakeServer {
  std::map<std::string, nlohmann::json> answers;  // "GET /api/v1/…"; a "code" makes it a refusal
  std::vector<std::string> asked;

  FakeServer() {
    add_kinds("v1", {{"Namespace", false}, {"Pod", true}, {"Service", true}, {"ConfigMap", true}});
    add_kinds("apps/v1", {{"Deployment", true}, {"DaemonSet", true}});
    add_kinds("gateway.networking.k8s.io/v1", {{"Gateway", true}, {"GatewayClass", false}});
  }

  void add_kinds(const std::string& api_version,
                 const std::vector<std::pair<std::string, bool>>& kinds) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [kind, namespaced] : kinds) {
      std::string plural;
      for (const char c : kind) plural += static_cast<char>(std::tolower(c));
      plural += plural.ends_with('s') ? "es" : "s";
      list.push_back({{"name", plural}, {"kind", kind}, {"namespaced", namespaced}});
    }
    const bool core = api_version.find('/') == std::string::npos;
    answers["GET " + std::string(core ? "/api/" : "/apis/") + api_version] = {{"resources", list}};
  }

  void refuse(const std::string& request, int code, const std::string& message) {
    answers[request] = {{"code", code}, {"message", message}};
  }

  Cluster cluster() {
    return Cluster(
        [this](const kube::HttpRequest& request) -> std::expected<std::string, kube::Status> {
          const std::string key = request.method + " " + request.target;
          asked.push_back(request.body.empty() ? key : key + " " + request.body);
          const auto found = answers.find(key);
          if (found == answers.end()) {
            return std::unexpected(kube::Status{
                .code = 404, .reason = "NotFound", .message = key, .retry_after_seconds = {}});
          }
          if (found->second.contains("code")) {
            return std::unexpected(kube::Status{.code = found->second["code"],
                                                .reason = "",
                                                .message = found->second["message"],
                                                .retry_after_seconds = {}});
          }
          return found->second.dump();
        });
  }
};

}  // namespace mesh::cli
