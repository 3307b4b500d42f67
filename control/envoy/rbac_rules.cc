#include "control/envoy/rbac_rules.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/envoy/checks.h"
#include "control/envoy/pieces.h"
#include "envoy/rbac.pb.h"
#include "envoy/uri_template.pb.h"

namespace mesh::control {
namespace {

namespace rbac = envoy::config::rbac::v3;
using envoy::config::route::v3::HeaderMatcher;
using envoy::type::matcher::v3::MetadataMatcher;
using envoy::type::matcher::v3::StringMatcher;
using Strings = std::vector<std::string>;

// Literal text in a regular expression; '*' stands for anything.
std::string pattern_of(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '*') {
      out += ".*";
      continue;
    }
    if (std::string_view(".+?()|[]{}^$\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

void set_regex(std::string_view regex, StringMatcher* into) {
  into->mutable_safe_regex()->set_regex(std::string(regex));
}

// "a", "a*", "*a", "*": in front of what is not a suffix stands `before`.
void set_match(std::string_view value, StringMatcher* into, std::string_view before = {}) {
  if (value == "*") {
    set_regex(".+", into);
  } else if (value.starts_with('*')) {
    into->set_suffix(std::string(value.substr(1)));
  } else if (value.ends_with('*')) {
    into->set_prefix(std::string(before) + std::string(value.substr(0, value.size() - 1)));
  } else {
    into->set_exact(std::string(before) + std::string(value));
  }
}

void set_header(std::string_view name, std::string_view value, bool any_case, HeaderMatcher* into) {
  into->set_name(std::string(name));
  if (value == "*") {
    into->set_present_match(true);
    return;
  }
  set_match(value, into->mutable_string_match());
  if (any_case) into->mutable_string_match()->set_ignore_case(true);
}

void set_block(const net::Cidr& block, envoy::config::core::v3::CidrRange* into) {
  into->set_address_prefix(block.base().to_string());
  into->mutable_prefix_len()->set_value(block.length());
}

void set_path(std::string_view value, rbac::Permission* into) {
  if (value.find('{') == std::string_view::npos) {
    return set_match(value, into->mutable_url_path()->mutable_path());
  }
  envoy::extensions::path::match::uri_template::v3::UriTemplateMatchConfig config;
  std::string path;
  for (const char c : value) {
    if (c != '{' && c != '}') path += c;
  }
  config.set_path_template(path);
  into->mutable_uri_template()->set_name("uri-template");
  pack(config, into->mutable_uri_template()->mutable_typed_config());
}

// ---- what is asked of the request ---------------------------------------------------------------

// One of `values`, and none of `not_values`.
template <class Values, class Fill>
void add_permission(const Values& values, const Values& not_values, Fill fill,
                    rbac::Permission::Set* into) {
  if (!values.empty()) {
    auto* any = into->add_rules()->mutable_or_rules();
    for (const auto& value : values) fill(value, any->add_rules());
  }
  if (!not_values.empty()) {
    auto* any = into->add_rules()->mutable_not_rule()->mutable_or_rules();
    for (const auto& value : not_values) fill(value, any->add_rules());
  }
}

template <class Values, class Fill>
void add_principal(const Values& values, const Values& not_values, Fill fill,
                   rbac::Principal::Set* into) {
  if (!values.empty()) {
    auto* any = into->add_ids()->mutable_or_ids();
    for (const auto& value : values) fill(value, any->add_ids());
  }
  if (!not_values.empty()) {
    auto* any = into->add_ids()->mutable_not_id()->mutable_or_ids();
    for (const auto& value : not_values) fill(value, any->add_ids());
  }
}

void fill_port(std::uint16_t port, rbac::Permission* to) { to->set_destination_port(port); }

void add_operation(const manifest::Operation& operation, RbacSight sight,
                   rbac::Permission::Set* into) {
  if (sight == RbacSight::kHttp) {
    add_permission(
        operation.hosts, operation.not_hosts,
        [](const std::string& value, rbac::Permission* to) {
          set_header(":authority", value, true, to->mutable_header());
        },
        into);
    add_permission(
        operation.methods, operation.not_methods,
        [](const std::string& value, rbac::Permission* to) {
          set_header(":method", value, false, to->mutable_header());
        },
        into);
    add_permission(
        operation.paths, operation.not_paths,
        [](const std::string& value, rbac::Permission* to) { set_path(value, to); }, into);
  }
  add_permission(operation.ports, operation.not_ports, fill_port, into);
}

// ---- what is asked of the caller ----------------------------------------------------------------

StringMatcher* principal_match(rbac::Principal* to) {
  to->mutable_filter_state()->set_key(std::string(kPeerPrincipal));
  return to->mutable_filter_state()->mutable_string_match();
}

void fill_principal(const std::string& value, rbac::Principal* to) {
  set_match(value, principal_match(to), "spiffe://");
}

void fill_namespace(const std::string& value, rbac::Principal* to) {
  set_regex(".*/ns/" + pattern_of(value) + "/.*", principal_match(to));
}

// Not direct_remote_ip: inside a tunnel that is an internal listener's name to Envoy, which no
// block holds, and a DENY would be open. This one is whom the tunnel comes from, no header's say.
void fill_direct_ip(const net::Cidr& block, rbac::Principal* to) {
  set_block(block, to->mutable_source_ip());
}

void fill_remote_ip(const net::Cidr& block, rbac::Principal* to) {
  set_block(block, to->mutable_remote_ip());
}

class AccountFill {
 public:
  explicit AccountFill(const std::string& ns) : ns_(&ns) {}
  void operator()(const std::string& value, rbac::Principal* to) const {
    const auto slash = value.find('/');
    const bool own = slash == std::string::npos;
    const std::string ns = own ? *ns_ : value.substr(0, slash);
    const std::string account = own ? value : value.substr(slash + 1);
    set_regex("spiffe://.+/ns/" + pattern_of(ns) + "/(.+/|)sa/" + pattern_of(account) + "(/.+)?",
              principal_match(to));
  }

 private:
  const std::string* ns_;
};

MetadataMatcher* claim(std::initializer_list<std::string_view> path, rbac::Principal* to) {
  MetadataMatcher* matcher = to->mutable_metadata();
  matcher->set_filter("envoy.filters.http.jwt_authn");
  matcher->add_path()->set_key("payload");
  for (const std::string_view key : path) matcher->add_path()->set_key(std::string(key));
  return matcher;
}

// "ISSUER/SUBJECT" with wildcards at its ends: a text match for each half.
void fill_request_principal(const std::string& value, rbac::Principal* to) {
  const auto slash = value.rfind('/');
  std::string issuer = "*";
  std::string subject = "*";
  if (slash != std::string::npos) {
    issuer = value.substr(0, slash);
    subject = value.substr(slash + 1);
  } else if (value.starts_with('*')) {
    subject = value;
  } else {
    issuer = value;
  }
  auto* both = to->mutable_and_ids();
  set_match(issuer, claim({"iss"}, both->add_ids())->mutable_value()->mutable_string_match());
  set_match(subject, claim({"sub"}, both->add_ids())->mutable_value()->mutable_string_match());
}

// A value alone needs no "or" around it.
void add_request_principals(const Strings& values, bool negative, rbac::Principal::Set* into) {
  if (values.empty()) return;
  rbac::Principal* to = into->add_ids();
  if (negative) to = to->mutable_not_id();
  if (values.size() == 1) return fill_request_principal(values.front(), to);
  auto* any = to->mutable_or_ids();
  for (const std::string& value : values) fill_request_principal(value, any->add_ids());
}

void add_source(const manifest::Source& source, const std::string& ns, RbacSight sight,
                rbac::Principal::Set* into) {
  add_principal(source.principals, source.not_principals, fill_principal, into);
  if (sight == RbacSight::kHttp) {
    add_request_principals(source.request_principals, false, into);
    add_request_principals(source.not_request_principals, true, into);
  }
  add_principal(source.service_accounts, source.not_service_accounts, AccountFill(ns), into);
  add_principal(source.namespaces, source.not_namespaces, fill_namespace, into);
  if (sight == RbacSight::kHttp) {
    add_principal(source.remote_ip_blocks, source.not_remote_ip_blocks, fill_remote_ip, into);
  }
  add_principal(source.ip_blocks, source.not_ip_blocks, fill_direct_ip, into);
}

// ---- conditions ---------------------------------------------------------------------------------

// "a[b][c]" after `prefix`: {"b", "c"}; empty when it is not of that form.
Strings keys_after(std::string_view key, std::string_view prefix) {
  if (!key.starts_with(prefix)) return {};
  key.remove_prefix(prefix.size());
  Strings keys;
  while (key.starts_with('[')) {
    const auto end = key.find(']');
    if (end == std::string_view::npos) return {};
    keys.emplace_back(key.substr(1, end - 1));
    key.remove_prefix(end + 1);
  }
  return key.empty() ? keys : Strings();
}

// A claim that is one of the values, or a list that holds one.
void fill_claim(const Strings& path, const Strings& values, rbac::Principal* to) {
  MetadataMatcher* matcher = claim({}, to);
  for (const std::string& key : path) matcher->add_path()->set_key(key);
  const auto fill = [&values](envoy::type::matcher::v3::ValueMatcher* into) {
    if (values.size() == 1) return set_match(values.front(), into->mutable_string_match());
    for (const std::string& value : values) {
      set_match(value, into->mutable_or_match()->add_value_matchers()->mutable_string_match());
    }
  };
  auto* either = matcher->mutable_value()->mutable_or_match();
  fill(either->add_value_matchers()->mutable_list_match()->mutable_one_of());
  fill(either->add_value_matchers());
}

void add_claim(const Strings& path, const manifest::Condition& when, rbac::Principal::Set* into) {
  if (!when.values.empty()) fill_claim(path, when.values, into->add_ids());
  if (!when.not_values.empty()) {
    fill_claim(path, when.not_values, into->add_ids()->mutable_not_id());
  }
}

std::vector<net::Cidr> blocks_of(const Strings& texts) {
  std::vector<net::Cidr> blocks;
  for (const std::string& text : texts) {
    if (const auto block = net::Cidr::parse(text)) {
      blocks.push_back(*block);
    } else if (const auto ip = net::IpAddress::parse(text)) {
      blocks.push_back(*net::Cidr::make(*ip, ip->is_v4() ? 32 : 128));
    }
  }
  return blocks;
}

std::vector<std::uint16_t> ports_of(const Strings& texts) {
  std::vector<std::uint16_t> ports;
  for (const std::string& text : texts) {
    if (const auto port = net::parse_port(text)) ports.push_back(*port);
  }
  return ports;
}

enum class Added : std::uint8_t { kDone, kUnseen, kNotMine };

// A condition on the connection or on the request's destination.
bool add_to_permission(const manifest::Condition& when, rbac::Permission::Set* into) {
  if (when.key == "destination.ip") {
    add_permission(
        blocks_of(when.values), blocks_of(when.not_values),
        [](const net::Cidr& block, rbac::Permission* to) {
          set_block(block, to->mutable_destination_ip());
        },
        into);
  } else if (when.key == "destination.port") {
    add_permission(ports_of(when.values), ports_of(when.not_values), fill_port, into);
  } else if (when.key == "connection.sni") {
    add_permission(
        when.values, when.not_values,
        [](const std::string& value, rbac::Permission* to) {
          set_match(value, to->mutable_requested_server_name());
        },
        into);
  } else {
    return false;
  }
  return true;
}

Added add_http_condition(const manifest::Condition& when, RbacSight sight,
                         rbac::Principal::Set* into) {
  const bool of_http = when.key.starts_with("request.") || when.key == "remote.ip";
  if (!of_http) return Added::kNotMine;
  if (sight == RbacSight::kTcp) return Added::kUnseen;
  if (when.key == "remote.ip") {
    add_principal(blocks_of(when.values), blocks_of(when.not_values), fill_remote_ip, into);
  } else if (const Strings header = keys_after(when.key, "request.headers");
             header.size() == 1 && is_header_name(header.front())) {
    add_principal(
        when.values, when.not_values,
        [&header](const std::string& value, rbac::Principal* to) {
          set_header(header.front(), value, false, to->mutable_header());
        },
        into);
  } else if (const Strings path = keys_after(when.key, "request.auth.claims"); !path.empty()) {
    add_claim(path, when, into);
  } else if (when.key == "request.auth.principal") {
    add_request_principals(when.values, false, into);
    add_request_principals(when.not_values, true, into);
  } else if (when.key == "request.auth.audiences") {
    add_claim({"aud"}, when, into);
  } else if (when.key == "request.auth.presenter") {
    add_claim({"azp"}, when, into);
  } else {
    return Added::kNotMine;
  }
  return Added::kDone;
}

Added add_to_principal(const manifest::Condition& when, const std::string& ns, RbacSight sight,
                       rbac::Principal::Set* into) {
  if (when.key == "source.ip") {
    add_principal(blocks_of(when.values), blocks_of(when.not_values), fill_direct_ip, into);
  } else if (when.key == "source.principal") {
    add_principal(when.values, when.not_values, fill_principal, into);
  } else if (when.key == "source.namespace") {
    add_principal(when.values, when.not_values, fill_namespace, into);
  } else if (when.key == "source.serviceAccount") {
    add_principal(when.values, when.not_values, AccountFill(ns), into);
  } else {
    return add_http_condition(when, sight, into);
  }
  return Added::kDone;
}

bool has_http(const manifest::Operation& operation) {
  return !operation.hosts.empty() || !operation.not_hosts.empty() || !operation.methods.empty() ||
         !operation.not_methods.empty() || !operation.paths.empty() || !operation.not_paths.empty();
}

bool has_usable_paths(const manifest::Operation& operation) {
  const auto usable = [](const std::string& path) {
    return path.find('{') == std::string::npos || is_path_template(path);
  };
  return std::all_of(operation.paths.begin(), operation.paths.end(), usable) &&
         std::all_of(operation.not_paths.begin(), operation.not_paths.end(), usable);
}

bool has_http(const manifest::Source& source) {
  return !source.request_principals.empty() || !source.not_request_principals.empty() ||
         !source.remote_ip_blocks.empty() || !source.not_remote_ip_blocks.empty();
}

}  // namespace

bool fill_rule(const manifest::AuthorizationRule& rule, const std::string& ns, RbacSight sight,
               bool allows, rbac::Policy* into) {
  const bool blind = sight == RbacSight::kTcp;
  rbac::Permission::Set base_permission;
  rbac::Principal::Set base_principal;
  for (const manifest::Condition& when : rule.when) {
    if (add_to_permission(when, &base_permission)) continue;
    const Added added = add_to_principal(when, ns, sight, &base_principal);
    // Left out, a condition widens the rule: a DENY may be wider, an ALLOW may not.
    if (added != Added::kDone && allows) return false;
  }
  const auto add_permissions = [&](const manifest::Operation* operation) {
    auto* to = into->add_permissions()->mutable_and_rules();
    if (operation != nullptr) add_operation(*operation, sight, to);
    to->MergeFrom(base_permission);
    if (to->rules_size() == 0) to->add_rules()->set_any(true);
  };
  const auto add_principals = [&](const manifest::Source* source) {
    auto* to = into->add_principals()->mutable_and_ids();
    if (source != nullptr) add_source(*source, ns, sight, to);
    to->MergeFrom(base_principal);
    if (to->ids_size() == 0) to->add_ids()->set_any(true);
  };
  for (const manifest::Operation& operation : rule.to) {
    if (!blind && !has_usable_paths(operation)) {
      // Envoy does not know these paths: all of them, for a DENY.
      if (!allows) add_permissions(nullptr);
      continue;
    }
    if (!(blind && allows && has_http(operation))) add_permissions(&operation);
  }
  for (const manifest::Source& source : rule.from) {
    if (!(blind && allows && has_http(source))) add_principals(&source);
  }
  if (rule.to.empty()) add_permissions(nullptr);
  if (rule.from.empty()) add_principals(nullptr);
  return into->permissions_size() > 0 && into->principals_size() > 0;
}

void fill_never(rbac::Policy* into) {
  into->add_permissions()->mutable_not_rule()->set_any(true);
  into->add_principals()->mutable_not_id()->set_any(true);
}

void fill_always(rbac::Policy* into) {
  into->add_permissions()->mutable_and_rules()->add_rules()->set_any(true);
  into->add_principals()->mutable_and_ids()->add_ids()->set_any(true);
}

}  // namespace mesh::control
