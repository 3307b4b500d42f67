#include "waypoint/assembly.h"

#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "envoy/cluster.pb.h"
#include "envoy/endpoint.pb.h"
#include "envoy/http_connection_manager.pb.h"
#include "envoy/http_rbac.pb.h"
#include "envoy/listener.pb.h"
#include "envoy/network_inputs.pb.h"
#include "envoy/route.pb.h"
#include "envoy/tls.pb.h"
#include "envoy/xds_matcher.pb.h"

namespace mesh::waypoint {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tls_proto = envoy::extensions::transport_sockets::tls::v3;
namespace inputs = envoy::extensions::matching::common_inputs::network::v3;

constexpr const char* kTarget = "10.96.0.1:80";

void pack(auto& any, const char* type, const auto& message) {
  any.set_type_url(std::string("type.googleapis.com/") + type);
  any.set_value(message.SerializeAsString());
}

struct MainOptions {
  std::string cluster = "a";
  std::string rds = {};        // instead of inline routes
  std::string extension = {};  // a filter that comes by name
  bool broken = false;         // its rules name nobody
};

void add_filters(hcm::HttpConnectionManager& manager, const MainOptions& options) {
  if (options.broken) {
    envoy::extensions::filters::http::rbac::v3::RBAC rules;
    (*rules.mutable_rules()->mutable_policies())["p"].add_permissions()->set_any(true);
    auto* filter = manager.add_http_filters();
    filter->set_name("rbac");
    pack(*filter->mutable_typed_config(), "envoy.extensions.filters.http.rbac.v3.RBAC", rules);
  }
  if (!options.extension.empty()) {
    auto* filter = manager.add_http_filters();
    filter->set_name(options.extension);
    filter->mutable_config_discovery();
  }
}

void add_route(envoy::config::route::v3::RouteConfiguration& routes, const std::string& cluster) {
  auto* host = routes.add_virtual_hosts();
  host->set_name("v");
  host->add_domains("*");
  auto* route = host->add_routes();
  route->mutable_match()->set_prefix("/");
  route->mutable_route()->set_cluster(cluster);
}

std::string main_listener(const MainOptions& options = {}) {
  hcm::HttpConnectionManager manager;
  add_filters(manager, options);
  if (options.rds.empty()) {
    add_route(*manager.mutable_route_config(), options.cluster);
  } else {
    manager.mutable_rds()->set_route_config_name(options.rds);
  }
  envoy::config::listener::v3::Listener listener;
  listener.set_name("main_internal");
  auto* chain = listener.add_filter_chains();
  chain->set_name("c");
  pack(*chain->add_filters()->mutable_typed_config(),
       "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
       manager);
  weft::wire::StringValue name;
  name.set_value("c");
  ::xds::type::matcher::v3::Matcher by_port;
  auto* port = by_port.mutable_matcher_tree();
  pack(*port->mutable_input()->mutable_typed_config(),
       "envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput",
       inputs::DestinationPortInput());
  pack(*(*port->mutable_exact_match_map()->mutable_map())["80"]
            .mutable_action()
            ->mutable_typed_config(),
       "google.protobuf.StringValue", name);
  ::xds::type::matcher::v3::IPMatcher by_ip;
  auto* range = by_ip.add_range_matchers();
  range->add_ranges()->set_address_prefix("10.96.0.1");
  range->mutable_ranges(0)->mutable_prefix_len()->set_value(32);
  *range->mutable_on_match()->mutable_matcher() = by_port;
  auto* tree = listener.mutable_filter_chain_matcher()->mutable_matcher_tree();
  pack(*tree->mutable_input()->mutable_typed_config(),
       "envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput",
       inputs::DestinationIPInput());
  pack(*tree->mutable_custom_match()->mutable_typed_config(), "xds.type.matcher.v3.IPMatcher",
       by_ip);
  return listener.SerializeAsString();
}

std::string terminate_listener() {
  tls_proto::DownstreamTlsContext tls;
  tls.mutable_require_client_certificate()->set_value(true);
  tls.mutable_common_tls_context()
      ->mutable_combined_validation_context()
      ->mutable_validation_context_sds_secret_config()
      ->set_name("ROOTCA");
  envoy::config::listener::v3::Listener listener;
  listener.set_name("connect_terminate");
  pack(*listener.add_filter_chains()->mutable_transport_socket()->mutable_typed_config(),
       "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", tls);
  return listener.SerializeAsString();
}

std::string cluster(const std::string& name, const std::string& eds = {}) {
  envoy::config::cluster::v3::Cluster made;
  made.set_name(name);
  made.set_type(envoy::config::cluster::v3::Cluster::EDS);
  made.mutable_eds_cluster_config()->set_service_name(eds);
  return made.SerializeAsString();
}

std::string endpoints(const std::string& name) {
  envoy::config::endpoint::v3::ClusterLoadAssignment made;
  made.set_cluster_name(name);
  auto* address = made.add_endpoints()
                      ->add_lb_endpoints()
                      ->mutable_endpoint()
                      ->mutable_address()
                      ->mutable_socket_address();
  address->set_address("10.244.0.1");
  address->set_port_value(80);
  return made.SerializeAsString();
}

std::string routes(const std::string& name, const std::string& to) {
  envoy::config::route::v3::RouteConfiguration made;
  made.set_name(name);
  add_route(made, to);
  return made.SerializeAsString();
}

struct Told {
  Assembly assembly = {};
  std::uint64_t number = 0;

  std::vector<Refused> take(EnvoyType type, const std::string& name, const std::string& bytes) {
    const std::vector<xds::RawResource> one = {
        {.name = name, .version = "1", .type_url = std::string(type_url(type)), .bytes = bytes}};
    return assembly.take(type, one, {});
  }
  void remove(EnvoyType type, const std::string& name) {
    const std::vector<std::string> names = {name};
    CHECK(assembly.take(type, {}, names).empty());
  }
  config::SnapshotPtr build() { return assembly.build(++number, "v"); }
  // The cluster that requests for the service go to; empty: they go nowhere.
  std::string target() {
    const auto snapshot = build();
    const auto destination = snapshot->find(*net::SocketAddress::parse(kTarget));
    if (!snapshot->ready || !destination.http || !destination.http->http->routes) return {};
    const auto& route = destination.http->http->routes->hosts.at(0).routes.at(0);
    return std::get<config::Forward>(route->action).targets.at(0).cluster;
  }
  config::HttpChain chain() {
    return *build()->find(*net::SocketAddress::parse(kTarget)).http->http;
  }
  // Everything for one service.
  void take_all(const MainOptions& options = {}) {
    CHECK(take(EnvoyType::kListener, "connect_terminate", terminate_listener()).empty());
    CHECK(take(EnvoyType::kCluster, "a", cluster("a")).empty());
    CHECK(take(EnvoyType::kEndpoints, "a", endpoints("a")).empty());
    CHECK(take(EnvoyType::kListener, "main_internal", main_listener(options)).empty());
    build();  // each response is followed by one
  }
};

TEST_CASE("nothing is ready before both listeners and the endpoints of what they name are there") {
  Told told;
  CHECK_FALSE(told.build()->ready);
  told.take(EnvoyType::kListener, "main_internal", main_listener());
  told.take(EnvoyType::kCluster, "a", cluster("a"));
  CHECK_FALSE(told.build()->ready);
  CHECK(told.assembly.waiting_for() == "endpoints of a");
  CHECK(told.assembly.wanted(EnvoyType::kEndpoints) == std::set<std::string>{"a"});
  told.take(EnvoyType::kEndpoints, "a", endpoints("a"));
  CHECK_FALSE(told.build()->ready);
  told.take(EnvoyType::kListener, "connect_terminate", terminate_listener());
  CHECK(told.target() == "a");
  CHECK(told.assembly.waiting_for().empty());
}

TEST_CASE("a listener waits for the endpoints of its clusters, and the old one stays") {
  Told told;
  told.take_all();
  told.take(EnvoyType::kCluster, "b", cluster("b"));
  told.take(EnvoyType::kListener, "main_internal", main_listener({.cluster = "b"}));
  CHECK(told.target() == "a");
  CHECK(told.assembly.waiting_for() == "endpoints of b");
  told.take(EnvoyType::kEndpoints, "b", endpoints("b"));
  CHECK(told.target() == "b");
  // One that nobody sent holds nobody up: its requests are told so.
  told.take(EnvoyType::kListener, "main_internal", main_listener({.cluster = "nobody"}));
  CHECK(told.target() == "nobody");
  CHECK(told.build()->cluster("nobody") == nullptr);
}

TEST_CASE("a cluster is used from when its endpoints are known") {
  Told told;
  told.take_all();
  told.take(EnvoyType::kCluster, "a", cluster("a", "other"));
  CHECK(told.build()->cluster("a")->eds_name.empty());
  told.take(EnvoyType::kEndpoints, "other", endpoints("other"));
  CHECK(told.build()->cluster("a")->eds_name == "other");
}

std::string secret(const std::string& name, const std::string& pem) {
  tls_proto::Secret made;
  made.set_name(name);
  auto& certificate = *made.mutable_tls_certificate();
  certificate.mutable_certificate_chain()->set_inline_bytes(pem);
  certificate.mutable_private_key()->set_inline_string("key");
  return made.SerializeAsString();
}

// Of endpoints outside the mesh that are shown the certificate "own".
std::string cluster_with_secret(const std::string& name) {
  envoy::config::cluster::v3::Cluster made;
  made.set_name(name);
  tls_proto::UpstreamTlsContext tls;
  tls.mutable_common_tls_context()->add_tls_certificate_sds_secret_configs()->set_name("own");
  pack(*made.mutable_transport_socket()->mutable_typed_config(),
       "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", tls);
  return made.SerializeAsString();
}

TEST_CASE("a cluster and who names it wait for its secrets, and the last good one stays") {
  Told told;
  told.take_all();
  told.take(EnvoyType::kCluster, "b", cluster_with_secret("b"));
  told.take(EnvoyType::kListener, "main_internal", main_listener({.cluster = "b"}));
  CHECK(told.assembly.wanted(EnvoyType::kSecret) == std::set<std::string>{"own"});
  CHECK(told.target() == "a");
  CHECK(told.assembly.waiting_for() == "secrets of b");
  CHECK(told.assembly.waits_for_secrets());
  SECTION("until they come") {
    CHECK(told.take(EnvoyType::kSecret, "own", secret("own", "pem")).empty());
    CHECK(told.target() == "b");
    CHECK_FALSE(told.assembly.waits_for_secrets());
    CHECK(told.build()->cluster("b")->tls->certificate_pem == "pem");
    CHECK(told.take(EnvoyType::kSecret, "own", secret("own", "")).size() == 1);
    told.remove(EnvoyType::kSecret, "own");
    CHECK(told.build()->cluster("b")->tls->certificate_pem == "pem");
    CHECK(told.take(EnvoyType::kSecret, "own", secret("own", "new")).empty());
    CHECK(told.build()->cluster("b")->tls->certificate_pem == "new");
  }
  SECTION("or control says that there is none") { told.remove(EnvoyType::kSecret, "own"); }
  SECTION("or nobody waits any longer") { told.assembly.give_up_secrets(); }
  CHECK(told.target() == "b");
  CHECK_FALSE(told.assembly.waits_for_secrets());
  const bool came = told.assembly.kept().contains(EnvoyType::kSecret) &&
                    told.assembly.kept().at(EnvoyType::kSecret).contains("own");
  CHECK((told.build()->cluster("b") != nullptr) == came);
}

TEST_CASE("what is refused changes nothing") {
  Told told;
  told.take_all();
  const auto refused =
      told.take(EnvoyType::kListener, "main_internal", main_listener({.broken = true}));
  REQUIRE(refused.size() == 1);
  CHECK(refused[0].error.contains("without principals"));
  CHECK(told.target() == "a");
  CHECK(told.chain().filters.empty());
  CHECK(told.take(EnvoyType::kCluster, "a", "\xff").size() == 1);
  CHECK(told.take(EnvoyType::kEndpoints, "a", "\xff").size() == 1);
  CHECK(told.build()->endpoints_of(*told.build()->cluster("a"))->all.size() == 1);
  CHECK(told.take(EnvoyType::kSecret, "x", "").size() == 1);
  CHECK(told.take(EnvoyType::kSecret, "x", "\xff").size() == 1);
}

TEST_CASE("a broken chain without a good one before it refuses everything") {
  Told told;
  told.take(EnvoyType::kListener, "connect_terminate", terminate_listener());
  told.take(EnvoyType::kListener, "main_internal", main_listener({.broken = true}));
  CHECK(told.build()->ready);
  const config::HttpChain chain = told.chain();
  REQUIRE(chain.filters.size() == 1);
  CHECK(std::holds_alternative<config::UnavailableFilter>(chain.filters[0].settings));
}

TEST_CASE("routes that come by name are waited for, and replaced without the listener") {
  Told told;
  told.take_all({.rds = "r"});
  CHECK_FALSE(told.build()->ready);
  CHECK(told.assembly.waiting_for() == "routes r");
  CHECK(told.assembly.wanted(EnvoyType::kRoutes) == std::set<std::string>{"r"});
  told.take(EnvoyType::kRoutes, "r", routes("r", "a"));
  CHECK(told.target() == "a");
  told.take(EnvoyType::kCluster, "b", cluster("b"));
  told.take(EnvoyType::kEndpoints, "b", endpoints("b"));
  told.take(EnvoyType::kRoutes, "r", routes("r", "b"));
  CHECK(told.target() == "b");
}

TEST_CASE("a filter that comes by name refuses until it is there") {
  Told told;
  told.take_all({.extension = "x"});
  CHECK(told.assembly.wanted(EnvoyType::kExtension) == std::set<std::string>{"x"});
  CHECK(std::holds_alternative<config::UnavailableFilter>(told.chain().filters.at(0).settings));
  envoy::extensions::filters::http::rbac::v3::RBAC rules;
  auto& policy = (*rules.mutable_rules()->mutable_policies())["p"];
  policy.add_permissions()->set_any(true);
  policy.add_principals()->set_any(true);
  envoy::config::core::v3::TypedExtensionConfig extension;
  extension.set_name("x");
  pack(*extension.mutable_typed_config(), "envoy.extensions.filters.http.rbac.v3.RBAC", rules);
  CHECK(told.take(EnvoyType::kExtension, "x", extension.SerializeAsString()).empty());
  CHECK(std::holds_alternative<config::RbacFilter>(told.chain().filters.at(0).settings));
  told.remove(EnvoyType::kExtension, "x");
  CHECK(std::holds_alternative<config::UnavailableFilter>(told.chain().filters.at(0).settings));
}

TEST_CASE("what control takes away is gone") {
  Told told;
  told.take_all();
  told.remove(EnvoyType::kListener, "main_internal");
  CHECK_FALSE(told.build()->ready);
  CHECK_FALSE(told.build()->find(*net::SocketAddress::parse(kTarget)).found());
  told.take_all();
  told.remove(EnvoyType::kCluster, "a");
  CHECK(told.build()->cluster("a") == nullptr);
}

TEST_CASE("a resource of another type, or one that wants to be forgotten, is refused") {
  Assembly assembly;
  const std::vector<xds::RawResource> odd = {
      {.name = "a",
       .type_url = std::string(type_url(EnvoyType::kCluster)),
       .bytes = cluster("a"),
       .has_ttl = true},
      {.name = "b",
       .type_url = std::string(type_url(EnvoyType::kListener)),
       .bytes = cluster("b")}};
  const auto refused = assembly.take(EnvoyType::kCluster, odd, {});
  REQUIRE(refused.size() == 2);
  CHECK(refused[0].error == "ttl: not honoured");
  CHECK(refused[1].error.starts_with("of another type"));
}

}  // namespace
}  // namespace mesh::waypoint
