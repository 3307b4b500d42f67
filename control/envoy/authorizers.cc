#include "control/envoy/authorizers.h"

#include <map>
#include <utility>

#include "control/envoy/authorization.h"
#include "control/envoy/providers.h"
#include "control/trust_domains.h"
#include "envoy/ext_authz.pb.h"
#include "envoy/http_connection_manager.pb.h"
#include "envoy/http_rbac.pb.h"
#include "envoy/rbac.pb.h"

namespace mesh::control {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace authz = envoy::extensions::filters::http::ext_authz::v3;
using envoy::config::rbac::v3::RBAC;
using Matchers = envoy::type::matcher::v3::ListStringMatcher;
using manifest::AuthorizationPolicy;
using manifest::AuthzProvider;

void add_filter(const char* name, const google::protobuf::MessageLite& config,
                hcm::HttpConnectionManager* into) {
  hcm::HttpFilter* filter = into->add_http_filters();
  filter->set_name(name);
  pack(config, filter->mutable_typed_config());
}

// "x-a", "x-*", "*-x", "*".
void add_matcher(const std::string& pattern, Matchers* into) {
  auto* matcher = into->add_patterns();
  matcher->set_ignore_case(true);
  if (pattern == "*") {
    matcher->set_ignore_case(false);
    matcher->mutable_safe_regex()->set_regex(".*");
  } else if (pattern.ends_with('*')) {
    matcher->set_prefix(pattern.substr(0, pattern.size() - 1));
  } else if (pattern.starts_with('*')) {
    matcher->set_suffix(pattern.substr(1));
  } else {
    matcher->set_exact(pattern);
  }
}

template <class Mutable>
void add_matchers(const std::vector<std::string>& patterns, Mutable&& mutable_list) {
  if (patterns.empty()) return;
  Matchers* list = mutable_list();
  for (const std::string& pattern : patterns) add_matcher(pattern, list);
}

void set_duration(std::chrono::milliseconds from, weft::wire::Duration* to) {
  to->set_seconds(from.count() / 1000);
  to->set_nanos(static_cast<std::int32_t>(from.count() % 1000 * 1'000'000));
}

void fill_http(const AuthzProvider& provider, const std::string& cluster, authz::ExtAuthz& to) {
  authz::HttpService& http = *to.mutable_http_service();
  http.mutable_server_uri()->set_uri("http://" + provider.host);
  http.mutable_server_uri()->set_cluster(cluster);
  set_duration(provider.timeout, http.mutable_server_uri()->mutable_timeout());
  http.set_path_prefix(provider.path_prefix);
  add_matchers(provider.request_headers, [&] { return to.mutable_allowed_headers(); });
  for (const auto& [name, value] : provider.added_headers) {
    auto* header = http.mutable_authorization_request()->add_headers_to_add();
    header->set_key(name);
    header->set_value(value);
  }
  authz::AuthorizationResponse answer;
  add_matchers(provider.upstream_headers,
               [&] { return answer.mutable_allowed_upstream_headers(); });
  add_matchers(provider.client_headers_on_allow,
               [&] { return answer.mutable_allowed_client_headers_on_success(); });
  add_matchers(provider.client_headers_on_deny,
               [&] { return answer.mutable_allowed_client_headers(); });
  if (answer.ByteSizeLong() > 0) *http.mutable_authorization_response() = std::move(answer);
}

authz::ExtAuthz filter_of(const AuthzProvider& provider, const std::string& cluster,
                          const std::string& prefix) {
  authz::ExtAuthz to;
  if (provider.grpc) {
    auto* grpc = to.mutable_grpc_service();
    fill_grpc_service(cluster, provider.host, grpc);
    set_duration(provider.timeout, grpc->mutable_timeout());
  } else {
    fill_http(provider, cluster, to);
  }
  to.set_transport_api_version(envoy::config::core::v3::V3);
  to.set_failure_mode_allow(provider.fail_open);
  to.set_clear_route_cache(provider.clear_route_cache);
  if (provider.status_on_error != 403) {
    to.mutable_status_on_error()->set_code(
        static_cast<envoy::type::v3::StatusCode>(provider.status_on_error));
  }
  if (provider.body) {
    auto* body = to.mutable_with_request_body();
    body->set_max_request_bytes(provider.body->max_bytes);
    body->set_allow_partial_message(provider.body->allow_partial);
    body->set_pack_as_bytes(provider.body->pack_as_bytes);
  }
  auto* enabled = to.mutable_filter_enabled_metadata();
  enabled->set_filter("envoy.filters.http.rbac");
  enabled->add_path()->set_key(prefix + "shadow_effective_policy_id");
  enabled->mutable_value()->mutable_string_match()->set_prefix("istio-ext-authz-" + provider.name);
  return to;
}

// Which requests a policy asks about, by rules that decide nothing.
void add_asked(const AuthorizationPolicy& policy, RBAC& into) {
  into.set_action(RBAC::DENY);
  for (std::size_t i = 0; i < policy.rules.size(); ++i) {
    envoy::config::rbac::v3::Policy to;
    fill_rule(policy.rules[i], policy.metadata.ns, RbacSight::kHttp, false, &to);
    (*into.mutable_policies())["istio-ext-authz-" + policy.provider + "-" + rule_name(policy, i)] =
        std::move(to);
  }
}

}  // namespace

std::string authorizer_problem(const manifest::MeshConfig& mesh, const Catalog& catalog,
                               const std::string& ns, const std::string& provider) {
  const AuthzProvider* found = mesh.authorizer(provider);
  if (found == nullptr) return "provider " + provider + " is not known";
  const CatalogService* service = catalog.find_provider(ns, found->ns, found->host);
  const std::string problem = provider_problem(service, found->host, found->port, false);
  return problem.empty() ? problem : "provider " + provider + ": " + problem;
}

void add_authorizers(Build& build, const CatalogService* service,
                     hcm::HttpConnectionManager* into) {
  std::map<std::string, RBAC> asked;  // by provider
  RBAC denied;
  for (const AuthorizationPolicy* written : build.world.all<AuthorizationPolicy>()) {
    if (written->action != manifest::AuthorizationAction::kCustom) continue;
    if (written->metadata.annotation("istio.io/dry-run") == "true") continue;
    const std::string& ns = written->metadata.ns;
    if (!targets_chain(written->targets, ns, build.settings, *build.client.gateway, service)) {
      continue;
    }
    const AuthorizationPolicy policy = under_all_names(*written, build.settings);
    const std::string problem = authorizer_problem(
        build.world.mesh(), build.catalog, build.client.gateway->metadata.ns, policy.provider);
    if (problem.empty()) {
      add_asked(policy, asked[policy.provider]);
      continue;
    }
    add_denied(policy, RbacSight::kHttp, denied);
    build.note({manifest::Kind::kAuthorizationPolicy, ns, policy.metadata.name},
               problem + ": what it would be asked is denied");
  }
  envoy::extensions::filters::http::rbac::v3::RBAC filter;
  if (denied.policies_size() > 0) {
    *filter.mutable_rules() = std::move(denied);
    add_filter("envoy.filters.http.rbac", filter, into);
  }
  int count = 0;
  for (auto& [name, rules] : asked) {
    // Each has a place of its own for what its rules say.
    const std::string prefix =
        ++count == 1 ? "istio_ext_authz_" : "istio_ext_authz_" + std::to_string(count) + "_";
    filter.Clear();
    *filter.mutable_shadow_rules() = std::move(rules);
    filter.set_shadow_rules_stat_prefix(prefix);
    add_filter("envoy.filters.http.rbac", filter, into);
    const AuthzProvider& provider = *build.world.mesh().authorizer(name);
    const std::string& ns = build.client.gateway->metadata.ns;
    const CatalogService* whom = build.catalog.find_provider(ns, provider.ns, provider.host);
    const std::string cluster = build.cluster(*whom, provider.port, true);
    add_filter("envoy.filters.http.ext_authz", filter_of(provider, cluster, prefix), into);
  }
}

}  // namespace mesh::control
