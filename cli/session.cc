#include "cli/session.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/json.h"
#include "cli/kubernetes/replicas.h"
#include "cli/lab/network.h"
#include "cli/lab/process.h"
#include "cli/template/yaml.h"

namespace mesh::cli {

void print(const Session& session, const nlohmann::json& value, const std::string& table) {
  if (session.output == "table") {
    std::fputs(table.c_str(), stdout);
  } else if (session.output == "json") {
    std::printf("%s\n", to_text(value, 2).c_str());
  } else {
    std::printf("%s\n", to_yaml(value).c_str());
  }
}

int complain(const std::string& sentence) {
  std::fprintf(stderr, "weft: %s\n", sentence.c_str());
  return kFailed;
}

namespace {

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

// The lab on Kubernetes that is meant, if one is.
std::optional<lab::Record> lab_on_kubernetes(const Session& session) {
  const bool other = !session.kubeconfig.empty() || (is_set("KUBECONFIG") && !is_set("WEFT_LAB"));
  if (session.lab.empty() && other) return {};
  auto record = lab::find_lab(session.lab);
  if (!record || record->kubeconfig.empty()) return {};
  return *std::move(record);
}

}  // namespace

Outcome<Cluster> open_cluster(const Session& session) {
  const auto lab = lab_on_kubernetes(session);
  if (!lab) return Cluster::open({session.kubeconfig, session.context});
  TRY_DO(lab::enter({.netns = lab::netns_path(lab->link_netns)}));
  return Cluster::open({lab->kubeconfig, session.context});
}

bool asks_cluster(const Session& session) {
  if (lab_on_kubernetes(session)) return true;
  if (session.kubernetes || !session.kubeconfig.empty() || !session.context.empty()) return true;
  if (!session.lab.empty() || is_set("WEFT_LAB")) return false;
  return is_set("KUBECONFIG") || lab::lab_names().empty();
}

Outcome<std::vector<ControlTarget>> control_targets(const Session& session) {
  if (!session.control.empty()) {
    TRY(ControlTarget named, control_at(session.control, session.token_file));
    return std::vector{std::move(named)};
  }
  if (asks_cluster(session)) {
    TRY(Cluster cluster, open_cluster(session));
    return controls_of_cluster(cluster, session.weft_ns);
  }
  TRY(const lab::Record record, lab::find_lab(session.lab));
  if (!record.mesh) return problem("lab " + record.name + " runs without the mesh");
  return std::vector{control_of(record)};
}

}  // namespace mesh::cli
