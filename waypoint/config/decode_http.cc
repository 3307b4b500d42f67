// How HTTP is spoken: HttpConnectionManager and its tracing.

#include <string>

#include "waypoint/config/decode_http.h"
#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

constexpr std::string_view kHeaderMutation =
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

// The filter by which Istio tells the application who called: it does one thing, which is ours to
// do.
bool names_the_client(Input& in, const Tree& config) {
  const Tree* mutations = in.object(config, "mutations");
  if (mutations == nullptr || mutations->has("responseMutations")) return false;
  const auto requests = in.list(*mutations, "requestMutations");
  for (const Tree* one : requests) {
    const Tree* append = in.object(*one, "append");
    const Tree* header = append == nullptr ? nullptr : in.object(*append, "header");
    if (header == nullptr || to_lower(in.text(*header, "key")) != "x-forwarded-client-cert") {
      return false;
    }
  }
  return !requests.empty();
}

void http_filters(Input& in, const Tree& at, HttpChain& chain) {
  for (const Tree* one : in.list(at, "httpFilters")) {
    HttpFilter filter{.name = in.text(*one, "name")};
    filter.disabled = in.flag(*one, "disabled");
    Input::overlook(*one, {"isOptional"});  // what is not there is refused, optional or not
    const auto which = in.one_of(*one, {"typedConfig", "configDiscovery"});
    const Tree* config = which.empty() ? nullptr : in.object(*one, which);
    if (config == nullptr) {
      in.refuse(*one, "a filter without a configuration");
    } else if (which == "configDiscovery") {
      Input::overlook(config);
      filter.discovered = true;
      filter.settings =
          UnavailableFilter{.problem = "the extension " + filter.name + " has not come"};
      chain.filters.push_back(std::move(filter));
    } else if (config->any_type() == kHeaderMutation && names_the_client(in, *config)) {
      Input::overlook(config);
      chain.client_cert = HttpChain::ClientCert::kIdentity;
    } else if (http_filter(in, *config, filter) == FilterUse::kUsed) {
      chain.filters.push_back(std::move(filter));
    }
  }
}

double sampling(Input& in, const Tree& at, std::string_view name) {
  const Tree* found = in.object(at, name);
  return found == nullptr ? 100 : in.real(*found, "value");
}

void tracing_provider(Input& in, const Tree& at, Tracing& made) {
  Input::overlook(at, {"name"});
  const Tree* config = in.object(at, "typedConfig");
  if (config == nullptr || config->any_type() != "envoy.config.trace.v3.OpenTelemetryConfig") {
    return in.note(at, "a tracer that is not OpenTelemetry");
  }
  made.service_name = in.text(*config, "serviceName");
  if (const Tree* service = in.object(*config, "grpcService")) {
    if (const Tree* grpc = in.object(*service, "envoyGrpc")) {
      made.cluster = in.text(*grpc, "clusterName");
      made.authority = in.text(*grpc, "authority");
    }
    Input::overlook(*service, {"timeout"});
  }
  if (const Tree* service = in.object(*config, "httpService")) {
    made.http = true;
    if (const Tree* uri = in.object(*service, "httpUri")) {
      made.cluster = in.text(*uri, "cluster");
      made.http_path = in.text(*uri, "uri");
      Input::overlook(*uri, {"timeout"});
    }
  }
}

void protocol_options(Input& in, const Tree& at, HttpChain& chain) {
  if (const Tree* common = in.object(at, "commonHttpProtocolOptions")) {
    chain.idle_timeout = in.duration(*common, "idleTimeout", chain.idle_timeout);
    chain.max_stream_duration = in.duration(*common, "maxStreamDuration", Millis(0));
    chain.max_headers = static_cast<std::uint32_t>(in.number(*common, "maxHeadersCount", 100));
  }
  if (const Tree* h2 = in.object(at, "http2ProtocolOptions"))
    Input::overlook(*h2, {"allowConnect"});
}

void paths(Input& in, const Tree& at, HttpChain& chain) {
  using Slashes = HttpChain::EscapedSlashes;
  static constexpr Slashes kSlashes[] = {Slashes::kKeep, Slashes::kKeep, Slashes::kReject,
                                         Slashes::kUnescapeAndRedirect,
                                         Slashes::kUnescapeAndForward};
  chain.normalize_path = in.flag(at, "normalizePath", true);
  chain.merge_slashes = in.flag(at, "mergeSlashes");
  chain.escaped_slashes =
      kSlashes[in.choice(at, "pathWithEscapedSlashesAction",
                         {"IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", "REJECT_REQUEST",
                          "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"})];
}

}  // namespace

std::optional<Tracing> tracing(Input& in, const Tree& at) {
  const Tree* config = in.object(at, "tracing");
  if (config == nullptr) return std::nullopt;
  Tracing made{.random_sampling = sampling(in, *config, "randomSampling"),
               .client_sampling = sampling(in, *config, "clientSampling"),
               .overall_sampling = sampling(in, *config, "overallSampling")};
  if (const Tree* provider = in.object(*config, "provider")) tracing_provider(in, *provider, made);
  made.max_path = static_cast<std::uint32_t>(in.number(*config, "maxPathTagLength", 256));
  for (const Tree* tag : in.list(*config, "customTags")) {
    const std::string name = in.text(*tag, "tag");
    if (const Tree* literal = in.object(*tag, "literal")) {
      made.literal_tags.emplace_back(name, in.text(*literal, "value"));
    } else if (const Tree* header = in.object(*tag, "requestHeader")) {
      made.header_tags.push_back(
          {name, to_lower(in.text(*header, "name")), in.text(*header, "defaultValue")});
    } else {
      // Istio's own tags about peers and dry runs: the waypoint's spans have them by themselves.
      Input::overlook(tag);
      if (!name.starts_with("istio.")) in.note(*tag, "this tag is not supported");
    }
  }
  return made;
}

HttpChain http_chain(Input& in, const Tree& at) {
  HttpChain chain{.stat_prefix = in.text(at, "statPrefix")};
  http_filters(in, at, chain);
  const auto which = in.one_of(at, {"routeConfig", "rds"});
  const Tree* routes = which.empty() ? nullptr : in.object(at, which);
  if (routes == nullptr) {
    in.refuse(at, "HTTP without routes");
  } else if (which == "rds") {
    chain.route_config_name = in.text(*routes, "routeConfigName");
    Input::overlook(*routes, {"configSource"});
  } else {
    chain.routes = std::make_shared<const RouteTable>(route_table(in, *routes));
  }
  paths(in, at, chain);
  for (const Tree* one : in.list(at, "upgradeConfigs")) {
    if (one->has("filters")) in.refuse(*one, "filters of an upgrade are not supported");
    if (in.flag(*one, "enabled", true))
      chain.upgrades.push_back(to_lower(in.text(*one, "upgradeType")));
  }
  chain.proxy_100_continue = in.flag(at, "proxy100Continue");
  if (at.has("serverName")) chain.server_name = in.text(at, "serverName");
  chain.stream_idle_timeout = in.duration(at, "streamIdleTimeout", chain.stream_idle_timeout);
  chain.request_timeout = in.duration(at, "requestTimeout", chain.request_timeout);
  chain.request_headers_timeout = in.duration(at, "requestHeadersTimeout", Millis(0));
  chain.drain_timeout = in.duration(at, "drainTimeout", chain.drain_timeout);
  chain.max_request_headers_kb =
      static_cast<std::uint32_t>(in.number(at, "maxRequestHeadersKb", 60, 8'192));
  protocol_options(in, at, chain);
  chain.use_remote_address = in.flag(at, "useRemoteAddress");
  chain.trusted_hops = static_cast<std::uint32_t>(in.number(at, "xffNumTrustedHops", 0, 255));
  if (in.choice(at, "forwardClientCertDetails",
                {"SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET",
                 "ALWAYS_FORWARD_ONLY"}) != 0) {
    in.note(at, "forwardClientCertDetails: SANITIZE is done");
  }
  chain.preserve_external_request_id = in.flag(at, "preserveExternalRequestId");
  chain.always_set_request_id = in.flag(at, "alwaysSetRequestIdInResponse");
  chain.access_logs = access_logs(in, at);
  chain.tracing = tracing(in, at);
  Input::overlook(at, {"requestIdExtension", "codecType", "generateRequestId", "skipXffAppend"});
  return chain;
}

}  // namespace mesh::waypoint::config::parts
