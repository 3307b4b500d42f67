// Every recorded scenario of what istiod sends a waypoint is honoured, or refused by name.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "waypoint/config/decode.h"

namespace mesh::waypoint::config {
namespace {

using nlohmann::json;

std::filesystem::path golden() {
  const char* const folder = std::getenv("WEFT_GOLDEN");
  return std::filesystem::path(folder == nullptr ? "test/golden" : folder) / "waypoint";
}

json load(const std::string& name) {
  std::ifstream file(golden() / (name + ".json"));
  REQUIRE(file.good());
  return json::parse(file);
}

// What several recordings have in common is written once: {"$part": "name"}.
json whole(const json& at, const json& parts) {
  if (at.is_object() && at.contains("$part")) {
    return whole(parts.at(at.at("$part").get<std::string>()), parts);
  }
  if (!at.is_structured()) return at;
  json made = at;
  for (json& child : made) child = whole(child, parts);
  return made;
}

struct Scenario {
  std::map<std::string, Listener> listeners = {};
  std::map<std::string, ClusterResource> clusters = {};
  std::map<std::string, Endpoints> endpoints = {};
  std::map<std::string, Extension> extensions = {};
  std::set<std::string> not_honoured = {};
};

template <class T, class Decode>
void read_all(const json& resources, Decode&& decode, std::map<std::string, T>& into,
              std::set<std::string>& not_honoured) {
  for (const json& one : resources) {
    const std::string name = one.at("name").get<std::string>();
    INFO(name);
    Decoded<T> decoded = decode(one.at("resource").dump());
    CHECK(decoded.problem == "");
    REQUIRE(decoded.value.has_value());
    for (const NotHonoured& left : decoded.not_honoured) not_honoured.insert(left.path);
    into.emplace(name, *std::move(decoded.value));
  }
}

Scenario read(const std::string& name) {
  const json all = whole(load(name), load("parts"));
  Scenario scenario;
  const auto of = [&all](const char* kind) {
    return all.contains(kind) ? all.at(kind) : json::array();
  };
  read_all(of("listeners"), decode_listener_json, scenario.listeners, scenario.not_honoured);
  read_all(of("clusters"), decode_cluster_json, scenario.clusters, scenario.not_honoured);
  read_all(of("endpoints"), decode_endpoints_json, scenario.endpoints, scenario.not_honoured);
  read_all(of("extensionConfigs"), decode_extension_json, scenario.extensions,
           scenario.not_honoured);
  return scenario;
}

TEST_CASE("every recorded scenario is taken without a problem, and nothing in it is overlooked") {
  std::size_t scenarios = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden())) {
    const std::string name = entry.path().stem();
    if (entry.path().extension() != ".json" || name == "parts") continue;
    INFO(name);
    ++scenarios;
    const Scenario scenario = read(name);
    CHECK(scenario.listeners.contains("main_internal"));
    CHECK(scenario.listeners.at("connect_terminate").role == Listener::Role::kTerminate);
    CHECK(scenario.clusters.at("connect_originate").originate.has_value());
    for (const std::string& path : scenario.not_honoured) {
      INFO(path);
      CHECK(path.empty());  // nothing that is recorded is left
    }
  }
  CHECK(scenarios >= 24);
}

Destination at(const Scenario& scenario, const char* address) {
  const auto& exact = scenario.listeners.at("main_internal").destinations.exact;
  const auto found = exact.find(*net::SocketAddress::parse(address));
  REQUIRE(found != exact.end());
  return found->second;
}

// Keeps its chain.
std::shared_ptr<const HttpChain> web(const Scenario& scenario) {
  const Destination to = at(scenario, "10.96.1.10:80");
  REQUIRE(to.http != nullptr);
  REQUIRE(to.tcp == nullptr);
  return {to.http, &*to.http->http};
}

template <class T>
std::vector<const T*> filters(const HttpChain& chain) {
  std::vector<const T*> found;
  for (const HttpFilter& filter : chain.filters) {
    if (const T* settings = std::get_if<T>(&filter.settings)) found.push_back(settings);
  }
  return found;
}

const Route& route(const HttpChain& chain, std::string_view name) {
  for (const auto& one : chain.routes->hosts.at(0).routes) {
    if (one->name == name) return *one;
  }
  FAIL("no route " << name);
  std::abort();
}

TEST_CASE("no-config: a service's address leads to its cluster, with Istio's defaults") {
  const Scenario scenario = read("no-config");
  const auto kept = web(scenario);
  const HttpChain& chain = *kept;
  const auto& forward = std::get<Forward>(route(chain, "default").action);
  CHECK(forward.targets.at(0).cluster == "inbound-vip|80|http|web.shop.svc.cluster.local");
  CHECK(forward.timeout.count() == 0);
  CHECK(forward.grpc_timeout_max == Millis(0));
  REQUIRE(forward.retry);
  CHECK(forward.retry->retries == 2);
  CHECK(forward.retry->host_attempts == 5);
  CHECK(forward.retry->avoid_previous_hosts);
  CHECK(forward.retry->on_connect_failure);
  CHECK(forward.retry->on_refused_stream);
  CHECK(forward.retry->on_grpc_unavailable);
  CHECK_FALSE(forward.retry->on_5xx);
  CHECK_FALSE(forward.retry->backoff_is_minimum);
  CHECK(chain.stream_idle_timeout.count() == 0);
  CHECK(chain.proxy_100_continue);
  CHECK(chain.upgrades == std::vector<std::string>{"websocket"});
  REQUIRE(chain.tracing);
  CHECK(chain.tracing->random_sampling == 1);
  const Cluster& cluster = scenario.clusters.at(forward.targets[0].cluster).cluster;
  CHECK(cluster.balancing.policy == LoadBalancing::Policy::kLeastRequest);
  CHECK(cluster.balancing.panic_threshold == 0);
  CHECK(cluster.normal.max_requests == CircuitBreaker::kUnlimited);
  CHECK(cluster.connect_timeout.count() == 10'000);
  CHECK_FALSE(cluster.tls.has_value());
  CHECK(cluster.service_name == "web");
  CHECK(scenario.clusters.at("encap").cluster.discovery == Cluster::Discovery::kOriginalDst);
  const Terminate& terminate = scenario.listeners.at("connect_terminate").terminate;
  CHECK(terminate.port == 15'008);
  CHECK(terminate.max_concurrent_streams == 100);
  REQUIRE(terminate.client_names.size() == 1);
  CHECK(terminate.client_names[0].matches("spiffe://cluster.local/ns/a/sa/b"));
  CHECK_FALSE(terminate.client_names[0].matches("spiffe://other/ns/a/sa/b"));
  const Originate& originate = *scenario.clusters.at("connect_originate").originate;
  CHECK(originate.server_names.size() == 2);
  CHECK(originate.idle_timeout.count() == 3'600'000);
}

TEST_CASE("endpoints-mixed: tunnels where there is one, plain where not, unready ones known") {
  const Scenario scenario = read("endpoints-mixed");
  const auto& all = scenario.endpoints.at("inbound-vip|80|http|web.shop.svc.cluster.local").all;
  REQUIRE(all.size() == 4);
  CHECK(all[0].transport == Endpoint::Transport::kHbone);
  CHECK(all[0].address.to_string() == "10.244.1.10:8080");
  CHECK(all[0].health == Endpoint::Health::kHealthy);
  CHECK(all[0].workload == "web-0;shop;web;;Kubernetes");
  CHECK(all[1].health == Endpoint::Health::kUnhealthy);
  CHECK(all[2].transport == Endpoint::Transport::kPlain);
}

TEST_CASE("dr-locality: priorities and localities in order") {
  const Scenario scenario = read("dr-locality");
  const Endpoints& endpoints =
      scenario.endpoints.at("inbound-vip|80|http|web.shop.svc.cluster.local");
  CHECK(endpoints.priorities == 3);
  REQUIRE(endpoints.groups.size() == 3);
  CHECK(endpoints.groups[2].region == "r2");
  const Cluster& cluster =
      scenario.clusters.at("inbound-vip|80|http|web.shop.svc.cluster.local").cluster;
  CHECK(cluster.balancing.locality_weighted);
  REQUIRE(cluster.outlier);
  CHECK(cluster.outlier->enforce_success_rate == 0);
  CHECK(cluster.outlier->max_ejection_percent == 10);
}

TEST_CASE("httproute-weights: nobody left is a cluster that is not there, or 500") {
  const auto kept = web(read("httproute-weights"));
  const HttpChain& chain = *kept;
  bool direct = false;
  bool split = false;
  for (const auto& one : chain.routes->hosts[0].routes) {
    if (const auto* answer = std::get_if<DirectResponse>(&one->action))
      direct |= answer->status == 500;
    if (const auto* forward = std::get_if<Forward>(&one->action)) {
      CHECK(forward->cluster_not_found == 500);
      split |= forward->targets.size() == 2 &&
               forward->targets[0].weight + forward->targets[1].weight == 100;
    }
  }
  CHECK(direct);
  CHECK(split);
}

TEST_CASE("httproute-mirror-timeouts: fractions in millionths, and whole timeouts") {
  const Scenario scenario = read("httproute-mirror-timeouts");
  const auto kept = web(scenario);
  const HttpChain& chain = *kept;
  std::set<std::uint32_t> numerators;
  bool two_seconds = false;
  for (const auto& one : chain.routes->hosts[0].routes) {
    const auto& forward = std::get<Forward>(one->action);
    for (const Mirror& mirror : forward.mirrors) {
      numerators.insert(mirror.fraction.numerator);
      CHECK_FALSE(mirror.append_shadow);
    }
    two_seconds |= forward.timeout == Millis(2'000) && forward.grpc_timeout_max == Millis(2'000);
  }
  CHECK(numerators == std::set<std::uint32_t>{100, 200'000});
  CHECK(two_seconds);
}

TEST_CASE("jwt: providers with their keys, and what is required of whom") {
  const auto kept = web(read("jwt"));
  const auto found = filters<JwtFilter>(*kept);
  REQUIRE(found.size() == 1);
  REQUIRE(found[0]->providers.size() == 2);
  const JwtProvider& first = found[0]->providers[0];
  CHECK(first.issuer == "https://issuer.example");
  CHECK(first.audiences == std::vector<std::string>{"web"});
  CHECK(first.inline_jwks.contains("P-256"));
  CHECK(first.payload_in_metadata == "payload");
  REQUIRE(first.claim_to_headers.size() == 1);
  CHECK(first.claim_to_headers[0].header == "x-sub");
  CHECK(found[0]->providers[1].from_headers.at(0).value_prefix == "J ");
  CHECK(found[0]->rules.at(0).required.kind == JwtRequirement::Kind::kAny);
  CHECK(found[0]->rules[0].required.children.size() == 3);
}

TEST_CASE("ap-deny-paths, ap-allow-gateway: rules keep their actions, names and order") {
  const auto denying = web(read("ap-deny-paths"));
  const auto deny = filters<RbacFilter>(*denying);
  REQUIRE(deny.size() == 1);
  CHECK(deny[0]->rules->action == RbacRules::Action::kDeny);
  CHECK(deny[0]->rules->policies.at(0).name.starts_with("ns[shop]-policy["));
  const auto allowing = web(read("ap-allow-gateway"));
  const auto several = filters<RbacFilter>(*allowing);
  REQUIRE(several.size() == 3);
  CHECK(several[0]->rules->action == RbacRules::Action::kLog);
  CHECK(several[1]->shadow.has_value());
  CHECK(several[2]->rules->action == RbacRules::Action::kAllow);
}

TEST_CASE("ap-custom: a service is asked where a shadow rule names it") {
  const Scenario scenario = read("ap-custom");
  std::size_t asked = 0;
  for (const ChainPtr& chain : scenario.listeners.at("main_internal").chains) {
    if (!chain->http) continue;
    for (const ExtAuthz* authz : filters<ExtAuthz>(*chain->http)) {
      ++asked;
      CHECK(authz->timeout.count() == 600'000);
      CHECK_FALSE(authz->failure_mode_allow);
      REQUIRE(authz->enabled_by_policy);
      CHECK(authz->enabled_by_policy->kind == StringMatch::Kind::kPrefix);
      CHECK(authz->enabled_by_prefix == "istio_ext_authz_");
      CHECK(authz->cluster == (authz->grpc ? "outbound|9000||authz.infra.svc.cluster.local"
                                           : "outbound|8000||authz.infra.svc.cluster.local"));
    }
  }
  CHECK(asked > 1);
}

TEST_CASE("tcp-service: rules about connections stand before the proxy") {
  const Destination to = at(read("tcp-service"), "10.96.1.21:5432");
  REQUIRE(to.tcp != nullptr);
  CHECK(to.tcp->tcp->rbac.size() == 2);
  CHECK(to.tcp->tcp->targets.at(0).cluster == "inbound-vip|5432|tcp|db.shop.svc.cluster.local");
}

TEST_CASE("wasm-plugin: refused by name, and only where it was asked for") {
  const Scenario scenario = read("wasm-plugin");
  const auto kept = web(scenario);
  const HttpChain& chain = *kept;
  REQUIRE_FALSE(chain.filters.empty());
  CHECK(chain.filters[0].discovered);
  CHECK(std::holds_alternative<UnavailableFilter>(chain.filters[0].settings));
  const auto& extension = scenario.extensions.at(chain.filters[0].name);
  CHECK(std::get<UnavailableFilter>(extension.filter.settings).problem ==
        "envoy.extensions.filters.http.wasm.v3.Wasm is not supported");
}

TEST_CASE("httproute-cors: the route's policy replaces the chain's empty one") {
  const auto kept = web(read("httproute-cors"));
  const HttpChain& chain = *kept;
  CHECK(filters<CorsFilter>(chain).size() == 1);
  const auto& cors = route(chain, "shop.web.0").overrides.cors;
  REQUIRE(cors);
  CHECK(cors->origins.size() == 2);
  CHECK_FALSE(cors->forward_not_matching_preflights);
  CHECK(cors->origins[1].matches("https://x.b.example"));
  CHECK_FALSE(cors->origins[1].matches("https://x.b.example.evil"));
}

}  // namespace
}  // namespace mesh::waypoint::config
