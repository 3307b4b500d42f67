#include "cli/kubernetes/ca.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/json.h"
#include "cli/table.h"
#include "mesh/kube/write.h"

namespace mesh::cli {

using Json = nlohmann::json;

namespace {

std::string time_of(const Json& page, const char* key) {
  const std::int64_t seconds = std::strtoll(text(page, key).c_str(), nullptr, 10);
  return seconds == 0 ? "" : kube::timestamp(seconds);
}

std::string what_signs(const Json& page) {
  return flag(page, "pluggedIn") ? "plugged in (Secret cacerts)" : "our root (Secret weft-ca)";
}

}  // namespace

int ca_status(const Session& session) {
  const auto controls = control_targets(session);
  if (!controls) return complain(controls.error());
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows = {
      {"REPLICA", "AUTHORITY", "STATE", "SINCE", "EXPIRES", "VERSION", "PROBLEM"}};
  std::set<std::string> versions;
  bool well = true;
  for (const ControlTarget& control : *controls) {
    const auto answer = control_get(control, "/debug/ca");
    if (!answer) return complain(answer.error());
    const Json page = parse_json(*answer);
    const std::string trouble = text(page, "problem");
    const std::string version = text(page, "resourceVersion");
    well = well && trouble.empty();
    versions.insert(version);
    rows.push_back({control.name, what_signs(page), text(page, "state"), time_of(page, "since"),
                    time_of(page, "expires"), version, trouble});
    list.push_back({{"replica", control.name},
                    {"pluggedIn", flag(page, "pluggedIn")},
                    {"state", text(page, "state")},
                    {"since", time_of(page, "since")},
                    {"expires", time_of(page, "expires")},
                    {"resourceVersion", version},
                    {"problem", trouble}});
  }
  print(session, list, table(rows));
  return well && versions.size() == 1 ? kOk : kFindings;
}

int ca_rotate(const Session& session) {
  const auto controls = control_targets(session);
  if (!controls) return complain(controls.error());
  const auto answer = control_post(controls->front(), "/debug/ca/rotate");
  if (!answer) return complain(answer.error());
  print(session, {{"asked", controls->front().name}},
        "asked for a new root: it is trusted everywhere before it signs; weft ca status says how "
        "far that is\n");
  return kOk;
}

}  // namespace mesh::cli
