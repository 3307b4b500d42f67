#include "mesh/manifest/mesh_config.h"

#include <algorithm>
#include <charconv>

#include "mesh/manifest/fields.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kDomainMax = 256;

// What the incumbent writes as JSON unless told otherwise.
std::vector<std::pair<std::string, std::string>> usual_json() {
  return {{"authority", "%REQ(:AUTHORITY)%"},
          {"bytes_received", "%BYTES_RECEIVED%"},
          {"bytes_sent", "%BYTES_SENT%"},
          {"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
          {"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
          {"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
          {"duration", "%DURATION%"},
          {"method", "%REQ(:METHOD)%"},
          {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
          {"protocol", "%PROTOCOL%"},
          {"request_id", "%REQ(X-REQUEST-ID)%"},
          {"requested_server_name", "%REQUESTED_SERVER_NAME%"},
          {"response_code", "%RESPONSE_CODE%"},
          {"response_code_details", "%RESPONSE_CODE_DETAILS%"},
          {"response_flags", "%RESPONSE_FLAGS%"},
          {"route_name", "%ROUTE_NAME%"},
          {"start_time", "%START_TIME%"},
          {"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"},
          {"upstream_host", "%UPSTREAM_HOST%"},
          {"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
          {"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
          {"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
          {"user_agent", "%REQ(USER-AGENT)%"},
          {"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"}};
}

std::uint16_t status_of(Fields& from) {
  const std::string text = from.text("statusOnError");
  if (text.empty()) return 403;
  std::uint16_t status = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  if (error != std::errc() || end != text.data() + text.size() || status < 200 || status > 599) {
    from.error("statusOnError", "not an HTTP status");
  }
  return status;
}

std::optional<AuthzProvider::Body> body_of(Fields& from) {
  if (!from.present("includeRequestBodyInCheck")) return std::nullopt;
  Fields body = from.map("includeRequestBodyInCheck");
  AuthzProvider::Body made{.max_bytes = body.number("maxRequestBytes", 1u << 20),
                           .allow_partial = body.flag("allowPartialMessage", false),
                           .pack_as_bytes = body.flag("packAsBytes", false)};
  if (made.max_bytes == 0) body.error("maxRequestBytes", "must be from 1 to 1048576");
  body.finish();
  return made;
}

// "host" or "namespace/host".
template <class Provider>
void fill_service(Fields& from, Provider& to) {
  std::string service = from.required_text("service");
  const auto slash = service.find('/');
  if (slash != std::string::npos) {
    to.ns = service.substr(0, slash);
    service.erase(0, slash + 1);
  }
  to.host = service;
  to.port = from.port("port");
  if (to.host.empty() || to.port == 0) from.error("service", "a service without a host or a port");
}

std::chrono::milliseconds timeout_of(Fields& from, std::string_view key,
                                     std::chrono::milliseconds usual, std::chrono::minutes most) {
  const auto timeout = from.duration(key).value_or(usual);
  if (timeout.count() <= 0 || timeout > most) {
    from.error(key, "must be above 0 and at most " + std::to_string(most.count()) + "m");
  }
  return timeout;
}

std::vector<std::string> names(Fields& from, std::string_view key) {
  std::vector<std::string> made = from.texts(key);
  for (std::string& name : made) {
    std::ranges::transform(name, name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    const auto star = name.find('*');
    if (name.empty() || (star != std::string::npos && star != 0 && star + 1 != name.size())) {
      from.error(key, "\"" + name + "\" is not a name, \"prefix*\", \"*suffix\" or \"*\"");
    }
  }
  return made;
}

AuthzProvider authorizer_of(Fields from, std::string name, bool grpc) {
  AuthzProvider made{.name = std::move(name), .grpc = grpc};
  fill_service(from, made);
  made.timeout = timeout_of(from, "timeout", made.timeout, std::chrono::minutes(10));
  made.fail_open = from.flag("failOpen", false);
  made.status_on_error = status_of(from);
  made.clear_route_cache = from.flag("clearRouteCache", false);
  made.body = body_of(from);
  if (!grpc) {
    made.path_prefix = from.text("pathPrefix");
    if (!made.path_prefix.empty() && made.path_prefix[0] != '/') {
      from.error("pathPrefix", "must begin with /");
    }
    made.request_headers = names(from, "includeRequestHeadersInCheck");
    for (std::string& older : names(from, "includeHeadersInCheck")) {
      made.request_headers.push_back(std::move(older));
    }
    for (auto& [key, value] : from.labels("includeAdditionalHeadersInCheck")) {
      made.added_headers.emplace_back(key, value);
    }
    made.upstream_headers = names(from, "headersToUpstreamOnAllow");
    made.client_headers_on_allow = names(from, "headersToDownstreamOnAllow");
    made.client_headers_on_deny = names(from, "headersToDownstreamOnDeny");
  }
  from.finish();
  return made;
}

LimitProvider limiter_of(Fields from, std::string name) {
  LimitProvider made{.name = std::move(name)};
  fill_service(from, made);
  made.domain = from.required_text("domain");
  if (made.domain.size() > kDomainMax) from.error("domain", "longer than 256 bytes");
  made.timeout = timeout_of(from, "timeout", made.timeout, std::chrono::minutes(10));
  made.fail_open = from.flag("failOpen", false);
  from.finish();
  return made;
}

ProcessorProvider::Side side_of(Fields& from, const std::string& side) {
  using Body = ProcessorProvider::Body;
  const auto sends = [&](const char* what, const char* usual) {
    return from.choice(side + what, {"SEND", "SKIP"}, usual) == "SEND";
  };
  ProcessorProvider::Side made{.headers = sends("HeaderMode", "SEND"),
                               .trailers = sends("TrailerMode", "SKIP")};
  const std::string body =
      from.choice(side + "BodyMode", {"NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL"}, "NONE");
  made.body = body == "STREAMED"           ? Body::kStreamed
              : body == "BUFFERED"         ? Body::kBuffered
              : body == "BUFFERED_PARTIAL" ? Body::kBufferedPartial
                                           : Body::kNone;
  return made;
}

ProcessorProvider processor_of(Fields from, std::string name) {
  ProcessorProvider made{.name = std::move(name)};
  fill_service(from, made);
  made.message_timeout =
      timeout_of(from, "messageTimeout", made.message_timeout, std::chrono::minutes(10));
  made.fail_open = from.flag("failOpen", false);
  made.allow_mode_override = from.flag("allowModeOverride", false);
  Fields mode = from.map("processingMode");
  made.request = side_of(mode, "request");
  made.response = side_of(mode, "response");
  mode.finish();
  from.finish();
  return made;
}

template <class T>
const T* named(const std::vector<T>& list, std::string_view name) {
  const auto found = std::ranges::find(list, name, &T::name);
  return found == list.end() ? nullptr : &*found;
}

bool is_taken(const MeshConfig& config, std::string_view name) {
  return config.authorizer(name) != nullptr || config.limiter(name) != nullptr ||
         config.processor(name) != nullptr || config.tracer(name) != nullptr ||
         named(config.loggers, name) != nullptr ||
         std::ranges::find(config.unusable, name, &std::pair<std::string, std::string>::first) !=
             config.unusable.end();
}

// Fields that a collector's settings may have and that we do not act on.
std::string unread_of(const Fields& from, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (from.present(key)) return from.path_of(key) + " is not supported";
  }
  return {};
}

void read_tracer(Fields from, std::string name, MeshConfig& config) {
  TracingProvider made{.name = name};
  std::string problem = unread_of(from, {"resourceDetectors", "dynatraceSampler"});
  from.ignore("resourceDetectors");
  from.ignore("dynatraceSampler");
  fill_service(from, made);
  made.http = from.present("http");
  Fields how = from.map(made.http ? "http" : "grpc");
  if (problem.empty()) problem = unread_of(how, {"headers", "initialMetadata"});
  how.ignore("headers");
  how.ignore("initialMetadata");
  if (made.http) made.path = how.text("path", made.path);
  if (!made.path.starts_with('/')) made.path.insert(0, 1, '/');
  if (made.path.find_first_of(" \t\r\n") != std::string::npos) how.error("path", "not a path");
  made.timeout = timeout_of(how, "timeout", made.timeout, std::chrono::minutes(1));
  how.finish();
  made.max_tag_length = from.optional_number("maxTagLength", 65'536).value_or(256);
  from.finish();
  if (problem.empty()) {
    config.tracers.push_back(std::move(made));
  } else {
    config.unusable.emplace_back(std::move(name), std::move(problem));
  }
}

void read_logger(Fields from, std::string name, MeshConfig& config) {
  LogProvider made{.name = std::move(name)};
  made.path = from.text("path", made.path);
  made.omit_empty = from.flag("omitEmptyValues", false);
  Fields format = from.map("logFormat");
  made.text = format.text("text");
  const Value* labels = format.take("labels");
  format.finish();
  from.finish();
  bool texts = labels == nullptr || labels->type == Value::Type::kMap;
  for (std::size_t i = 0; texts && labels != nullptr && i < labels->keys.size(); ++i) {
    texts = labels->items[i].type == Value::Type::kScalar;
    if (texts) made.fields.emplace_back(labels->keys[i], labels->items[i].text);
  }
  if (texts) {
    config.loggers.push_back(std::move(made));
  } else {
    config.unusable.emplace_back(made.name, "logFormat.labels: only texts are supported");
  }
}

// A kind that we do not have: whoever refers to it is told.
void read_other(const Fields& provider, std::string name, MeshConfig& config) {
  std::string kind = "nothing that is known";
  if (const Value* value = provider.value()) {  // none: it is no map, which is said already
    for (const std::string& key : value->keys) {
      if (key != "name") kind = key;
    }
  }
  config.unusable.emplace_back(std::move(name), kind.substr(0, 64) + " is not supported");
}

void read_providers(Fields& from, MeshConfig& config) {
  for (Fields& provider : from.maps("extensionProviders", kProvidersMax)) {
    std::string name = provider.required_text("name");
    if (is_taken(config, name)) {
      provider.error("name", "there are two providers \"" + name + "\"");
      continue;
    }
    // A name is told apart in the name of a policy, "istio-ext-authz-NAME-ns[…".
    if (name.find_first_of("[]\"") != std::string::npos) provider.error("name", "holds a bracket");
    if (provider.present("opentelemetry")) {
      read_tracer(provider.map("opentelemetry"), std::move(name), config);
    } else if (provider.present("envoyFileAccessLog")) {
      read_logger(provider.map("envoyFileAccessLog"), std::move(name), config);
    } else if (provider.present("envoyExtAuthzGrpc") || provider.present("envoyExtAuthzHttp")) {
      const bool grpc = provider.present("envoyExtAuthzGrpc");
      const char* const key = grpc ? "envoyExtAuthzGrpc" : "envoyExtAuthzHttp";
      config.authorizers.push_back(authorizer_of(provider.map(key), std::move(name), grpc));
    } else if (provider.present("weftRateLimitGrpc")) {
      config.limiters.push_back(limiter_of(provider.map("weftRateLimitGrpc"), std::move(name)));
    } else if (provider.present("weftExtProcGrpc")) {
      config.processors.push_back(processor_of(provider.map("weftExtProcGrpc"), std::move(name)));
    } else {
      read_other(provider, std::move(name), config);
    }
  }
}

// accessLogFile and its like: the log that is called "envoy", and whether it is written unasked.
void read_usual_log(Fields& from, MeshConfig& config) {
  const std::string file = from.text("accessLogFile");
  const std::string format = from.text("accessLogFormat");
  LogProvider usual{.name = "envoy"};
  if (!file.empty()) usual.path = file;
  if (from.choice("accessLogEncoding", {"TEXT", "JSON"}, "TEXT") == "TEXT") {
    usual.text = format;
  } else if (!format.empty()) {
    const YamlFile json = read_yaml(format);
    bool texts = json.errors.empty() && json.documents.size() == 1 &&
                 json.documents[0].type == Value::Type::kMap;
    for (std::size_t i = 0; texts && i < json.documents[0].keys.size(); ++i) {
      texts = json.documents[0].items[i].type == Value::Type::kScalar;
      usual.fields.emplace_back(json.documents[0].keys[i], json.documents[0].items[i].text);
    }
    if (!texts) from.error("accessLogFormat", "not a JSON object of texts");
  } else {
    usual.fields = usual_json();
  }
  if (named(config.loggers, "envoy") == nullptr) config.loggers.push_back(std::move(usual));
  if (!file.empty() && config.default_logging.empty()) config.default_logging = {"envoy"};
}

void read_defaults(Fields& from, MeshConfig& config) {
  Fields defaults = from.map("defaultProviders");
  config.default_tracing = defaults.texts("tracing");
  config.default_logging = defaults.texts("accessLogging");
}

void read(const std::string& file, std::string_view text, int depth, ParsedMeshConfig& to) {
  const YamlFile yaml = read_yaml(text);
  Parsed collected;
  Report report{
      .parsed = &collected, .file = file, .object = std::string(kMeshConfigObject), .strict = true};
  for (const YamlError& error : yaml.errors) report.error(error.line, "", error.message);
  if (yaml.documents.size() > 1) report.error(1, "", "more than one document");
  if (yaml.errors.empty() && yaml.documents.size() == 1 && !yaml.documents[0].is_null()) {
    Fields whole(report, &yaml.documents[0], "");
    if (depth == 0 && whole.text("kind") == "ConfigMap") {
      Fields data = whole.map("data");
      read(file, data.text("mesh"), depth + 1, to);
    } else {
      read_providers(whole, to.config);
      read_defaults(whole, to.config);
      read_usual_log(whole, to.config);
    }
  }
  to.problems.insert(to.problems.end(), collected.problems.begin(), collected.problems.end());
}

}  // namespace

const AuthzProvider* MeshConfig::authorizer(std::string_view name) const {
  return named(authorizers, name);
}

const LimitProvider* MeshConfig::limiter(std::string_view name) const {
  return named(limiters, name);
}

const ProcessorProvider* MeshConfig::processor(std::string_view name) const {
  return named(processors, name);
}

const TracingProvider* MeshConfig::tracer(std::string_view name) const {
  return named(tracers, name);
}

const LogProvider* MeshConfig::logger(std::string_view name) const {
  static const LogProvider kUsual{.name = "envoy"};
  const LogProvider* found = named(loggers, name);
  return found == nullptr && name == kUsual.name ? &kUsual : found;
}

std::string MeshConfig::why_not(std::string_view name, std::string_view what) const {
  const std::string start = "provider " + std::string(name) + ": ";
  for (const auto& [other, why] : unusable) {
    if (other == name) return start + why;
  }
  if (is_taken(*this, name)) return start + "not one of " + std::string(what);
  return "provider " + std::string(name) + " is not known";
}

ParsedMeshConfig parse_mesh_config(const std::string& file, std::string_view text) {
  ParsedMeshConfig parsed;
  if (text.size() > kMaxFileBytes) {
    Problem& problem = parsed.problems.emplace_back();
    problem.file = file;
    problem.object = kMeshConfigObject;
    problem.message = "longer than 4 MiB";
    return parsed;
  }
  read(file, text, 0, parsed);
  return parsed;
}

}  // namespace mesh::manifest
