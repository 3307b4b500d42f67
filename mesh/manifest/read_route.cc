// HTTPRoute, GRPCRoute, TCPRoute and TLSRoute. The limits are those of the Gateway API's own
// definitions, which no API server checks in front of a folder.

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxParents = 32;
constexpr std::size_t kMaxRules = 16;
constexpr std::size_t kMaxMatches = 64;
constexpr std::size_t kMaxFilters = 16;
constexpr std::size_t kMaxBackends = 16;
constexpr std::size_t kMaxTerms = 16;
constexpr std::uint32_t kMaxWeight = 1'000'000;

std::vector<ParentRef> read_parents(Fields& spec) {
  std::vector<ParentRef> parents;
  for (Fields& fields : spec.maps("parentRefs", kMaxParents)) {
    ParentRef parent;
    parent.group = fields.text("group", parent.group);
    parent.kind = fields.text("kind", parent.kind);
    parent.ns = fields.text("namespace");
    parent.name = fields.required_text("name");
    parent.section = fields.text("sectionName");
    parent.port = fields.port("port");
    fields.finish();
    parents.push_back(std::move(parent));
  }
  spec.ignore("useDefaultGateways");
  return parents;
}

Target read_target(Fields& fields) {
  return {.group = fields.text("group"),
          .kind = fields.text("kind", "Service"),
          .ns = fields.text("namespace"),
          .name = fields.required_text("name"),
          .port = fields.port("port")};
}

std::vector<std::pair<std::string, std::string>> read_pairs(Fields& fields, std::string_view key) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (Fields& pair : fields.maps(key, kMaxTerms)) {
    pairs.emplace_back(pair.required_text("name"), pair.text("value"));
    pair.finish();
  }
  return pairs;
}

HeaderChange read_header_change(Fields fields) {
  HeaderChange change;
  change.set = read_pairs(fields, "set");
  change.add = read_pairs(fields, "add");
  change.remove = fields.texts("remove");
  fields.finish();
  return change;
}

std::optional<PathRewrite> read_path_rewrite(Fields& parent) {
  if (!parent.present("path")) return {};
  Fields fields = parent.map("path");
  PathRewrite path;
  path.prefix =
      fields.choice("type", {"ReplaceFullPath", "ReplacePrefixMatch"}) == "ReplacePrefixMatch";
  path.value = fields.text(path.prefix ? "replacePrefixMatch" : "replaceFullPath");
  fields.finish();
  return path;
}

Redirect read_redirect(Fields fields) {
  Redirect redirect;
  redirect.scheme = fields.choice("scheme", {"http", "https"});
  redirect.hostname = fields.text("hostname");
  redirect.path = read_path_rewrite(fields);
  redirect.port = fields.port("port");
  const std::string status =
      fields.present("statusCode") ? fields.take("statusCode")->text : std::string("302");
  redirect.status = 0;
  for (const std::uint16_t known : {301, 302, 303, 307, 308}) {
    if (status == std::to_string(known)) redirect.status = known;
  }
  if (redirect.status == 0) fields.error("statusCode", "must be 301, 302, 303, 307 or 308");
  fields.finish();
  return redirect;
}

Rewrite read_rewrite(Fields fields) {
  Rewrite rewrite;
  rewrite.hostname = fields.text("hostname");
  rewrite.path = read_path_rewrite(fields);
  fields.finish();
  return rewrite;
}

Mirror read_mirror(Fields fields) {
  Mirror mirror;
  Fields target = fields.map("backendRef");
  mirror.target = read_target(target);
  target.finish();
  if (fields.present("percent")) {
    mirror.numerator = fields.number("percent", 100);
    mirror.denominator = 100;
  } else if (fields.present("fraction")) {
    Fields fraction = fields.map("fraction");
    mirror.numerator = fraction.number("numerator", 1u << 30);
    mirror.denominator = fraction.optional_number("denominator", 1u << 30).value_or(100);
    fraction.finish();
    if (mirror.denominator == 0 || mirror.numerator > mirror.denominator) {
      fields.error("fraction", "must be between 0 and 1");
      mirror = {.target = mirror.target, .numerator = 0, .denominator = 1};
    }
  }
  fields.finish();
  return mirror;
}

Cors read_cors(Fields fields) {
  Cors cors;
  cors.origins = fields.texts("allowOrigins");
  cors.methods = fields.texts("allowMethods");
  cors.headers = fields.texts("allowHeaders");
  cors.expose = fields.texts("exposeHeaders");
  cors.max_age = fields.optional_number("maxAge", 1u << 30).value_or(5);  // Gateway API's
  cors.credentials = fields.flag("allowCredentials", false);
  fields.finish();
  return cors;
}

// Reads the field of the filter's own name; `into` must not have been set by an earlier filter.
template <class T, class Read>
void read_once(Fields& filter, std::string_view key, std::optional<T>& into, Read read) {
  if (into) filter.error("type", "is given twice in one rule");
  if (!filter.present(key)) filter.error(key, "is required by the filter's type");
  into = read(filter.map(key));
}

RouteFilters read_filters(Fields& rule) {
  RouteFilters filters;
  for (Fields& filter : rule.maps("filters", kMaxFilters)) {
    const std::string type = filter.required_text("type");
    if (type == "RequestHeaderModifier") {
      read_once(filter, "requestHeaderModifier", filters.request_headers, read_header_change);
    } else if (type == "ResponseHeaderModifier") {
      read_once(filter, "responseHeaderModifier", filters.response_headers, read_header_change);
    } else if (type == "RequestRedirect") {
      read_once(filter, "requestRedirect", filters.redirect, read_redirect);
    } else if (type == "URLRewrite") {
      read_once(filter, "urlRewrite", filters.rewrite, read_rewrite);
    } else if (type == "CORS") {
      read_once(filter, "cors", filters.cors, read_cors);
    } else if (type == "RequestMirror") {
      filters.mirrors.push_back(read_mirror(filter.map("requestMirror")));
    } else {
      // Ours to refuse when the route is used, with a status that says so.
      filters.extensions.push_back(type);
      filter.ignore("extensionRef");
      filter.ignore("externalAuth");
    }
    filter.finish();
  }
  if (filters.redirect && filters.rewrite) {
    rule.error("filters", "a rule cannot both redirect and rewrite");
  }
  return filters;
}

std::vector<Backend> read_backends(Fields& rule, bool filters) {
  std::vector<Backend> backends;
  for (Fields& fields : rule.maps("backendRefs", kMaxBackends)) {
    Backend backend;
    backend.target = read_target(fields);
    backend.weight = fields.optional_number("weight", kMaxWeight).value_or(1);
    if (filters) backend.filters = read_filters(fields);
    fields.finish();
    backends.push_back(std::move(backend));
  }
  return backends;
}

MatchType read_match_type(Fields& fields) {
  const std::string type = fields.choice("type", {"Exact", "RegularExpression"}, "Exact");
  return type == "Exact" ? MatchType::kExact : MatchType::kRegex;
}

std::vector<NamedMatch> read_named(Fields& match, std::string_view key) {
  std::vector<NamedMatch> named;
  for (Fields& fields : match.maps(key, kMaxTerms)) {
    named.push_back({.type = read_match_type(fields),
                     .name = fields.required_text("name"),
                     .value = fields.required_text("value")});
    fields.finish();
  }
  return named;
}

HttpMatch read_http_match(Fields& fields) {
  HttpMatch match;
  if (fields.present("path")) {
    Fields path = fields.map("path");
    const std::string type =
        path.choice("type", {"Exact", "PathPrefix", "RegularExpression"}, "PathPrefix");
    match.path_type = type == "Exact"        ? MatchType::kExact
                      : type == "PathPrefix" ? MatchType::kPrefix
                                             : MatchType::kRegex;
    match.path = path.text("value", "/");
    if (match.path_type != MatchType::kRegex && !match.path.starts_with('/')) {
      path.error("value", "must start with /");
    }
    path.finish();
  }
  match.headers = read_named(fields, "headers");
  match.query = read_named(fields, "queryParams");
  match.method = fields.choice(
      "method", {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"});
  fields.finish();
  return match;
}

GrpcMatch read_grpc_match(Fields& fields) {
  GrpcMatch match;
  if (fields.present("method")) {
    Fields method = fields.map("method");
    match.type = read_match_type(method);
    match.service = method.text("service");
    match.method = method.text("method");
    if (match.service.empty() && match.method.empty()) {
      fields.error("method", "needs a service or a method");
    }
    method.finish();
  }
  match.headers = read_named(fields, "headers");
  fields.finish();
  return match;
}

RouteTimeouts read_timeouts(Fields fields) {
  RouteTimeouts timeouts{.request = fields.duration("request"),
                         .backend = fields.duration("backendRequest")};
  if (timeouts.request && timeouts.backend && timeouts.request->count() != 0 &&
      *timeouts.backend > *timeouts.request) {
    fields.error("backendRequest", "cannot be longer than request");
  }
  fields.finish();
  return timeouts;
}

RouteRetry read_retry(Fields fields) {
  RouteRetry retry;
  for (const std::string& code : number_texts(fields, "codes")) {
    const bool fits = code.size() == 3 && code[0] >= '4' && code[0] <= '5' &&
                      code.find_first_not_of("0123456789") == std::string::npos;
    if (!fits) {
      fields.error("codes", "must be status codes, 400 to 599");
    } else {
      retry.codes.push_back(static_cast<std::uint16_t>(std::stoi(code)));
    }
  }
  retry.attempts = fields.optional_number("attempts", 1000);
  retry.backoff = fields.duration("backoff");
  fields.finish();
  return retry;
}

HttpRule read_http_rule(Fields& fields) {
  HttpRule rule;
  rule.name = fields.text("name");
  for (Fields& match : fields.maps("matches", kMaxMatches)) {
    rule.matches.push_back(read_http_match(match));
  }
  rule.filters = read_filters(fields);
  rule.backends = read_backends(fields, true);
  rule.timeouts = read_timeouts(fields.map("timeouts"));
  if (fields.present("retry")) rule.retry = read_retry(fields.map("retry"));
  fields.ignore("retry");
  if (fields.present("sessionPersistence")) {
    fields.error("sessionPersistence", "is not supported");
  }
  fields.ignore("sessionPersistence");
  if (rule.filters.redirect && !rule.backends.empty()) {
    fields.error("backendRefs", "a rule that redirects has none");
  }
  fields.finish();
  return rule;
}

GrpcRule read_grpc_rule(Fields& fields) {
  GrpcRule rule;
  rule.name = fields.text("name");
  for (Fields& match : fields.maps("matches", kMaxMatches)) {
    rule.matches.push_back(read_grpc_match(match));
  }
  rule.filters = read_filters(fields);
  rule.backends = read_backends(fields, true);
  if (rule.filters.redirect || rule.filters.rewrite || rule.filters.cors) {
    fields.error("filters", "is not a filter that a GRPCRoute has");
  }
  if (fields.present("sessionPersistence")) {
    fields.error("sessionPersistence", "is not supported");
  }
  fields.ignore("sessionPersistence");
  fields.finish();
  return rule;
}

template <class Route>
Route read_l4_route(Fields& document, Metadata metadata) {
  Route route;
  route.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  route.parents = read_parents(spec);
  if constexpr (requires { route.hostnames; }) route.hostnames = spec.texts("hostnames");
  for (Fields& fields : spec.maps("rules", kMaxRules)) {
    L4Rule rule;
    rule.name = fields.text("name");
    rule.backends = read_backends(fields, false);
    fields.finish();
    route.rules.push_back(std::move(rule));
  }
  if (route.rules.empty()) spec.error("rules", "is required");
  spec.finish();
  return route;
}

template <class Route, class Rule>
Route read_l7_route(Fields& document, Metadata metadata, Rule read_rule) {
  Route route;
  route.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  route.parents = read_parents(spec);
  route.hostnames = spec.texts("hostnames");
  for (Fields& rule : spec.maps("rules", kMaxRules)) route.rules.push_back(read_rule(rule));
  spec.finish();
  return route;
}

}  // namespace

std::vector<std::string> number_texts(Fields& fields, std::string_view key) {
  const bool strict = fields.report().strict;
  fields.report().strict = false;
  std::vector<std::string> texts = fields.texts(key);
  fields.report().strict = strict;
  return texts;
}

Object read_route(Kind kind, Fields& document, Metadata metadata) {
  switch (kind) {
    case Kind::kGrpcRoute:
      return read_l7_route<GrpcRoute>(document, std::move(metadata), read_grpc_rule);
    case Kind::kTcpRoute:
      return read_l4_route<TcpRoute>(document, std::move(metadata));
    case Kind::kTlsRoute:
      return read_l4_route<TlsRoute>(document, std::move(metadata));
    default: {
      HttpRoute route = read_l7_route<HttpRoute>(document, std::move(metadata), read_http_rule);
      // The API server's default: one rule, for everything.
      if (!document.map("spec").present("rules")) route.rules.emplace_back();
      return route;
    }
  }
}

}  // namespace mesh::manifest
