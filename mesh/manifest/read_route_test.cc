// Gateways, routes and traffic rules: what is read, and what is an error and where.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "mesh/manifest/parse.h"

namespace mesh::manifest {
namespace {

std::string object(const std::string& version, const std::string& kind, const std::string& spec) {
  return "apiVersion: " + version + "\nkind: " + kind +
         "\nmetadata: {name: x, namespace: shop, generation: 7}\nspec: " + spec + "\n";
}
std::string gateway_api(const std::string& kind, const std::string& spec) {
  return object("gateway.networking.k8s.io/v1", kind, spec);
}
std::string networking(const std::string& kind, const std::string& spec) {
  return object("networking.istio.io/v1", kind, spec);
}

template <class T>
T read(const std::string& text) {
  INFO(text);
  const Parsed parsed = parse("f", text);
  for (const Problem& problem : parsed.problems) INFO(problem.to_string());
  REQUIRE(parsed.problems.empty());
  return std::get<T>(parsed.objects.at(0).object);
}

// The field of the first problem.
std::string field_of(const std::string& text) {
  INFO(text);
  const Parsed parsed = parse("f", text);
  CHECK(parsed.objects.empty());
  REQUIRE_FALSE(parsed.problems.empty());
  INFO(parsed.problems[0].to_string());
  return parsed.problems[0].field;
}

}  // namespace

TEST_CASE("a Gateway's listeners say who may attach") {
  const auto gateway = read<Gateway>(gateway_api("Gateway", R"(
  gatewayClassName: istio-waypoint
  infrastructure: {labels: {a: b}, parametersRef: {group: "", kind: ConfigMap, name: options}}
  listeners:
  - name: mesh
    port: 15008
    protocol: HBONE
    allowedRoutes:
      kinds: [{kind: HTTPRoute}]
      namespaces:
        from: Selector
        selector:
          matchLabels: {team: a}
          matchExpressions: [{key: env, operator: NotIn, values: [prod]}])"));
  CHECK(gateway.metadata.generation == 7);
  CHECK(gateway.parameters->name == "options");
  const Listener& listener = gateway.listeners.at(0);
  CHECK(listener.routes_selector.selects({{"team", "a"}, {"env", "dev"}}));
  CHECK_FALSE(listener.routes_selector.selects({{"team", "a"}, {"env", "prod"}}));
  CHECK_FALSE(listener.routes_selector.selects({{"env", "dev"}}));
  CHECK(field_of(gateway_api("Gateway",
                             "{listeners: [{name: m, allowedRoutes: {namespaces: "
                             "{from: Everybody}}}]}")) ==
        "spec.listeners[0].allowedRoutes.namespaces.from");
}

TEST_CASE("label expressions without a known operator select nothing") {
  for (const char* op : {"In", "NotIn", "Exists", "DoesNotExist", "Sometimes", ""}) {
    const LabelSelector selector{.labels = {}, .expressions = {{"a", op, {"1"}}}};
    INFO(op);
    const std::string name(op);
    CHECK(selector.selects({{"a", "1"}}) == (name == "In" || name == "Exists"));
    CHECK(selector.selects({}) == (name == "NotIn" || name == "DoesNotExist"));
  }
}

TEST_CASE("an HTTPRoute is read whole") {
  const auto route = read<HttpRoute>(gateway_api("HTTPRoute", R"(
  parentRefs: [{group: "", kind: Service, name: web, port: 80}]
  hostnames: [web.example]
  rules:
  - name: first
    matches:
    - path: {type: Exact, value: /a}
      method: GET
      headers: [{name: x-a, value: "1"}, {type: RegularExpression, name: x-b, value: b.*}]
      queryParams: [{name: q, value: "1"}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: s, value: v}], add: [{name: a, value: v}], remove: [r]}
    - {type: RequestMirror, requestMirror: {backendRef: {name: m, port: 80}, percent: 20}}
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    timeouts: {request: 1m30s, backendRequest: 500ms}
    retry: {codes: [500, 503], attempts: 2, backoff: 25ms}
    backendRefs: [{name: v1, port: 80, weight: 70}, {name: v2, namespace: pay, port: 80}]
  - filters: [{type: RequestRedirect, requestRedirect: {hostname: h, statusCode: 301}}])"));
  const HttpRule& rule = route.rules.at(0);
  CHECK(rule.matches.at(0).headers.at(1).type == MatchType::kRegex);
  CHECK(rule.filters.request_headers->remove.at(0) == "r");
  CHECK(rule.filters.mirrors.at(0).numerator == 20);
  CHECK(rule.filters.rewrite->path->prefix);
  CHECK(rule.timeouts.request == Milliseconds(90'000));
  CHECK(rule.timeouts.backend == Milliseconds(500));
  CHECK(rule.retry->codes.at(1) == 503);
  CHECK(rule.backends.at(0).weight == 70);
  CHECK(rule.backends.at(1).target.ns == "pay");
  CHECK(route.rules.at(1).filters.redirect->status == 301);
}

TEST_CASE("what a route says and we do not understand is an error") {
  const auto [rule, field] = GENERATE(table<std::string, std::string>({
      {"{matches: [{paths: {value: /a}}]}", "spec.rules[0].matches[0].paths"},
      {"{matches: [{path: {type: Glob, value: /a}}]}", "spec.rules[0].matches[0].path.type"},
      {"{matches: [{path: {value: a}}]}", "spec.rules[0].matches[0].path.value"},
      {"{matches: [{method: get}]}", "spec.rules[0].matches[0].method"},
      {"{matches: [{headers: [{name: a, value: 1}]}]}",
       "spec.rules[0].matches[0].headers[0].value"},
      {"{filters: [{type: RequestHeaderModifier}]}",
       "spec.rules[0].filters[0].requestHeaderModifier"},
      {"{filters: [{type: CORS, cors: {allowOrigin: [a]}}]}",
       "spec.rules[0].filters[0].cors.allowOrigin"},
      {"{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}",
       "spec.rules[0].filters[0].requestRedirect.statusCode"},
      {"{timeouts: {request: 1s, backendRequest: 2s}}", "spec.rules[0].timeouts.backendRequest"},
      {"{timeouts: {request: soon}}", "spec.rules[0].timeouts.request"},
      {"{backendRefs: [{name: a, port: 70000}]}", "spec.rules[0].backendRefs[0].port"},
      {"{backendRefs: [{name: a, weight: 1000001}]}", "spec.rules[0].backendRefs[0].weight"},
      {"{sessionPersistence: {type: Cookie}}", "spec.rules[0].sessionPersistence"},
      {"{retry: {codes: [200]}}", "spec.rules[0].retry.codes"},
  }));
  CHECK(field_of(gateway_api("HTTPRoute", "{rules: [" + rule + "]}")) == field);
}

TEST_CASE("the Gateway API's limits hold without an API server") {
  std::string rules;
  for (int i = 0; i < 17; ++i) rules += "{name: a},";
  CHECK(field_of(gateway_api("HTTPRoute", "{rules: [" + rules + "]}")) == "spec.rules");
  CHECK(field_of(gateway_api("TCPRoute", "{parentRefs: [{name: a}]}")) == "spec.rules");
}

TEST_CASE("GRPCRoute, TLSRoute, TCPRoute, GatewayClass and ReferenceGrant are read") {
  const auto grpc = read<GrpcRoute>(gateway_api(
      "GRPCRoute", "{rules: [{matches: [{method: {service: pkg.Echo, method: Ping}}]}]}"));
  CHECK(grpc.rules.at(0).matches.at(0).service == "pkg.Echo");
  CHECK(field_of(gateway_api("GRPCRoute", "{rules: [{matches: [{method: {}}]}]}")) ==
        "spec.rules[0].matches[0].method");
  const auto tls = read<TlsRoute>(
      gateway_api("TLSRoute", "{hostnames: [a], rules: [{backendRefs: [{name: b, port: 1}]}]}"));
  CHECK(tls.hostnames.at(0) == "a");
  const auto gateway_class =
      read<GatewayClass>(gateway_api("GatewayClass", "{controllerName: weft.dev/mesh}"));
  CHECK(gateway_class.metadata.ns.empty());
  const auto grant = read<ReferenceGrant>(gateway_api(
      "ReferenceGrant",
      "{from: [{group: g, kind: HTTPRoute, namespace: shop}], to: [{group: '', kind: Service}]}"));
  CHECK(grant.from.at(0).ns == "shop");
  CHECK(field_of(gateway_api("ReferenceGrant",
                             "{from: [{group: g, kind: k, namespace: n, "
                             "name: oops}], to: [{kind: Service}]}")) == "spec.from[0].name");
}

TEST_CASE("a DestinationRule is read whole, and its mistakes are errors") {
  const auto rule = read<DestinationRule>(networking("DestinationRule", R"(
  host: web
  trafficPolicy:
    loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}, maglev: {tableSize: 1009}}}
    connectionPool: {tcp: {maxConnections: 10, connectTimeout: 2s}, http: {maxRetries: 3}}
    outlierDetection: {consecutive5xxErrors: 7, interval: 5s, maxEjectionPercent: 50}
    portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE, sni: a}}]
  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}])"));
  CHECK(rule.policy.load_balancer->hash->maglev);
  CHECK(rule.policy.pool->max_connections == 10);
  CHECK(rule.policy.outlier->consecutive_5xx == 7);
  CHECK(rule.policy.ports.at(443).tls->mode == "SIMPLE");
  CHECK(rule.subsets.at(0).policy.load_balancer->simple == "RANDOM");
  const std::string base = "spec.trafficPolicy.";
  const auto mistake = [](const std::string& policy) {
    return field_of(networking("DestinationRule", "{host: a, trafficPolicy: {" + policy + "}}"));
  };
  CHECK(mistake("tls: {mode: SIMPLE, subjectAltName: [a]}") == base + "tls.subjectAltName");
  CHECK(mistake("tls: {mode: simple}") == base + "tls.mode");
  CHECK(mistake("loadBalancer: {simple: BEST}") == base + "loadBalancer.simple");
  CHECK(mistake("loadBalancer: {consistentHash: {}}") ==
        base + "loadBalancer.consistentHash.httpHeaderName");
  CHECK(mistake("tunnel: {}") == base + "tunnel");
  CHECK(mistake("tls: {mode: MUTUAL, privateKey: k}") == base + "tls.clientCertificate");
}

TEST_CASE("a VirtualService is read whole, and its mistakes are errors") {
  const auto service = read<VirtualService>(networking("VirtualService", R"(
  hosts: [web]
  http:
  - match:
    - uri: {prefix: /p}
      ignoreUriCase: true
      headers: {x-a: {exact: "1"}, x-b: {}}
      withoutHeaders: {x-c: {regex: z.*}}
    fault: {delay: {percentage: {value: 12.5}, fixedDelay: 1s}, abort: {httpStatus: 500}}
    retries: {attempts: 3, perTryTimeout: 2s, retryOn: 5xx}
    timeout: 5s
    route: [{destination: {host: v1, subset: s, port: {number: 80}}, weight: 9}]
  - redirect: {uri: /x, redirectCode: 302}
  tcp: [{match: [{port: 5432}], route: [{destination: {host: db}}]}])"));
  const VirtualHttp& http = service.http.at(0);
  CHECK(http.matches.at(0).headers.at("x-b").type == StringMatch::Type::kPresent);
  CHECK(http.matches.at(0).uri->type == StringMatch::Type::kPrefix);
  CHECK(http.fault->delay_percent == 12.5);
  CHECK(http.fault->abort_percent == 100);
  CHECK(http.retries->per_try == Milliseconds(2000));
  CHECK(service.http.at(1).redirect->status == 302);
  CHECK(service.tcp.at(0).matches.at(0).port == 5432);
  const auto mistake = [](const std::string& route) {
    return field_of(networking("VirtualService", "{hosts: [a], http: [{" + route + "}]}"));
  };
  const std::string to = "route: [{destination: {host: b}}]";
  CHECK(mistake("match: [{url: {exact: a}}], " + to) == "spec.http[0].match[0].url");
  CHECK(mistake("match: [{uri: {}}], " + to) == "spec.http[0].match[0].uri");
  CHECK(mistake("match: [{uri: {exact: a, prefix: b}}], " + to) ==
        "spec.http[0].match[0].uri.exact");
  CHECK(mistake("redirect: {}, " + to) == "spec.http[0].route");
  CHECK(mistake("fault: {abort: {percentage: {value: 101}, httpStatus: 500}}, " + to) ==
        "spec.http[0].fault.abort.percentage.value");
  CHECK(mistake("delegate: {name: x}, " + to) == "spec.http[0].delegate");
  CHECK(mistake("retries: {retryOn: '5xx, 5yy'}, " + to) == "spec.http[0].retries.retryOn");
  CHECK(mistake("retries: {backoff: 0s}, " + to) == "spec.http[0].retries.backoff");
  CHECK(mistake("rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}, " + to) ==
        "spec.http[0].rewrite.uri");
  CHECK(mistake("redirect: {uri: /a, prefixRewrite: /b}") == "spec.http[0].redirect.uri");
  // In a Gateway API route it is a wildcard, here it would be a letter.
  CHECK(mistake("corsPolicy: {allowOrigins: [{exact: 'https://*.a'}]}, " + to) ==
        "spec.http[0].corsPolicy.allowOrigins");
}

TEST_CASE("a ServiceEntry's hosts are names of hosts") {
  const auto field = [](const std::string& host) {
    return field_of(networking("ServiceEntry", "{hosts: ['" + host + "'], resolution: NONE}"));
  };
  const std::string label(63, 'a');
  for (const std::string host :
       {"", ".a.example", "a..example", "a/b.example", "a.*.example", "*", "*."}) {
    INFO(host);
    CHECK(field(host) == "spec.hosts[0]");
  }
  CHECK(field(label + "a.example") == "spec.hosts[0]");
  for (const std::string host : {"a", "*.a.example", "A_b-c.example."}) {
    const auto entry = read<ServiceEntry>(
        networking("ServiceEntry", "{hosts: ['" + host + "'], resolution: NONE}"));
    CHECK(entry.hosts == std::vector{host});
  }
}

TEST_CASE("a RequestAuthentication is read whole, and its mistakes are errors") {
  const auto text = [](const std::string& rule) {
    return object(
        "security.istio.io/v1", "RequestAuthentication",
        "{targetRefs: [{group: core, kind: Service, name: web}], jwtRules: [{" + rule + "}]}");
  };
  const auto read_rule = read<RequestAuthentication>(
      text("issuer: i, audiences: [a], jwks: '{}', fromHeaders: [{name: h, prefix: 'B '}], "
           "outputClaimToHeaders: [{header: x, claim: c}], forwardOriginalToken: true, "
           "spaceDelimitedClaims: [roles, groups]"));
  CHECK(read_rule.rules.at(0).space_delimited_claims ==
        std::vector<std::string>{"roles", "groups"});
  CHECK(read_rule.rules.at(0).from_headers.at(0).prefix == "B ");
  CHECK(read_rule.targets.at(0).group.empty());
  CHECK(field_of(text("issuer: i, audience: [a]")) == "spec.jwtRules[0].audience");
  CHECK(field_of(text("audiences: [a]")) == "spec.jwtRules[0].issuer");
  CHECK(field_of(text("issuer: i, spaceDelimitedClaims: ['']")) ==
        "spec.jwtRules[0].spaceDelimitedClaims");
  CHECK(field_of(text("issuer: i, jwksUri: 'ftp://a'")) == "spec.jwtRules[0].jwksUri");
  CHECK(field_of(text("issuer: i, jwks: a, jwksUri: 'https://a'")) == "spec.jwtRules[0].jwks");
}

}  // namespace mesh::manifest
