// VirtualService.

#include <algorithm>
#include <string_view>

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxRoutes = 1'000;
constexpr std::size_t kMaxMatches = 256;
constexpr std::size_t kMaxDestinations = 64;
constexpr const char* kNeverHolds = "this match never holds at a waypoint";

StringMatch read_string_match(Fields fields) {
  StringMatch match;
  unsigned given = 0;
  const auto take = [&](std::string_view key, StringMatch::Type type) {
    if (!fields.present(key)) return fields.ignore(key);
    ++given;
    match = {.type = type, .value = fields.text(key)};
  };
  take("exact", StringMatch::Type::kExact);
  take("prefix", StringMatch::Type::kPrefix);
  take("regex", StringMatch::Type::kRegex);
  if (given > 1) fields.error("exact", "only one of exact, prefix and regex can be given");
  fields.finish();
  return match;
}

std::optional<StringMatch> read_optional_match(Fields& parent, std::string_view key) {
  const bool present = parent.present(key);
  Fields fields = parent.map(key);
  if (!present) return {};
  StringMatch match = read_string_match(fields);
  if (match.type == StringMatch::Type::kPresent) {
    parent.error(key, "needs exact, prefix or regex");
  }
  return match;
}

StringMatches read_matches(Fields& parent, std::string_view key) {
  StringMatches matches;
  for (auto& [name, fields] : parent.entries(key)) matches[name] = read_string_match(fields);
  return matches;
}

// Whose requests: a waypoint does not know the labels of who calls.
template <class Match>
void read_sources(Fields& fields, Match& into) {
  into.source_labels = fields.labels("sourceLabels");
  into.source_namespace = fields.text("sourceNamespace");
  if (!into.source_labels.empty()) fields.unhonoured("sourceLabels", kNeverHolds);
  if (!into.source_namespace.empty()) fields.unhonoured("sourceNamespace", kNeverHolds);
}

VirtualMatch read_http_match(Fields& fields) {
  VirtualMatch match;
  match.name = fields.text("name");
  match.uri = read_optional_match(fields, "uri");
  match.scheme = read_optional_match(fields, "scheme");
  match.method = read_optional_match(fields, "method");
  match.authority = read_optional_match(fields, "authority");
  match.headers = read_matches(fields, "headers");
  match.without_headers = read_matches(fields, "withoutHeaders");
  match.query = read_matches(fields, "queryParams");
  match.port = fields.port("port");
  match.ignore_uri_case = fields.flag("ignoreUriCase", false);
  read_sources(fields, match);
  match.gateways = fields.texts("gateways");
  fields.unhonoured("statPrefix", "is not honoured: routes have no statistics of their own");
  fields.finish();
  return match;
}

HeaderChange read_header_change(Fields fields) {
  HeaderChange change;
  for (const auto& [name, value] : fields.labels("set")) change.set.emplace_back(name, value);
  for (const auto& [name, value] : fields.labels("add")) change.add.emplace_back(name, value);
  change.remove = fields.texts("remove");
  fields.finish();
  return change;
}

void read_headers(Fields& parent, HeaderChange& request, HeaderChange& response) {
  Fields fields = parent.map("headers");
  request = read_header_change(fields.map("request"));
  response = read_header_change(fields.map("response"));
  fields.finish();
}

VirtualDestination read_address(Fields fields) {
  VirtualDestination destination;
  destination.host = fields.required_text("host");
  destination.subset = fields.text("subset");
  Fields port = fields.map("port");
  destination.port = port.port("number");
  port.finish();
  fields.finish();
  return destination;
}

std::vector<VirtualDestination> read_destinations(Fields& route, bool http) {
  std::vector<VirtualDestination> destinations;
  for (Fields& fields : route.maps("route", kMaxDestinations)) {
    VirtualDestination destination = read_address(fields.map("destination"));
    destination.weight = fields.number("weight", 1u << 24);
    if (http) read_headers(fields, destination.request_headers, destination.response_headers);
    fields.finish();
    destinations.push_back(std::move(destination));
  }
  return destinations;
}

VirtualRedirect read_redirect(Fields fields) {
  VirtualRedirect redirect;
  redirect.uri = fields.text("uri");
  redirect.prefix = fields.text("prefixRewrite");
  if (!redirect.uri.empty() && !redirect.prefix.empty()) {
    fields.error("uri", "cannot be beside prefixRewrite");
  }
  redirect.authority = fields.text("authority");
  redirect.scheme = fields.text("scheme");
  redirect.port = fields.port("port");
  if (fields.present("derivePort")) fields.error("derivePort", "is not supported");
  fields.ignore("derivePort");
  redirect.status =
      static_cast<std::uint16_t>(fields.optional_number("redirectCode", 399).value_or(301));
  if (redirect.status < 300) fields.error("redirectCode", "must be 300 to 399");
  fields.finish();
  return redirect;
}

double read_share(Fields& fields) {
  const double deprecated = fields.percent("percent", 100);
  if (!fields.present("percentage")) {
    fields.ignore("percentage");
    return deprecated;
  }
  Fields percentage = fields.map("percentage");
  const double share = percentage.percent("value", 0);
  percentage.finish();
  return share;
}

VirtualFault read_fault(Fields fields) {
  VirtualFault fault;
  if (fields.present("delay")) {
    Fields delay = fields.map("delay");
    fault.delay_percent = read_share(delay);
    const auto fixed = delay.duration("fixedDelay");
    if (!fixed) delay.error("fixedDelay", "is required");
    fault.delay = fixed.value_or(Milliseconds(0));
    delay.finish();
  }
  if (fields.present("abort")) {
    Fields abort = fields.map("abort");
    fault.abort_percent = read_share(abort);
    fault.abort_status = static_cast<std::uint16_t>(abort.number("httpStatus", 599));
    fault.abort_grpc = abort.text("grpcStatus");
    if (fault.abort_grpc.empty() && fault.abort_status < 200) {
      abort.error("httpStatus", "must be 200 to 599");
    }
    abort.finish();
  }
  fields.ignore("delay");
  fields.ignore("abort");
  fields.finish();
  return fault;
}

// What Envoy knows, and numbers: the others it would pass over.
bool is_retry_condition(std::string_view name) {
  static constexpr std::string_view kKnown[] = {"5xx",
                                                "gateway-error",
                                                "reset",
                                                "reset-before-request",
                                                "connect-failure",
                                                "envoy-ratelimited",
                                                "retriable-4xx",
                                                "refused-stream",
                                                "retriable-status-codes",
                                                "http3-post-connect-failure",
                                                "cancelled",
                                                "deadline-exceeded",
                                                "internal",
                                                "resource-exhausted",
                                                "unavailable"};
  const auto code = net::parse_port(name);
  if (code) return *code >= 100 && *code <= 599;
  return std::ranges::find(kKnown, name) != std::end(kKnown);
}

std::vector<std::string> read_retry_on(Fields& fields) {
  std::vector<std::string> conditions;
  const std::string text = fields.text("retryOn");
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    std::string_view one = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (one.empty()) continue;
    if (one == "retriable-headers") {
      fields.unhonoured("retryOn", "retriable-headers has no effect: nothing says which headers");
      continue;
    }
    if (!is_retry_condition(one)) {
      fields.error("retryOn", "'" + std::string(one.substr(0, 64)) + "' is no condition");
    }
    conditions.emplace_back(one);
  }
  return conditions;
}

VirtualRetry read_retry(Fields fields) {
  VirtualRetry retry;
  retry.attempts = fields.number("attempts", 1'000);
  retry.per_try = fields.duration("perTryTimeout");
  retry.on = read_retry_on(fields);
  if (fields.flag("retryRemoteLocalities", false)) {
    fields.unhonoured("retryRemoteLocalities",
                      "is not honoured: a retry goes where balancing sends it");
  }
  retry.avoid_previous_hosts = fields.flag("retryIgnorePreviousHosts", true);
  retry.backoff = fields.duration("backoff");
  if (retry.backoff && retry.backoff->count() < 1) fields.error("backoff", "must be above 0");
  fields.finish();
  return retry;
}

Cors read_cors(Fields fields) {
  Cors cors;
  for (Fields& origin : fields.maps("allowOrigins", 64)) {
    const StringMatch match = read_string_match(origin);
    if (match.type == StringMatch::Type::kExact) cors.origins.push_back(match.value);
    if (match.type == StringMatch::Type::kPrefix) cors.origin_prefixes.push_back(match.value);
    if (match.type == StringMatch::Type::kRegex) cors.origin_patterns.push_back(match.value);
    if (match.type == StringMatch::Type::kPresent) {
      fields.error("allowOrigins", "needs exact, prefix or regex");
    }
  }
  for (const std::string& origin : fields.texts("allowOrigin")) cors.origins.push_back(origin);
  for (const std::string& origin : cors.origins) {
    // In a Gateway API route it would be a wildcard, which opens more than an exact origin says.
    if (origin != "*" && origin.find('*') != std::string::npos) {
      fields.error("allowOrigins",
                   "a star in an exact origin matches nothing: use prefix or regex");
    }
  }
  cors.methods = fields.texts("allowMethods");
  cors.headers = fields.texts("allowHeaders");
  cors.expose = fields.texts("exposeHeaders");
  if (const auto age = fields.duration("maxAge")) {
    cors.max_age = static_cast<std::uint32_t>(age->count() / 1000);
  }
  cors.credentials = fields.flag("allowCredentials", false);
  cors.forward_unmatched =
      fields.choice("unmatchedPreflights", {"UNSPECIFIED", "FORWARD", "IGNORE"}) != "IGNORE";
  fields.finish();
  return cors;
}

void read_mirrors(Fields& fields, VirtualHttp& into) {
  if (fields.present("mirror")) {
    VirtualMirror mirror{.destination = read_address(fields.map("mirror")), .percent = 100};
    for (const char* deprecated : {"mirror_percent", "mirrorPercent"}) {
      mirror.percent = fields.percent(deprecated, mirror.percent);
    }
    Fields percentage = fields.map("mirrorPercentage");
    mirror.percent = percentage.percent("value", mirror.percent);
    percentage.finish();
    into.mirrors.push_back(std::move(mirror));
  }
  for (const char* read : {"mirror", "mirrorPercentage", "mirrorPercent", "mirror_percent"}) {
    fields.ignore(read);
  }
  for (Fields& item : fields.maps("mirrors", 16)) {
    VirtualMirror mirror{.destination = read_address(item.map("destination")), .percent = 100};
    Fields percentage = item.map("percentage");
    if (item.present("percentage")) mirror.percent = percentage.percent("value", 0);
    percentage.finish();
    item.finish();
    into.mirrors.push_back(std::move(mirror));
  }
}

void read_answers(Fields& fields, VirtualHttp& into) {
  if (fields.present("redirect")) into.redirect = read_redirect(fields.map("redirect"));
  if (fields.present("directResponse")) {
    Fields response = fields.map("directResponse");
    into.direct_status = static_cast<std::uint16_t>(response.number("status", 599));
    if (into.direct_status < 200) response.error("status", "must be 200 to 599");
    Fields body = response.map("body");
    into.direct_body = body.text("string");
    body.finish();
    response.finish();
  }
  if (fields.present("delegate")) fields.error("delegate", "is not supported");
  for (const char* read : {"redirect", "directResponse", "delegate"}) fields.ignore(read);
  const int answers = int{into.redirect.has_value()} + int{into.direct_status != 0} +
                      int{!into.destinations.empty()};
  if (answers != 1) {
    fields.error("route", "a rule needs exactly one of route, redirect and directResponse");
  }
}

void read_rewrite(Fields rewrite, VirtualHttp& into) {
  into.rewrite_uri = rewrite.text("uri");
  into.rewrite_authority = rewrite.text("authority");
  if (rewrite.present("uriRegexRewrite")) {
    Fields regex = rewrite.map("uriRegexRewrite");
    into.rewrite_pattern = regex.required_text("match");
    into.rewrite_substitution = regex.text("rewrite");
    regex.finish();
    if (!into.rewrite_uri.empty()) rewrite.error("uri", "cannot be beside uriRegexRewrite");
  }
  rewrite.ignore("uriRegexRewrite");
  rewrite.finish();
}

VirtualHttp read_http(Fields& fields) {
  VirtualHttp route;
  route.name = fields.text("name");
  for (Fields& match : fields.maps("match", kMaxMatches)) {
    route.matches.push_back(read_http_match(match));
  }
  route.destinations = read_destinations(fields, true);
  read_answers(fields, route);
  read_rewrite(fields.map("rewrite"), route);
  route.timeout = fields.duration("timeout");
  if (fields.present("retries")) route.retries = read_retry(fields.map("retries"));
  if (fields.present("fault")) route.fault = read_fault(fields.map("fault"));
  if (fields.present("corsPolicy")) route.cors = read_cors(fields.map("corsPolicy"));
  for (const char* read : {"retries", "fault", "corsPolicy"}) fields.ignore(read);
  read_mirrors(fields, route);
  read_headers(fields, route.request_headers, route.response_headers);
  if (route.destinations.empty()) {
    for (const char* idle : {"rewrite", "timeout", "retries", "mirror", "mirrors"}) {
      fields.unhonoured(idle, "has no effect where nothing is forwarded");
    }
  }
  fields.finish();
  return route;
}

VirtualL4 read_l4(Fields& fields, bool tls) {
  VirtualL4 route;
  for (Fields& item : fields.maps("match", kMaxMatches)) {
    VirtualL4Match match;
    if (tls) match.sni_hosts = item.texts("sniHosts");
    const std::vector<std::string> blocks = item.texts("destinationSubnets");
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const auto block = net::Cidr::parse(blocks[i]);
      if (block) {
        match.destinations.push_back(*block);
      } else {
        item.error("destinationSubnets", i, "is not an address block");
      }
    }
    match.port = item.port("port");
    if (!match.destinations.empty()) item.unhonoured("destinationSubnets", kNeverHolds);
    read_sources(item, match);
    match.gateways = item.texts("gateways");
    item.finish();
    route.matches.push_back(std::move(match));
  }
  route.destinations = read_destinations(fields, false);
  if (route.destinations.empty()) fields.error("route", "is required");
  fields.finish();
  return route;
}

}  // namespace

VirtualService read_virtual_service(Fields& document, Metadata metadata) {
  VirtualService service;
  service.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  service.hosts = spec.texts("hosts");
  if (service.hosts.empty()) spec.error("hosts", "is required");
  service.gateways = spec.texts("gateways");
  for (Fields& route : spec.maps("http", kMaxRoutes)) service.http.push_back(read_http(route));
  for (Fields& route : spec.maps("tls", kMaxRoutes)) service.tls.push_back(read_l4(route, true));
  for (Fields& route : spec.maps("tcp", kMaxRoutes)) service.tcp.push_back(read_l4(route, false));
  if (!service.tls.empty()) {
    spec.unhonoured("tls", "is not honoured: a waypoint does not look into TLS");
  }
  service.export_to = spec.texts("exportTo");
  spec.finish();
  service.unhonoured = spec.report().unhonoured;
  return service;
}

}  // namespace mesh::manifest
