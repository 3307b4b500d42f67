#include "cli/session.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/json.h"
#include "cli/kubernetes/replicas.h"
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

bool asks_cluster(const Session& session) {
  if (session.kubernetes || !session.kubeconfig.empty() || !session.context.empty()) return true;
  return session.lab.empty() && std::getenv("WEFT_LAB") == nullptr && lab::lab_names().empty();
}

Outcome<std::vector<ControlTarget>> control_targets(const Session& session) {
  if (!session.control.empty()) {
    TRY(ControlTarget named, control_at(session.control, session.token_file));
    return std::vector{std::move(named)};
  }
  if (asks_cluster(session)) {
    TRY(Cluster cluster, Cluster::open({session.kubeconfig, session.context}));
    return controls_of_cluster(cluster, session.weft_ns);
  }
  TRY(const lab::Record record, lab::find_lab(session.lab));
  if (!record.mesh) return problem("lab " + record.name + " runs without the mesh");
  return std::vector{control_of(record)};
}

}  // namespace mesh::cli
