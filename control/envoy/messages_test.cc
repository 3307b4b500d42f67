#include "control/envoy/messages.h"

#include <catch2/catch_test_macros.hpp>

#include "control/envoy/waypoint_hub.h"
#include "discovery.pb.h"

namespace mesh::control {
namespace {

namespace wire = envoy::service::discovery::v3;

TEST_CASE("a waypoint's id says its pod") {
  const auto node = parse_waypoint_id("waypoint~10.0.0.9~waypoint-0.shop~shop.svc.cluster.local");
  REQUIRE(node);
  CHECK(node->pod == "waypoint-0");
  CHECK(node->ns == "shop");
  for (const char* id : {"", "waypoint~", "ztunnel~1~p.n~d", "waypoint~1", "waypoint~1~pod~d",
                         "waypoint~1~.n~d", "waypoint~1~p.~d"}) {
    INFO(id);
    CHECK_FALSE(parse_waypoint_id(id));
  }
}

TEST_CASE("requests of both kinds are read, and a folder of secrets is an absolute path") {
  wire::DeltaDiscoveryRequest delta;
  delta.mutable_node()->set_id("waypoint~1~p.n~d");
  auto& metadata = *delta.mutable_node()->mutable_metadata()->mutable_fields();
  metadata["WEFT_SDS_FOLDER"].set_string_value("/s");
  CHECK_FALSE(decode_envoy_request(true, delta.SerializeAsString())->checks_through_tunnels);
  metadata["WEFT_HEALTH_CHECKS"].set_string_value("tunnels");
  delta.add_resource_names_subscribe("a");
  delta.set_response_nonce("7");
  delta.mutable_error_detail()->set_message("no");
  const auto read = decode_envoy_request(true, delta.SerializeAsString());
  REQUIRE(read);
  CHECK(read->node_id == "waypoint~1~p.n~d");
  CHECK(read->sds_folder == "/s");
  CHECK(read->checks_through_tunnels);
  CHECK(read->request.subscribe == std::vector<std::string>{"a"});
  CHECK(read->request.error == "no");
  for (const char* folder : {"s", "/a/../b", ""}) {
    metadata["WEFT_SDS_FOLDER"].set_string_value(folder);
    CHECK(decode_envoy_request(true, delta.SerializeAsString())->sds_folder.empty());
  }

  wire::DiscoveryRequest whole;
  whole.add_resource_names("b");
  CHECK(decode_envoy_request(false, whole.SerializeAsString())->request.names ==
        std::vector<std::string>{"b"});
  CHECK_FALSE(decode_envoy_request(true, "\xff"));
}

TEST_CASE("a proxy is its pod's waypoint, under the pod's own service account alone") {
  manifest::Gateway gateway;
  gateway.metadata.ns = "shop";
  gateway.metadata.name = "waypoint";
  gateway.class_name = "weft-waypoint";
  manifest::Pod pod;
  pod.metadata.ns = "shop";
  pod.metadata.name = "waypoint-0";
  pod.metadata.labels["gateway.networking.k8s.io/gateway-name"] = "waypoint";
  pod.service_account = "waypoint";
  Objects objects;
  for (const manifest::Object& object : {manifest::Object(gateway), manifest::Object(pod)}) {
    objects[manifest::key_of(object)] = std::make_shared<const manifest::Object>(object);
  }
  const World world(objects);
  const auto is = [&](const char* ns, const char* account, const char* pod_name) {
    return gateway_of(world, {.node = {}, .ns = ns, .service_account = account},
                      {.pod = pod_name, .ns = "shop", .sds_folder = {}}) != nullptr;
  };
  CHECK(is("shop", "waypoint", "waypoint-0"));
  CHECK_FALSE(is("shop", "web", "waypoint-0"));
  CHECK_FALSE(is("other", "waypoint", "waypoint-0"));
  CHECK_FALSE(is("shop", "waypoint", "waypoint-1"));
}

TEST_CASE("who says to be somebody else's proxy is refused") {
  wire::DeltaDiscoveryRequest request;
  request.set_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster");
  WaypointConversation conversation({.node = {}, .ns = "shop", .service_account = "waypoint"}, true,
                                    [] {});
  CHECK(conversation.receive(request.SerializeAsString()) == "the first request has no node");
  request.mutable_node()->set_id("waypoint~1~waypoint-0.other~d");
  CHECK(conversation.receive(request.SerializeAsString()) ==
        "shop/waypoint may not be the waypoint other/waypoint-0");
  // A token says whose it is.
  WaypointConversation bound(
      {.node = {}, .ns = "shop", .service_account = "waypoint", .pod = "waypoint-1"}, true, [] {});
  request.mutable_node()->set_id("waypoint~1~waypoint-0.shop~d");
  CHECK(bound.receive(request.SerializeAsString()) ==
        "shop/waypoint waypoint-1 may not be the waypoint shop/waypoint-0");
  CHECK_FALSE(bound.node());
  request.mutable_node()->set_id("waypoint~1~waypoint-1.shop~d");
  CHECK_FALSE(bound.receive(request.SerializeAsString()));
  request.mutable_node()->set_id("sidecar~1~p.shop~d");
  CHECK(conversation.receive(request.SerializeAsString()));
  request.mutable_node()->set_id("waypoint~1~waypoint-0.shop~d");
  CHECK_FALSE(conversation.receive(request.SerializeAsString()));
  CHECK(conversation.node());
}

}  // namespace
}  // namespace mesh::control
