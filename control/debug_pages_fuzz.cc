// Requests to port 15014 over a small world: 'R' a request as it comes; else what stands behind
// "GET /debug/explain?" of an operator who has the token.

#include <cstdint>
#include <memory>
#include <string>

#include "control/debug_pages.h"
#include "control/folder.h"
#include "mesh/admin/http_request.h"
#include "mesh/base/check.h"

namespace {

using namespace mesh;

constexpr const char* kToken = "0123456789abcdef";

constexpr std::string_view kWorld = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, serviceAccountName: web}
status: {phase: Running, podIP: 10.244.1.2, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.2, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [evil]}}]}]}
)";

control::DebugPages& pages() {
  static control::Hub hub({}, 1, [](std::uint64_t) {});
  static control::DebugPages made = [] {
    control::Folder folder;
    folder.put("world.yaml", manifest::parse("world.yaml", kWorld));
    hub.publish(std::make_shared<const control::World>(folder.settle()), folder.problems(), true);
    return control::DebugPages(hub, kToken);
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string text = data[0] == 'R' ? rest
                                          : "GET /debug/explain?" + rest +
                                                " HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " +
                                                kToken + "\r\n\r\n";
  const admin::Parsed parsed = admin::parse_request(text);
  if (parsed.result != admin::ParseResult::kDone) return 0;
  const control::HttpResponse response = pages().answer(parsed.request);
  const bool is_debug = parsed.request.path.starts_with("/debug/");
  if (is_debug && text.find(kToken) == text.npos) MESH_CHECK(response.status == 401);
  MESH_CHECK(response.status == 200 || !response.body.empty());
  return 0;
}
