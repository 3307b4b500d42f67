#include "waypoint/config/decode.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

#include "envoy/http_connection_manager.pb.h"
#include "envoy/http_rbac.pb.h"
#include "envoy/listener.pb.h"
#include "waypoint/config/tree.h"

namespace mesh::waypoint::config {
namespace {

constexpr std::string_view kBase = "type.googleapis.com/envoy.extensions.filters.";

std::string any(std::string_view type, std::string_view rest) {
  return "{\"@type\":\"" + std::string(kBase) + std::string(type) + "\"" +
         (rest.empty() ? "" : ",") + std::string(rest) + "}";
}

std::string rbac(std::string_view rules) {
  return R"({"name":"r","typedConfig":)" +
         any("http.rbac.v3.RBAC", R"("rules":)" + std::string(rules)) + "}";
}

// A main listener with one chain "c" on 10.96.0.1:80.
std::string main_listener(
    const std::string& http_filters, const std::string& more_of_manager = "",
    const std::string& routes = R"({"match":{"prefix":"/"},"route":{"cluster":"k"}})") {
  const std::string manager =
      R"("httpFilters":[)" + http_filters +
      R"(],"routeConfig":{"virtualHosts":[{"name":"v","domains":["*"],"routes":[)" + routes +
      "]}]}" + more_of_manager;
  return R"({"name":"main_internal","internalListener":{},"filterChains":[{"name":"c",)"
         R"("filters":[{"name":"h","typedConfig":)" +
         any("network.http_connection_manager.v3.HttpConnectionManager", manager) +
         R"(}]}],"filterChainMatcher":{"matcherTree":{"input":{"typedConfig":{"@type":)"
         R"("x/envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput"}},)"
         R"("customMatch":{"typedConfig":{"@type":"x/xds.type.matcher.v3.IPMatcher",)"
         R"("rangeMatchers":[{"ranges":[{"addressPrefix":"10.96.0.1","prefixLen":32}],)"
         R"("onMatch":{"matcher":{"matcherTree":{"input":{"typedConfig":{"@type":)"
         R"("x/envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput"}},)"
         R"("exactMatchMap":{"map":{"80":{"action":{"name":"c","typedConfig":{"@type":)"
         R"("x/google.protobuf.StringValue","value":"c"}}}}}}}}}]}}}}})";
}

constexpr const char* kAllowAll =
    R"({"policies":{"p":{"permissions":[{"any":true}],"principals":[{"any":true}]}}})";

const HttpChain& chain_of(const Decoded<Listener>& decoded) {
  REQUIRE(decoded.value.has_value());
  const auto found =
      decoded.value->destinations.exact.find(*net::SocketAddress::parse("10.96.0.1:80"));
  REQUIRE(found != decoded.value->destinations.exact.end());
  return *found->second.http->http;
}

// The chain that had the problem refuses everything.
bool is_closed(const HttpChain& chain) {
  return chain.filters.size() == 1 &&
         std::holds_alternative<UnavailableFilter>(chain.filters[0].settings);
}

TEST_CASE("a whole listener is taken") {
  const auto decoded = decode_listener_json(main_listener(rbac(kAllowAll)));
  CHECK(decoded.problem == "");
  CHECK(std::holds_alternative<RbacFilter>(chain_of(decoded).filters.at(0).settings));
}

TEST_CASE("what a rule says and is not honoured is a problem that names it, and closes its chain") {
  struct Row {
    const char* rules;
    const char* problem;
  };
  for (const Row& row : {
           Row{R"({"policies":{"p":{"permissions":[{"any":true}],"principals":[{"any":)"
               R"(true}],"condition":{}}}})",
               "rules.policies.p.condition: not supported"},
           Row{R"({"policies":{"p":{"permissions":[{"any":true}]}}})", "without principals"},
           Row{R"({"policies":{"p":{"permissions":[{"matcher":{}}],"principals":[{"any":true}]}}})",
               "a permission that is not known"},
           Row{R"({"policies":{"p":{"permissions":[{}],"principals":[{"any":true}]}}})",
               "a permission that is not known"},
           Row{R"({"policies":{"p":{"permissions":[{"any":true,"notRule":{"any":true}}],)"
               R"("principals":[{"any":true}]}}})",
               "both any and notRule"},
           Row{R"({"policies":{"p":{"permissions":[{"any":true}],"principals":[{"custom":{}}]}}})",
               "a principal that is not known"},
           Row{R"({"policies":{"p":{"permissions":[{"any":true}],"principals":[{)"
               R"("filterState":{"key":"x","stringMatch":{"exact":"y"}}}]}}})",
               "the filter state x is not known"},
           Row{R"({"policies":{"p":{"permissions":[{"any":true}],"principals":[{)"
               R"("filterState":{"key":"io.istio.peer_principal","rangeMatch":{}}}]}}})",
               "without a text match"},
           Row{R"({"policies":{"p":{"permissions":[{"any":true}],"principals":[{)"
               R"("directRemoteIp":{"addressPrefix":"10.0.0.0","prefixLen":33}}]}}})",
               "not a block of addresses"},
           Row{R"({"policies":{"p":{"permissions":[{"destinationPort":70000}],"principals":)"
               R"([{"any":true}]}}})",
               "destinationPort: not a number from 0 to 65535"},
           Row{R"({"policies":{"p":{"permissions":[{"header":{"name":"x","stringMatch":{)"
               R"("safeRegex":{"regex":"("}}}}],"principals":[{"any":true}]}}})",
               "not a regular expression"},
           Row{R"({"policies":{"p":{"permissions":[{"header":{"name":"x","stringMatch":{)"
               R"(}}}],"principals":[{"any":true}]}}})",
               "a text match without a pattern"},
           Row{R"({"action":"MAYBE"})", "the value MAYBE is not known"},
           Row{R"({"auditLoggingOptions":{}})", "rules.auditLoggingOptions: not supported"},
           Row{R"({"policies":{"p":{"permissions":[{"any":false}],"principals":[{"any":true}]}}})",
               "any: false"},
       }) {
    INFO(row.rules);
    const auto decoded = decode_listener_json(main_listener(rbac(row.rules)));
    INFO(decoded.problem);
    CHECK(decoded.problem.contains(row.problem));
    CHECK(decoded.problem.starts_with("filterChains[0].filters[0].typedConfig.httpFilters[0]"));
    CHECK(is_closed(chain_of(decoded)));
  }
}

TEST_CASE("rules nested too deep, or too many, are refused") {
  std::string permission = R"({"any":true})";
  for (int i = 0; i < 70; ++i) permission = R"({"notRule":)" + permission + "}";
  const auto rules = [](const std::string& of) {
    return R"({"policies":{"p":{"permissions":[)" + of + R"(],"principals":[{"any":true}]}}})";
  };
  CHECK(decode_listener_json(main_listener(rbac(rules(permission))))
            .problem.contains("deeper than 64"));
  std::string many = R"({"any":true})";
  for (int i = 0; i < 17'000; ++i) many += R"(,{"any":true})";
  CHECK(decode_listener_json(main_listener(rbac(rules(many)))).problem.contains("more than 16384"));
}

TEST_CASE("one chain's problem is that chain's alone") {
  std::string two = main_listener(rbac(R"({"action":"MAYBE"})"));
  const std::string good = R"({"name":"good","filters":[{"name":"t","typedConfig":)" +
                           any("network.tcp_proxy.v3.TcpProxy", R"("cluster":"k")") + "}]},";
  const std::string marker = R"("filterChains":[)";
  two.insert(two.find(marker) + marker.size(), good);
  const auto decoded = decode_listener_json(two);
  CHECK(decoded.problem.contains("MAYBE"));
  REQUIRE(decoded.value);
  CHECK(decoded.value->chains.at(0)->tcp->unavailable.empty());
  CHECK(is_closed(*decoded.value->chains.at(1)->http));
}

TEST_CASE("connections are told apart by who makes them, and by nothing else") {
  const struct {
    const char* policy;
    bool hashes;
    std::size_t notes;
  } rows[] = {{"", false, 0},
              {R"(,"hashPolicy":[{"sourceIp":{}}])", true, 0},
              {R"(,"hashPolicy":[{"filterState":{"key":"k"}}])", false, 1}};
  for (const auto& row : rows) {
    INFO(row.policy);
    std::string two = main_listener(rbac(kAllowAll));
    const std::string marker = R"("filterChains":[)";
    two.insert(
        two.find(marker) + marker.size(),
        R"({"name":"bytes","filters":[{"name":"t","typedConfig":)" +
            any("network.tcp_proxy.v3.TcpProxy", R"("cluster":"k")" + std::string(row.policy)) +
            "}]},");
    const auto decoded = decode_listener_json(two);
    CHECK(decoded.problem == "");
    REQUIRE(decoded.value);
    CHECK(decoded.value->chains.at(0)->tcp->hash_source_ip == row.hashes);
    CHECK(decoded.not_honoured.size() == row.notes);
  }
}

TEST_CASE("other filters: known ones are read, ignorable ones left, unknown ones refuse") {
  const auto unknown = decode_listener_json(
      main_listener(R"({"name":"lua","typedConfig":)" + any("http.lua.v3.Lua", "") + "}"));
  CHECK(unknown.problem == "");
  CHECK(std::get<UnavailableFilter>(chain_of(unknown).filters.at(0).settings).problem ==
        "envoy.extensions.filters.http.lua.v3.Lua is not supported");
  const auto authz = [](const char* settings) {
    return decode_listener_json(main_listener(R"({"name":"a","typedConfig":)" +
                                              any("http.ext_authz.v3.ExtAuthz", settings) + "}"))
        .problem;
  };
  CHECK(authz(R"("grpcService":{"envoyGrpc":{"clusterName":"k"}})") == "");
  CHECK(authz("").contains("no service to ask"));
  CHECK(authz(R"("grpcService":{"googleGrpc":{}})").contains("not a cluster"));
  CHECK(authz(R"("grpcService":{"envoyGrpc":{"clusterName":"k"}},)"
              R"("typedMetadataContextNamespaces":["x"])")
            .contains("typedMetadataContextNamespaces: not supported"));
  CHECK(authz(R"("grpcService":{"envoyGrpc":{"clusterName":"k"}},"filterEnabledMetadata":{)"
              R"("filter":"x","path":[{"key":"y"}],"value":{"stringMatch":{"exact":"z"}}})")
            .contains("not a policy's name"));
}

TEST_CASE("tokens: a provider that is not there, keys from nowhere") {
  const auto jwt = [](const char* settings) {
    return decode_listener_json(main_listener(R"({"name":"j","typedConfig":)" +
                                              any("http.jwt_authn.v3.JwtAuthentication", settings) +
                                              "}"))
        .problem;
  };
  CHECK(jwt(R"("providers":{"a":{"issuer":"i","localJwks":{"inlineString":"{}"}}},"rules":[{)"
            R"("match":{"prefix":"/"},"requires":{"providerName":"a"}}])") == "");
  CHECK(jwt(R"("rules":[{"match":{"prefix":"/"},"requires":{"providerName":"b"}}])")
            .contains("the provider b is not there"));
  CHECK(jwt(R"("providers":{"a":{"issuer":"i"}})").contains("no inline keys"));
  CHECK(
      jwt(R"("providers":{"a":{"issuer":"i","remoteJwks":{"httpUri":{"uri":"x","cluster":"c"}}}})")
          .contains("no URL of HTTP"));
  CHECK(jwt(R"("requirementMap":{"a":{"providerName":"b"}})").contains("the provider b is not"));
  CHECK(jwt(R"("providers":{"a":{"issuer":"i","localJwks":{"filename":"/x"}}})")
            .contains("no inline keys"));
  CHECK(jwt(R"("filterStateRules":{"name":"x"})").contains("filterStateRules: not supported"));
  CHECK(jwt(R"("rules":[{"match":{"prefix":"/","dynamicMetadata":[{}]}}])")
            .contains("dynamicMetadata: not supported"));
}

TEST_CASE("a route whose match would be wider than meant is refused") {
  const auto routes = [](const char* route) {
    return decode_listener_json(main_listener("", "", route)).problem;
  };
  CHECK(routes(R"({"match":{"prefix":"/"},"route":{"cluster":"k"}})") == "");
  CHECK(routes(R"({"match":{"prefix":"/","tlsContext":{}},"route":{"cluster":"k"}})")
            .contains("tlsContext: not supported"));
  CHECK(routes(R"({"match":{},"route":{"cluster":"k"}})").contains("a match without a path"));
  CHECK(routes(R"({"match":{"prefix":"/"}})").contains("a route without an action"));
  CHECK(routes(R"({"match":{"prefix":"/"},"route":{"clusterHeader":"x"}})")
            .contains("without a cluster"));
  CHECK(routes(R"({"match":{"prefix":"/"},"route":{"cluster":"k","metadataMatch":{}}})")
            .contains("metadataMatch"));
  CHECK(routes(R"({"match":{"prefix":"/"},"directResponse":{"status":99}})")
            .contains("a status below 200"));
  CHECK(routes(R"({"match":{"prefix":"/"},"route":{"cluster":"k"},"requestHeadersToAdd":[{)"
               R"("header":{"key":"content-length","value":"1"}}]})")
            .contains("may not be changed"));
  CHECK(routes(R"({"match":{"prefix":"/"},"route":{"cluster":"k"},"requestHeadersToAdd":[{)"
               R"("header":{"key":":path","value":"/"}}]})")
            .contains("not the name of a header"));
  CHECK(routes(R"({"match":{"prefix":"/"},"route":{"cluster":"k"},"typedPerFilterConfig":{"x":{)"
               R"("@type":"a/b.C"}}})")
            .contains("b.C is not supported on a route"));
}

TEST_CASE("elsewhere what is not honoured is listed by its path") {
  const auto decoded = decode_listener_json(main_listener("", R"(,"via":"x")"));
  CHECK(decoded.problem == "");
  REQUIRE(decoded.not_honoured.size() == 1);
  CHECK(decoded.not_honoured[0].resource == "main_internal");
  CHECK(decoded.not_honoured[0].path == "filterChains[0].filters[0].typedConfig.via");
}

TEST_CASE("a cluster is refused where it would weaken what protects its bytes") {
  const auto cluster = [](const std::string& rest) {
    return decode_cluster_json(R"({"name":"k","type":"EDS",)" + rest + "}").problem;
  };
  const std::string tls =
      R"("@type":"x/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext")";
  CHECK(cluster(R"("connectTimeout":"1s")") == "");
  CHECK(cluster(R"("transportSocket":{"typedConfig":{"@type":"x/y.Z"}})")
            .contains("the transport y.Z is not supported"));
  CHECK(cluster(R"("transportSocket":{"typedConfig":{)" + tls +
                R"(,"commonTlsContext":{"customHandshaker":{}}}})")
            .contains("customHandshaker: not supported"));
  CHECK(cluster(R"("transportSocket":{"typedConfig":{)" + tls +
                R"(,"commonTlsContext":{"validationContext":{"trustChainVerification":)"
                R"("ACCEPT_UNTRUSTED"}}}})")
            .contains("ACCEPT_UNTRUSTED"));
  CHECK(cluster(R"("transportSocket":{"typedConfig":{)" + tls +
                R"(,"commonTlsContext":{"validationContext":{"verifyCertificateSpki":["x"]}}}})")
            .contains("verifyCertificateSpki"));
  CHECK(cluster(R"("lbPolicy":"LOAD_BALANCING_POLICY_CONFIG")").contains("is not known"));
  CHECK(cluster(R"("lbPolicy":"MAGLEV","maglevLbConfig":{"tableSize":"100"})")
            .contains("not a prime"));
  CHECK(decode_cluster_json(R"({"name":"connect_originate","type":"ORIGINAL_DST"})")
            .problem.contains("tunnels without TLS"));
  const auto open = decode_cluster_json(
      R"({"name":"k","type":"EDS","transportSocket":{"typedConfig":{)" + tls + "}}}");
  REQUIRE(open.value);
  CHECK(open.value->cluster.tls->verify_nothing);
}

TEST_CASE("an endpoint that is not what it says is refused") {
  const auto endpoint = [](const char* of) {
    return decode_endpoints_json(R"({"clusterName":"k","endpoints":[{"lbEndpoints":[)" +
                                 std::string(of) + "]}]}")
        .problem;
  };
  CHECK(
      endpoint(
          R"({"endpoint":{"address":{"socketAddress":{"address":"10.0.0.1","portValue":80}}}})") ==
      "");
  CHECK(endpoint(R"({"endpoint":{"address":{"envoyInternalAddress":{"serverListenerName":"x",)"
                 R"("endpointId":"10.0.0.1:80"}}}})")
            .contains("the internal listener x"));
  CHECK(endpoint(R"({"endpoint":{"address":{"envoyInternalAddress":{"serverListenerName":)"
                 R"("connect_originate","endpointId":"x"}}}})")
            .contains("no address"));
  const auto behind = [&](const std::string& id, const std::string& waypoint) {
    const std::string text =
        R"({"endpoint":{"address":{"envoyInternalAddress":{"serverListenerName":)"
        R"("connect_originate","endpointId":")" +
        id +
        R"("}}},"metadata":{"filterMetadata":{"envoy.filters.listener.original_dst":{"local":)"
        R"("10.96.0.1:80","waypoint":")" +
        waypoint + R"("}}}})";
    return endpoint(text.c_str());
  };
  CHECK(behind("10.96.0.1:80@10.0.0.1:15008", "10.0.0.1:15008") == "");
  CHECK(behind("10.96.0.1:80", "10.0.0.1:15008") == "");
  CHECK(behind("10.96.0.1:80@10.0.0.1:15008", "10.0.0.2:15008").contains("waypoint"));
  CHECK(behind("10.96.0.1:80", "x").contains("waypoint"));
  for (const char* id :
       {"10.96.0.1:80@", "10.96.0.1:80@x", "@10.0.0.1:15008", "x@10.0.0.1:15008"}) {
    CHECK(behind(id, "10.0.0.1:15008").contains("no address"));
  }
  CHECK(endpoint(R"({"endpoint":{"address":{"socketAddress":{"address":"10.0.0.1","portValue":)"
                 R"(80}}},"metadata":{"filterMetadata":{"envoy.transport_socket_match":{"tunnel":)"
                 R"("http"}}}})")
            .contains("wants a tunnel"));
  CHECK(endpoint(R"({"endpoint":{"address":{"pipe":{"path":"/x"}}}})").contains("not supported"));
  CHECK(endpoint("{}").contains("without an address"));
}

TEST_CASE("listeners that a waypoint does not have, and callers nobody vouches for, are refused") {
  CHECK(decode_listener_json(R"({"name":"ingress"})").problem.contains("a waypoint does not have"));
  CHECK(decode_listener_json(R"({"name":"main_internal"})")
            .problem.contains("without filterChainMatcher"));
  const auto terminate = [](const std::string& tls) {
    return decode_listener_json(
               R"({"name":"connect_terminate","filterChains":[{"transportSocket":{)"
               R"("typedConfig":{"@type":)"
               R"("x/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext")" +
               tls + "}}}]}")
        .problem;
  };
  const std::string ca = R"(,"commonTlsContext":{"combinedValidationContext":{)"
                         R"("validationContextSdsSecretConfig":{"name":"ROOTCA"}}})";
  CHECK(terminate(ca + R"(,"requireClientCertificate":true)") == "");
  CHECK(terminate(R"(,"requireClientCertificate":true,"commonTlsContext":{)"
                  R"("validationContextSdsSecretConfig":{"name":"theirs"}})")
            .contains("roots named theirs"));
  for (const char* own :
       {R"("validationContext":{"trustedCa":{"filename":"/their.pem"}})",
        R"("validationContextSdsSecretConfig":{"name":"file-root:/their.pem"})",
        R"("validationContextSdsSecretConfig":{"name":"ROOTCA"},)"
        R"("tlsCertificateSdsSecretConfigs":[{"name":"file-cert:/a.pem~/a.key"}])",
        R"("validationContextSdsSecretConfig":{"name":"ROOTCA"},)"
        R"("tlsCertificates":[{"certificateChain":{"inlineString":"a"},)"
        R"("privateKey":{"inlineString":"b"}}])"}) {
    INFO(own);
    CHECK(terminate(R"(,"requireClientCertificate":true,"commonTlsContext":{)" + std::string(own) +
                    "}")
              .contains("of a listener's own"));
  }
  CHECK(terminate(ca).contains("without a certificate"));
  CHECK(terminate(R"(,"requireClientCertificate":true)").contains("nobody vouches for"));
  CHECK(decode_listener_json(R"({"name":"connect_terminate","filterChains":[{}]})")
            .problem.contains("without TLS"));
  CHECK(decode_listener_json("[]").problem == "not a message");
  CHECK(decode_listener_json("{").problem == "not a message");
}

TEST_CASE("on the wire an unknown field of a rule is a problem, of anything else a note") {
  envoy::config::listener::v3::Listener listener;
  listener.set_name("main_internal");
  auto* chain = listener.add_filter_chains();
  chain->set_name("c");
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager manager;
  envoy::extensions::filters::http::rbac::v3::RBAC rules;
  auto& policy = (*rules.mutable_rules()->mutable_policies())["ns[a]-policy[b]-rule[0]"];
  policy.add_permissions()->set_any(true);
  policy.add_principals()->set_any(true);
  const auto wire = [&] {
    auto* filter = manager.mutable_http_filters()->size() > 0 ? manager.mutable_http_filters(0)
                                                              : manager.add_http_filters();
    filter->set_name("r");
    filter->mutable_typed_config()->set_type_url(std::string(kBase) + "http.rbac.v3.RBAC");
    filter->mutable_typed_config()->set_value(rules.SerializeAsString());
    if (chain->filters_size() == 0) chain->add_filters();
    chain->mutable_filters(0)->mutable_typed_config()->set_type_url(
        std::string(kBase) + "network.http_connection_manager.v3.HttpConnectionManager");
    chain->mutable_filters(0)->mutable_typed_config()->set_value(manager.SerializeAsString());
    return listener.SerializeAsString();
  };
  CHECK(decode_listener(wire()).problem.contains("without filterChainMatcher"));
  const std::string field_1011("\x9a\x3f\x01x", 4);
  const std::string known_policy = policy.SerializeAsString();
  REQUIRE(policy.ParseFromString(known_policy + field_1011));
  const auto refused = decode_listener(wire());
  CHECK_FALSE(refused.value);
  REQUIRE(policy.ParseFromString(known_policy));
  REQUIRE(manager.ParseFromString(field_1011));
  CHECK_FALSE(decode_listener(wire()).not_honoured.empty());
  CHECK(decode_listener("\xff\xff").problem == "not a protobuf message");
  CHECK(decode_listener(std::string(kMaxResourceBytes + 1, '\0')).problem == "larger than 16 MiB");
}

TEST_CASE("durations round up and end at a hundred years") {
  const auto parsed =
      Tree::parse(R"({"a":"0.0001s","b":"1.5s","c":"-1s","d":"x","e":"999999999999s","f":3})");
  REQUIRE(parsed);
  Input in;
  CHECK(in.duration(*parsed, "a") == Millis(1));
  CHECK(in.duration(*parsed, "b") == Millis(1'500));
  CHECK(in.ok());
  for (const char* bad : {"c", "d", "e", "f"}) {
    CHECK_FALSE(in.duration(*parsed, bad).has_value());
    CHECK(in.take_problem().contains(bad));
  }
  CHECK(Tree::parse(std::string(300, '[') + std::string(300, ']')) == nullptr);
}

}  // namespace
}  // namespace mesh::waypoint::config
