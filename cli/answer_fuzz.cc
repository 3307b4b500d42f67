// What control, a ztunnel and an agent answer to the command line. The first byte chooses.

#include <cstdint>
#include <string>

#include "cli/control_client.h"
#include "cli/explain.h"
#include "cli/json.h"
#include "cli/kubernetes/plan.h"
#include "cli/kubernetes/proxy_config.h"
#include "cli/kubernetes/rollout.h"
#include "cli/kubernetes/wait.h"
#include "cli/kubernetes/waypoint.h"
#include "cli/lab/agent_client.h"
#include "cli/mesh_status.h"
#include "cli/ztunnel_config.h"
#include "mesh/base/check.h"

namespace {

using namespace mesh::cli;

void read_dump(DumpPart part, const std::string& dump) {
  const auto rows = dump_rows(part, dump);
  const auto json = dump_json(part, dump);
  MESH_CHECK(rows.has_value() == json.has_value());
  if (!rows) return;
  for (const auto& row : *rows) MESH_CHECK(row.size() == rows->front().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'S':
      (void)waiting_for({{.name = "control", .sync = parse_sync(text), .wanted = 7}});
      break;
    case 'W':
      (void)waiting_for({read_applied("control", text)});
      break;
    case 'E':
      if (const auto found = read_explanation(text)) MESH_CHECK(!found->json.empty());
      break;
    case 'A':
      (void)lab::agent_said(text);
      (void)lab::listed_uids(text);
      break;
    case 'P':
      for (const ProxyPart part :
           {ProxyPart::kCluster, ProxyPart::kListener, ProxyPart::kRoute, ProxyPart::kEndpoint,
            ProxyPart::kSecret, ProxyPart::kBootstrap, ProxyPart::kAll}) {
        const auto rows = proxy_rows(part, text);
        if (!rows) continue;
        for (const auto& row : *rows) MESH_CHECK(row.size() == rows->front().size());
      }
      break;
    case 'K': {  // an object of an API server, whatever it is
      const nlohmann::json object = parse_json(text);
      (void)progress_of(object);
      (void)trouble_of(object);
      (void)waypoint_state(object);
      MESH_CHECK(!differs(object, object));
      break;
    }
    default:
      for (const DumpPart part : {DumpPart::kWorkload, DumpPart::kService, DumpPart::kPolicy,
                                  DumpPart::kCertificate, DumpPart::kConnections}) {
        read_dump(part, text);
      }
  }
  return 0;
}
