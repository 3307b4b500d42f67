#include "cli/kubernetes/proxy_config.h"

#include <catch2/catch_test_macros.hpp>

#include "cli/table.h"

using namespace mesh::cli;

namespace {

constexpr const char* kEnvoy = R"({"configs": [
  {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
   "static_clusters": [{"cluster": {"name": "encap", "type": "STATIC"}}],
   "dynamic_active_clusters": [
     {"cluster": {"name": "inbound-vip|80|http|web.shop", "type": "EDS"}}]},
  {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
   "dynamic_listeners": [{"name": "main_internal", "active_state": {"listener": {
     "name": "main_internal", "filter_chains": [
       {"name": "inbound-vip|80|http|web.shop", "filters": [{"name": "hcm", "typed_config": {
         "@type": "type.googleapis.com/x.v3.HttpConnectionManager", "route_config": {
           "name": "inbound|http|80", "virtual_hosts": [{"name": "v", "domains": ["*", "a"],
             "routes": [{"name": "r1", "match": {"prefix": "/"}}]}]}}}]},
       {"name": "direct-tcp", "filters": [{"name": "tcp", "typed_config": {
         "@type": "type.googleapis.com/x.v3.TcpProxy", "cluster": "encap"}}]}]}}}]}]})";

std::string shown(ProxyPart part, const std::string& page) {
  const auto rows = proxy_rows(part, page);
  return rows ? table(*rows) : "error: " + rows.error();
}

}  // namespace

TEST_CASE("Envoy's pages in istioctl's columns") {
  CHECK(shown(ProxyPart::kCluster, kEnvoy) ==
        "SERVICE FQDN  PORT  SUBSET  DIRECTION    TYPE\n"
        "encap         -     -       -            STATIC\n"
        "web.shop      80    http    inbound-vip  EDS\n");
  CHECK(shown(ProxyPart::kListener, kEnvoy) ==
        "LISTENER       CHAIN                         MATCH  DESTINATION\n"
        "main_internal  inbound-vip|80|http|web.shop  ALL    Inline Route: inbound|http|80\n"
        "main_internal  direct-tcp                    ALL    Cluster: encap\n");
  CHECK(shown(ProxyPart::kRoute, kEnvoy) ==
        "NAME             VHOST NAME  DOMAINS  MATCH  ROUTE\n"
        "inbound|http|80  v           *, a     /*     r1\n");
  CHECK(shown(ProxyPart::kEndpoint,
              "web::10.0.0.1:80::cx_active::1\n"
              "web::10.0.0.1:80::health_flags::healthy\n"
              "web::[fd00::1]:80::health_flags::/failed_outlier_check\n") ==
        "ENDPOINT      STATUS     OUTLIER CHECK  CLUSTER\n"
        "10.0.0.1:80   HEALTHY    OK             web\n"
        "[fd00::1]:80  UNHEALTHY  FAILED         web\n");
}

TEST_CASE("Secrets by name, and what a proxy was started with") {
  constexpr const char* kDump = R"({"configs": [
    {"@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "dynamic_active_secrets": [
      {"name": "default", "last_updated": "now",
       "secret": {"tls_certificate": {"private_key": "x"}}},
      {"name": "ROOTCA", "secret": {"validation_context": {}}}]},
    {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
     "bootstrap": {"node": {"id": "way"}, "admin": {"port": 15000}}}]})";
  CHECK(shown(ProxyPart::kSecret, kDump) ==
        "RESOURCE NAME  TYPE        STATUS  LAST UPDATED\n"
        "default        Cert Chain  ACTIVE  now\n"
        "ROOTCA         CA          ACTIVE  -\n");
  CHECK(shown(ProxyPart::kBootstrap, kDump) ==
        "MEMBER      VALUE\n"
        "admin/port  15000\n"
        "node/id     way\n");
  CHECK(shown(ProxyPart::kBootstrap, R"({"configs": [], "weft": {"identity": "spiffe://a"}})") ==
        "MEMBER    VALUE\n"
        "identity  spiffe://a\n");
}

TEST_CASE("What is no dump says so, whatever its shape") {
  for (const char* page : {"", "[]", "{}", "{\"configs\": 1}", "not json"}) {
    CHECK_FALSE(proxy_rows(ProxyPart::kCluster, page));
  }
  CHECK(proxy_rows(ProxyPart::kListener, R"({"configs": [1, {"@type": 2}]})"));
}
