#include "control/kubernetes/acknowledged.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control::kubernetes {

TEST_CASE("a rotation waits, by name, for ConfigMaps and for nodes with certificates from before") {
  const std::string a = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n";
  const std::string b = "-----BEGIN CERTIFICATE-----\nB\n-----END CERTIFICATE-----\n";
  Snapshot snapshot;
  NodePods pods;
  pods.accounts["shop/web"] = 2;
  snapshot.nodes.set("n1", std::make_shared<const NodePods>(pods));
  ca::Holders holders;
  const auto issued = [&](const std::string& holder, const char* account,
                          const std::string& roots) {
    holders.issued(holder, std::string("spiffe://cluster.local/ns/shop/sa/") + account,
                   ca::bundle_of(roots), 1000);
  };
  const auto waiting = [&](const std::vector<Write>& maps, std::int64_t now = 10) {
    return unacknowledged(snapshot, a + b, maps, holders, now);
  };
  CHECK(waiting({}).empty());

  Write map;
  map.target.ns = "late";
  map.target.name = "istio-ca-root-cert";
  REQUIRE(waiting({map}).size() == 1);
  CHECK(waiting({map})[0].who == "namespace late");
  CHECK(waiting({map})[0].what == "ConfigMap istio-ca-root-cert is not written");

  issued("node n1", "web", a);
  issued("node n1", "gone", a);  // no pod of that account is there any more
  issued("node n2", "web", a);   // nor any pod at all
  REQUIRE(waiting({}).size() == 1);
  CHECK(waiting({})[0].who == "node n1");
  CHECK(waiting({})[0].what == "1 certificates from before spiffe://cluster.local/ns/shop/sa/web");
  issued("node n1", "web", a + b);
  CHECK(waiting({}).empty());

  // A waypoint is no node: it is waited for until its certificate ends.
  issued("shop/waypoint waypoint-0", "waypoint", a);
  CHECK(waiting({}).size() == 1);
  CHECK(waiting({}, 1000).empty());
}

}  // namespace mesh::control::kubernetes
