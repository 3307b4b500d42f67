#include "mesh/manifest/mesh_config.h"

#include <algorithm>
#include <charconv>

#include "mesh/manifest/fields.h"

namespace mesh::manifest {
namespace {

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
void fill_service(Fields& from, AuthzProvider& to) {
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
  if (const auto timeout = from.duration("timeout")) made.timeout = *timeout;
  if (made.timeout.count() <= 0 || made.timeout > std::chrono::minutes(10)) {
    from.error("timeout", "must be above 0 and at most 10m");
  }
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

void read_providers(Fields& from, MeshConfig& config) {
  for (Fields& provider : from.maps("extensionProviders", kProvidersMax)) {
    std::string name = provider.required_text("name");
    const bool grpc = provider.present("envoyExtAuthzGrpc");
    if (!grpc && !provider.present("envoyExtAuthzHttp")) continue;  // another kind
    if (config.authorizer(name) != nullptr) {
      provider.error("name", "there are two providers \"" + name + "\"");
      continue;
    }
    // A name is told apart in the name of a policy, "istio-ext-authz-NAME-ns[…".
    if (name.find_first_of("[]\"") != std::string::npos) provider.error("name", "holds a bracket");
    const char* const key = grpc ? "envoyExtAuthzGrpc" : "envoyExtAuthzHttp";
    config.authorizers.push_back(authorizer_of(provider.map(key), std::move(name), grpc));
  }
}

void read(const std::string& file, std::string_view text, int depth, ParsedMeshConfig& to) {
  const YamlFile yaml = read_yaml(text);
  Parsed collected;
  Report report{.parsed = &collected, .file = file, .object = "MeshConfig", .strict = true};
  for (const YamlError& error : yaml.errors) report.error(error.line, "", error.message);
  if (yaml.documents.size() > 1) report.error(1, "", "more than one document");
  if (yaml.errors.empty() && yaml.documents.size() == 1 && !yaml.documents[0].is_null()) {
    Fields whole(report, &yaml.documents[0], "");
    if (depth == 0 && whole.text("kind") == "ConfigMap") {
      Fields data = whole.map("data");
      read(file, data.text("mesh"), depth + 1, to);
    } else {
      read_providers(whole, to.config);
    }
  }
  to.problems.insert(to.problems.end(), collected.problems.begin(), collected.problems.end());
}

}  // namespace

const AuthzProvider* MeshConfig::authorizer(std::string_view name) const {
  const auto found = std::ranges::find(authorizers, name, &AuthzProvider::name);
  return found == authorizers.end() ? nullptr : &*found;
}

ParsedMeshConfig parse_mesh_config(const std::string& file, std::string_view text) {
  ParsedMeshConfig parsed;
  if (text.size() > kMaxFileBytes) {
    Problem& problem = parsed.problems.emplace_back();
    problem.file = file;
    problem.message = "longer than 4 MiB";
    return parsed;
  }
  read(file, text, 0, parsed);
  return parsed;
}

}  // namespace mesh::manifest
