#include <catch2/catch_test_macros.hpp>

#include "envoy/cluster.pb.h"
#include "envoy/endpoint.pb.h"
#include "envoy/jwt_authn.pb.h"
#include "envoy/udpa.pb.h"
#include "mesh/xds/envoy_schema.h"

namespace mesh::xds {
namespace {

TEST_CASE("JSON of numbers, enums, durations, wrappers and bytes is the canonical one") {
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name("a \"b\"\n");
  cluster.set_type(envoy::config::cluster::v3::Cluster::EDS);
  cluster.mutable_connect_timeout()->set_seconds(10);
  cluster.mutable_dns_refresh_rate()->set_nanos(250'000'000);
  cluster.mutable_max_requests_per_connection()->set_value(0);
  cluster.mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(2.5);
  cluster.mutable_ring_hash_lb_config()->mutable_minimum_ring_size()->set_value(1'024);
  CHECK(to_json("envoy.config.cluster.v3.Cluster", cluster.SerializeAsString()) ==
        R"({"name":"a \"b\"\u000a","type":"EDS","connectTimeout":"10s",)"
        R"("maxRequestsPerConnection":0,"dnsRefreshRate":"0.250s",)"
        R"("ringHashLbConfig":{"minimumRingSize":"1024"},)"
        R"("commonLbConfig":{"healthyPanicThreshold":{"value":2.5}}})");
}

TEST_CASE("JSON of maps, structs and an Any") {
  envoy::config::endpoint::v3::LbEndpoint endpoint;
  auto& metadata = *endpoint.mutable_metadata()->mutable_filter_metadata();
  (*metadata["istio"].mutable_fields())["workload"].set_string_value("web;shop");
  CHECK(to_json("envoy.config.endpoint.v3.LbEndpoint", endpoint.SerializeAsString()) ==
        R"({"metadata":{"filterMetadata":{"istio":{"workload":"web;shop"}}}})");

  weft::wire::Any any;
  any.set_type_url("type.googleapis.com/udpa.type.v1.TypedStruct");
  udpa::type::v1::TypedStruct typed;
  typed.set_type_url("type.googleapis.com/a.B");
  (*typed.mutable_value()->mutable_fields())["on"].set_bool_value(true);
  (*typed.mutable_value()->mutable_fields())["n"].set_number_value(3);
  (*typed.mutable_value()->mutable_fields())["l"].mutable_list_value();
  any.set_value(typed.SerializeAsString());
  CHECK(to_json("google.protobuf.Any", any.SerializeAsString()) ==
        R"({"@type":"type.googleapis.com/udpa.type.v1.TypedStruct",)"
        R"("typeUrl":"type.googleapis.com/a.B","value":{"l":[],"n":3,"on":true}})");
}

TEST_CASE("a field that had to be renamed keeps its JSON name") {
  envoy::extensions::filters::http::jwt_authn::v3::RequirementRule rule;
  rule.mutable_required()->set_provider_name("p");
  CHECK(to_json("envoy.extensions.filters.http.jwt_authn.v3.RequirementRule",
                rule.SerializeAsString()) == R"({"requires":{"providerName":"p"}})");
}

TEST_CASE("bytes that are no message have no JSON") {
  CHECK(to_json("envoy.config.cluster.v3.Cluster", "\xff").empty());
  CHECK(to_json("a.B", "").empty());
}

}  // namespace
}  // namespace mesh::xds
