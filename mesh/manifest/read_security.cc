// AuthorizationPolicy and PeerAuthentication. What Istio's admission webhook refuses is refused
// here too, because there is no webhook in front of a folder; and so is every value that could
// only be dropped, since a dropped value widens an ALLOW or empties a DENY.

#include <algorithm>

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxTargets = 16;

// Exact, "prefix*", "*suffix", "*". A star elsewhere would never match anything.
bool is_pattern(std::string_view text) {
  if (text.empty()) return false;
  if (text == "*") return true;
  if (text.front() == '*')
    text.remove_prefix(1);
  else if (text.back() == '*')
    text.remove_suffix(1);
  return text.find('*') == std::string_view::npos;
}

std::string quoted(const std::string& text) { return "\"" + text.substr(0, 64) + "\""; }

std::vector<std::string> patterns(Fields& fields, std::string_view key) {
  std::vector<std::string> texts = fields.texts(key);
  if (fields.present(key) && texts.empty()) fields.error(key, "is an empty list");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (is_pattern(texts[i])) continue;
    fields.error(
        key, i,
        quoted(texts[i]) + " is not a pattern: text, with one * at its start or end at most");
  }
  return texts;
}

// Principals are compared without their scheme, so one written with it would never match.
std::vector<std::string> principals(Fields& fields, std::string_view key) {
  std::vector<std::string> texts = patterns(fields, key);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].starts_with("spiffe://")) {
      fields.error(key, i, "principals are written without spiffe://");
    }
  }
  return texts;
}

std::vector<net::Cidr> blocks(Fields& fields, std::string_view key) {
  std::vector<net::Cidr> blocks;
  const std::vector<std::string> texts = fields.texts(key);
  if (fields.present(key) && texts.empty()) fields.error(key, "is an empty list");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto block = net::Cidr::parse(texts[i]);
    if (block) {
      blocks.push_back(*block);
    } else {
      fields.error(key, i, quoted(texts[i]) + " is not an address block");
    }
  }
  return blocks;
}

std::vector<std::uint16_t> port_texts(Fields& fields, std::string_view key) {
  std::vector<std::uint16_t> ports;
  const std::vector<std::string> texts = fields.texts(key);
  if (fields.present(key) && texts.empty()) fields.error(key, "is an empty list");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto port = net::parse_port(texts[i]);
    if (port) {
      ports.push_back(*port);
    } else {
      fields.error(key, i, quoted(texts[i]) + " is not a port, 1 to 65535");
    }
  }
  return ports;
}

// "web" or "shop/web".
std::vector<std::string> accounts(Fields& fields, std::string_view key) {
  std::vector<std::string> texts = fields.texts(key);
  if (fields.present(key) && texts.empty()) fields.error(key, "is an empty list");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    const auto slash = text.find('/');
    const bool fits = !text.empty() && slash != 0 && text.find('*') == std::string::npos &&
                      (slash == std::string::npos ||
                       (slash + 1 < text.size() && text.find('/', slash + 1) == std::string::npos));
    if (!fits) fields.error(key, i, "must be NAME or NAMESPACE/NAME, without *");
  }
  return texts;
}

bool is_empty(const Fields& fields) {
  return fields.value() == nullptr || fields.value()->items.empty();
}

// An alternative that says nothing would hold for everybody: more likely a slip than a wish.
Fields require_fields(Fields& item, std::string_view key) {
  Fields fields = item.map(key);
  if (is_empty(fields)) item.error(key, "is empty");
  return fields;
}

Source read_source(Fields fields) {
  Source source;
  if (is_empty(fields)) return source;
  source.principals = principals(fields, "principals");
  source.not_principals = principals(fields, "notPrincipals");
  source.request_principals = patterns(fields, "requestPrincipals");
  source.not_request_principals = patterns(fields, "notRequestPrincipals");
  source.namespaces = patterns(fields, "namespaces");
  source.not_namespaces = patterns(fields, "notNamespaces");
  source.ip_blocks = blocks(fields, "ipBlocks");
  source.not_ip_blocks = blocks(fields, "notIpBlocks");
  source.remote_ip_blocks = blocks(fields, "remoteIpBlocks");
  source.not_remote_ip_blocks = blocks(fields, "notRemoteIpBlocks");
  source.service_accounts = accounts(fields, "serviceAccounts");
  source.not_service_accounts = accounts(fields, "notServiceAccounts");
  const bool has_accounts =
      !source.service_accounts.empty() || !source.not_service_accounts.empty();
  const bool has_names = !source.principals.empty() || !source.not_principals.empty() ||
                         !source.namespaces.empty() || !source.not_namespaces.empty();
  if (has_accounts && has_names) {
    fields.error("serviceAccounts", "cannot be combined with principals or namespaces");
  }
  fields.finish();
  return source;
}

Operation read_operation(Fields fields) {
  Operation operation;
  if (is_empty(fields)) return operation;
  operation.hosts = patterns(fields, "hosts");
  operation.not_hosts = patterns(fields, "notHosts");
  operation.ports = port_texts(fields, "ports");
  operation.not_ports = port_texts(fields, "notPorts");
  operation.methods = patterns(fields, "methods");
  operation.not_methods = patterns(fields, "notMethods");
  operation.paths = fields.texts("paths");
  operation.not_paths = fields.texts("notPaths");
  fields.finish();
  return operation;
}

// The keys of conditions, as Istio documents them. Values of the L4 ones are checked here.
bool is_condition_key(std::string_view key) {
  static constexpr std::string_view kKeys[] = {"source.ip",
                                               "remote.ip",
                                               "source.namespace",
                                               "source.principal",
                                               "source.serviceAccount",
                                               "request.auth.principal",
                                               "request.auth.audiences",
                                               "request.auth.presenter",
                                               "destination.ip",
                                               "destination.port",
                                               "connection.sni"};
  if (std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys)) return true;
  for (const std::string_view prefix :
       {"request.headers[", "request.auth.claims[", "experimental.envoy.filters."}) {
    if (key.starts_with(prefix)) return key.ends_with(']') || key.find('[') == key.npos;
  }
  return false;
}

Condition read_condition(Fields fields) {
  Condition condition;
  condition.key = fields.required_text("key");
  if (!is_condition_key(condition.key)) fields.error("key", "is not a condition that exists");
  for (const std::string_view key : {"values", "notValues"}) {
    std::vector<std::string>& into = key == "values" ? condition.values : condition.not_values;
    if (condition.key == "source.ip" || condition.key == "destination.ip" ||
        condition.key == "remote.ip") {
      into = fields.texts(key);
      blocks(fields, key);
    } else if (condition.key == "destination.port") {
      into = fields.texts(key);
      port_texts(fields, key);
    } else if (condition.key == "source.principal") {
      into = principals(fields, key);
    } else if (condition.key == "source.serviceAccount") {
      into = accounts(fields, key);
    } else {
      into = patterns(fields, key);
    }
  }
  if (condition.values.empty() && condition.not_values.empty()) {
    fields.error("key", "needs values or notValues");
  }
  fields.finish();
  return condition;
}

AuthorizationRule read_rule(Fields& fields) {
  AuthorizationRule rule;
  for (const std::string_view key : {"from", "to", "when"}) {
    const std::vector<Fields> items = fields.maps(key);
    if (fields.present(key) && items.empty()) fields.error(key, "is an empty list");
    for (Fields item : items) {
      if (key == "from") {
        rule.from.push_back(read_source(require_fields(item, "source")));
        item.finish();
      } else if (key == "to") {
        rule.to.push_back(read_operation(require_fields(item, "operation")));
        item.finish();
      } else {
        rule.when.push_back(read_condition(item));
      }
    }
  }
  fields.finish();
  return rule;
}

TargetRef read_target(Fields fields) {
  TargetRef target;
  target.group = fields.text("group");
  target.kind = fields.required_text("kind");
  target.name = fields.required_text("name");
  fields.ignore("namespace");
  if (fields.present("namespace")) {
    fields.error("namespace", "a target in another namespace is not supported");
  }
  // "core" is how some write the core group, and Istio takes it.
  if (target.group == "core") target.group.clear();
  const bool known = (target.group.empty() && target.kind == "Service") ||
                     (target.group == "gateway.networking.k8s.io" &&
                      (target.kind == "Gateway" || target.kind == "GatewayClass")) ||
                     (target.group == "networking.istio.io" && target.kind == "ServiceEntry");
  if (!known) fields.error("kind", "is not a kind that a policy can target");
  fields.finish();
  return target;
}

AuthorizationAction read_action(Fields& spec) {
  const std::string action = spec.text("action", "ALLOW");
  if (action == "ALLOW") return AuthorizationAction::kAllow;
  if (action == "AUDIT") return AuthorizationAction::kAudit;
  if (action == "CUSTOM") return AuthorizationAction::kCustom;
  if (action != "DENY") spec.error("action", "must be ALLOW, DENY, AUDIT or CUSTOM");
  return AuthorizationAction::kDeny;
}

AuthorizationPolicy read_authorization(Fields& document, Metadata metadata) {
  AuthorizationPolicy policy;
  policy.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  policy.selector = read_selector(spec);
  policy.targets = read_targets(spec, policy.selector.has_value());
  policy.action = read_action(spec);
  Fields provider = spec.map("provider");
  policy.provider = provider.text("name");
  provider.finish();
  for (Fields& rule : spec.maps("rules")) policy.rules.push_back(read_rule(rule));
  if (policy.rules.empty() && policy.action != AuthorizationAction::kAllow) {
    spec.error("rules", "only an ALLOW policy may be without rules: this one would do nothing");
  }
  if (policy.action == AuthorizationAction::kCustom && policy.provider.empty()) {
    spec.error("provider", "is required with action CUSTOM");
  }
  spec.finish();
  return policy;
}

MtlsMode read_mode(Fields mtls) {
  const std::string mode = mtls.text("mode", "UNSET");
  MtlsMode read = MtlsMode::kUnset;
  if (mode == "STRICT") {
    read = MtlsMode::kStrict;
  } else if (mode == "PERMISSIVE") {
    read = MtlsMode::kPermissive;
  } else if (mode == "DISABLE") {
    read = MtlsMode::kDisable;
  } else if (mode != "UNSET") {
    mtls.error("mode", "must be STRICT, PERMISSIVE, DISABLE or UNSET");
  }
  mtls.finish();
  return read;
}

PeerAuthentication read_peer_authentication(Fields& document, Metadata metadata) {
  PeerAuthentication peer;
  peer.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  peer.selector = read_selector(spec);
  peer.mode = read_mode(spec.map("mtls"));
  Fields ports = spec.map("portLevelMtls");
  if (ports.value() != nullptr) {
    for (const std::string& key : ports.value()->keys) {
      const auto port = net::parse_port(key);
      if (!port) ports.error(key, "is not a port, 1 to 65535");
      const MtlsMode mode = read_mode(ports.map(key));
      if (port) peer.ports[*port] = mode;
    }
  }
  if (!peer.ports.empty() && (!peer.selector || peer.selector->empty())) {
    spec.error("portLevelMtls", "needs a selector with labels: ports belong to workloads");
  }
  spec.finish();
  return peer;
}

}  // namespace

std::optional<Labels> read_selector(Fields& spec) {
  if (!spec.present("selector")) return {};
  Fields selector = spec.map("selector");
  Labels labels = selector.labels("matchLabels");
  for (const auto& [key, value] : labels) {
    if (key.empty()) selector.error("matchLabels", "has an empty key");
    if (value.find('*') != std::string::npos || key.find('*') != std::string::npos) {
      selector.error("matchLabels", "wildcards are not supported");
    }
  }
  selector.finish();
  return labels;
}

std::vector<TargetRef> read_targets(Fields& spec, bool has_selector) {
  std::vector<TargetRef> targets;
  if (spec.present("targetRef")) targets.push_back(read_target(spec.map("targetRef")));
  spec.ignore("targetRef");
  for (const Fields& target : spec.maps("targetRefs", kMaxTargets)) {
    targets.push_back(read_target(target));
  }
  if (has_selector && !targets.empty()) {
    spec.error("selector", "cannot be combined with targetRefs");
  }
  return targets;
}

Object read_security(Kind kind, Fields& document, Metadata metadata) {
  if (kind == Kind::kRequestAuthentication) {
    return read_request_authentication(document, std::move(metadata));
  }
  if (kind == Kind::kPeerAuthentication) {
    return read_peer_authentication(document, std::move(metadata));
  }
  return read_authorization(document, std::move(metadata));
}

}  // namespace mesh::manifest
