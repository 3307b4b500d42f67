#include "control/translate_policies.h"

#include <algorithm>
#include <tuple>

#include "authorization.pb.h"
#include "control/trust_domains.h"
#include "control/waypoints.h"

namespace mesh::control {
namespace {

using manifest::AuthorizationAction;
using manifest::AuthorizationPolicy;
using manifest::AuthorizationRule;
using manifest::MtlsMode;
using manifest::PeerAuthentication;
namespace wire = istio::security;

// How an L7 condition, which a ztunnel cannot see, is treated: see the header.
enum class Unseen { kBroaden, kDrop };

void add_match(google::protobuf::RepeatedPtrField<wire::StringMatch>* into,
               const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    wire::StringMatch* match = into->Add();
    if (pattern == "*") {
      match->mutable_presence();
    } else if (pattern.back() == '*') {
      match->set_prefix(pattern.substr(0, pattern.size() - 1));
    } else if (pattern.front() == '*') {
      match->set_suffix(pattern.substr(1));
    } else {
      match->set_exact(pattern);
    }
  }
}

void add_blocks(google::protobuf::RepeatedPtrField<wire::Address>* into,
                const std::vector<net::Cidr>& blocks) {
  for (const net::Cidr& block : blocks) {
    wire::Address* address = into->Add();
    const auto bytes = block.base().bytes();
    address->set_address(std::string(bytes.begin(), bytes.end()));
    address->set_length(block.length());
  }
}

// "web" is of the policy's namespace, "shop/web" of that one.
void add_accounts(google::protobuf::RepeatedPtrField<wire::ServiceAccountMatch>* into,
                  const std::vector<std::string>& accounts, const std::string& ns) {
  for (const std::string& account : accounts) {
    const auto slash = account.find('/');
    wire::ServiceAccountMatch* match = into->Add();
    match->set_namespace_(slash == std::string::npos ? ns : account.substr(0, slash));
    match->set_service_account(slash == std::string::npos ? account : account.substr(slash + 1));
  }
}

bool has_presence(const google::protobuf::RepeatedPtrField<wire::StringMatch>& matches) {
  return std::any_of(matches.begin(), matches.end(),
                     [](const wire::StringMatch& match) { return match.has_presence(); });
}

// A caller without identity has the empty namespace: a negative match, or one on any namespace,
// would let it in. `not_principals: ["*"]` is how a policy asks for exactly such callers.
void guard_identity(wire::Match& match) {
  const bool open = match.not_namespaces_size() > 0 || match.not_principals_size() > 0 ||
                    match.not_service_accounts_size() > 0 || has_presence(match.namespaces());
  const bool guarded = match.principals_size() > 0 || match.service_accounts_size() > 0 ||
                       (match.namespaces_size() > 0 && !has_presence(match.namespaces()));
  if (open && !guarded && !has_presence(match.not_principals())) {
    match.add_principals()->mutable_presence();
  }
}

bool is_empty(const wire::Match& match) { return match.ByteSizeLong() == 0; }

class RuleTranslator {
 public:
  RuleTranslator(const std::string& ns, Unseen unseen) : ns_(&ns), unseen_(unseen) {}

  // Appends a rule; or nothing, when it could only be kept by allowing more than it says.
  void translate(const AuthorizationRule& rule, wire::Authorization& into) const {
    wire::Rule translated;
    if (!add_operations(rule, translated) || !add_sources(rule, translated)) return;
    for (const manifest::Condition& condition : rule.when) {
      if (!add_condition(condition, translated)) return;
    }
    *into.add_rules() = std::move(translated);
  }

 private:
  bool drops(bool has_unseen) const { return has_unseen && unseen_ == Unseen::kDrop; }

  // Adds the alternatives as one clause. An alternative without fields is one that lost its L7
  // conditions under kBroaden: it holds always, and so does the clause, which is left out.
  static bool add_clause(std::vector<wire::Match> alternatives, wire::Rule& rule) {
    if (alternatives.empty()) return false;
    if (std::any_of(alternatives.begin(), alternatives.end(), is_empty)) return true;
    wire::Clause* clause = rule.add_clauses();
    for (wire::Match& match : alternatives) *clause->add_matches() = std::move(match);
    return true;
  }

  bool add_operations(const AuthorizationRule& rule, wire::Rule& into) const {
    if (rule.to.empty()) return true;
    std::vector<wire::Match> alternatives;
    for (const manifest::Operation& to : rule.to) {
      const bool unseen = !to.hosts.empty() || !to.not_hosts.empty() || !to.methods.empty() ||
                          !to.not_methods.empty() || !to.paths.empty() || !to.not_paths.empty();
      if (drops(unseen)) continue;
      wire::Match match;
      for (const std::uint16_t port : to.ports) match.add_destination_ports(port);
      for (const std::uint16_t port : to.not_ports) match.add_not_destination_ports(port);
      alternatives.push_back(std::move(match));
    }
    return add_clause(std::move(alternatives), into);
  }

  bool add_sources(const AuthorizationRule& rule, wire::Rule& into) const {
    if (rule.from.empty()) return true;
    std::vector<wire::Match> alternatives;
    for (const manifest::Source& from : rule.from) {
      const bool unseen = !from.request_principals.empty() ||
                          !from.not_request_principals.empty() || !from.remote_ip_blocks.empty() ||
                          !from.not_remote_ip_blocks.empty();
      if (drops(unseen)) continue;
      alternatives.push_back(source_match(from));
    }
    return add_clause(std::move(alternatives), into);
  }

  wire::Match source_match(const manifest::Source& from) const {
    wire::Match match;
    add_match(match.mutable_principals(), from.principals);
    add_match(match.mutable_not_principals(), from.not_principals);
    add_match(match.mutable_namespaces(), from.namespaces);
    add_match(match.mutable_not_namespaces(), from.not_namespaces);
    add_blocks(match.mutable_source_ips(), from.ip_blocks);
    add_blocks(match.mutable_not_source_ips(), from.not_ip_blocks);
    add_accounts(match.mutable_service_accounts(), from.service_accounts, *ns_);
    add_accounts(match.mutable_not_service_accounts(), from.not_service_accounts, *ns_);
    if (unseen_ == Unseen::kDrop) guard_identity(match);
    return match;
  }

  bool add_condition(const manifest::Condition& when, wire::Rule& into) const {
    wire::Match match;
    if (when.key == "source.principal") {
      add_match(match.mutable_principals(), when.values);
      add_match(match.mutable_not_principals(), when.not_values);
    } else if (when.key == "source.namespace") {
      add_match(match.mutable_namespaces(), when.values);
      add_match(match.mutable_not_namespaces(), when.not_values);
    } else if (when.key == "source.serviceAccount") {
      add_accounts(match.mutable_service_accounts(), when.values, *ns_);
      add_accounts(match.mutable_not_service_accounts(), when.not_values, *ns_);
    } else if (when.key == "source.ip") {
      add_blocks(match.mutable_source_ips(), blocks(when.values));
      add_blocks(match.mutable_not_source_ips(), blocks(when.not_values));
    } else if (when.key == "destination.ip") {
      add_blocks(match.mutable_destination_ips(), blocks(when.values));
      add_blocks(match.mutable_not_destination_ips(), blocks(when.not_values));
    } else if (when.key == "destination.port") {
      for (const std::string& port : when.values) match.add_destination_ports(number(port));
      for (const std::string& port : when.not_values) match.add_not_destination_ports(number(port));
    } else {
      return !drops(true);
    }
    if (unseen_ == Unseen::kDrop) guard_identity(match);
    return add_clause({std::move(match)}, into);
  }

  // The manifest's reader has validated these.
  static std::vector<net::Cidr> blocks(const std::vector<std::string>& texts) {
    std::vector<net::Cidr> blocks;
    for (const std::string& text : texts) {
      const auto block = net::Cidr::parse(text);
      MESH_CHECK(block.has_value());
      blocks.push_back(*block);
    }
    return blocks;
  }
  static std::uint32_t number(const std::string& text) {
    const auto port = net::parse_port(text);
    MESH_CHECK(port.has_value());
    return *port;
  }

  const std::string* ns_;
  Unseen unseen_;
};

std::string service_resource(const std::string& ns, const std::string& name,
                             const Settings& settings) {
  return ns + "/" + name + "." + ns + ".svc." + settings.cluster_domain;
}

bool is_selective(const std::optional<manifest::Labels>& selector) {
  return selector && !selector->empty();
}

// The targeted Services that have no waypoint to enforce the policy.
std::vector<std::string> bare_services(const World& world, const Settings& settings,
                                       const AuthorizationPolicy& policy) {
  std::vector<std::string> bare;
  for (const manifest::TargetRef& target : policy.targets) {
    if (target.kind != "Service") continue;
    const auto* service = world.find<manifest::Service>(policy.metadata.ns, target.name);
    if (service == nullptr) continue;
    if (!waypoint_of(world, settings, service->metadata, WaypointTraffic::kService)) {
      bare.push_back(service_resource(policy.metadata.ns, target.name, settings));
    }
  }
  return bare;
}

// Whether a ztunnel has anything to do with it; says so in `notes` when an operator might think so.
bool concerns_ztunnel(const World& world, const Settings& settings,
                      const AuthorizationPolicy& policy, std::vector<PolicyNote>& notes) {
  const auto note = [&](std::string text) {
    notes.push_back(
        {{manifest::Kind::kAuthorizationPolicy, policy.metadata.ns, policy.metadata.name},
         std::move(text)});
  };
  if (policy.action == AuthorizationAction::kAudit) {
    note("AUDIT has no effect without a waypoint");
    return false;
  }
  if (!policy.targets.empty()) {
    if (bare_services(world, settings, policy).empty()) return false;
    note(
        "its Service has no waypoint: enforced on the pods behind it, on addresses, ports and "
        "identities only");
  }
  if (policy.action == AuthorizationAction::kCustom) {
    note("CUSTOM needs a waypoint: what it would ask about is denied");
  }
  return true;
}

wire::Authorization translate(const AuthorizationPolicy& policy, const Settings& settings) {
  wire::Authorization authorization;
  authorization.set_name(policy.metadata.name);
  authorization.set_namespace_(policy.metadata.ns);
  if (is_selective(policy.selector) || !policy.targets.empty()) {
    authorization.set_scope(wire::WORKLOAD_SELECTOR);
  } else if (policy.metadata.ns != settings.root_namespace) {
    authorization.set_scope(wire::NAMESPACE);
  }
  const bool allows = policy.action == AuthorizationAction::kAllow;
  if (!allows) authorization.set_action(wire::DENY);
  // Anything but "true" is enforced.
  authorization.set_dry_run(policy.metadata.annotation("istio.io/dry-run") == "true");
  const RuleTranslator translator(policy.metadata.ns, allows ? Unseen::kDrop : Unseen::kBroaden);
  const AuthorizationPolicy named = under_all_names(policy, settings);
  for (const AuthorizationRule& rule : named.rules) translator.translate(rule, authorization);
  return authorization;
}

// ---- PeerAuthentication -------------------------------------------------------------------------

bool older(const PeerAuthentication* a, const PeerAuthentication* b) {
  if (a->metadata.created != b->metadata.created) {
    if (a->metadata.created.empty() || b->metadata.created.empty()) {
      return !a->metadata.created.empty();
    }
    return a->metadata.created < b->metadata.created;
  }
  return std::tie(a->metadata.ns, a->metadata.name) < std::tie(b->metadata.ns, b->metadata.name);
}

std::vector<const PeerAuthentication*> oldest_first(const World& world) {
  std::vector<const PeerAuthentication*> peers = world.all<PeerAuthentication>();
  std::sort(peers.begin(), peers.end(), older);
  return peers;
}

// The mode that a namespace has without its workload policies.
MtlsMode inherited_mode(const std::vector<const PeerAuthentication*>& peers, const std::string& ns,
                        const std::string& root) {
  const auto mode_in = [&](const std::string& where) {
    for (const PeerAuthentication* peer : peers) {
      if (peer->metadata.ns == where && !is_selective(peer->selector)) return peer->mode;
    }
    return MtlsMode::kUnset;
  };
  const MtlsMode own = mode_in(ns);
  return own != MtlsMode::kUnset ? own : mode_in(root);
}

// Ports whose mode differs from `strict`, the mode of the whole workload.
std::vector<std::uint16_t> exceptions(const PeerAuthentication& peer, bool strict) {
  std::vector<std::uint16_t> ports;
  for (const auto& [port, mode] : peer.ports) {
    if (mode != MtlsMode::kUnset && (mode == MtlsMode::kStrict) != strict) ports.push_back(port);
  }
  return ports;
}

bool is_strict(const PeerAuthentication& peer, MtlsMode inherited) {
  return (peer.mode == MtlsMode::kUnset ? inherited : peer.mode) == MtlsMode::kStrict;
}

wire::Authorization static_strict(const Settings& settings) {
  wire::Authorization authorization;
  authorization.set_name(std::string(kStaticStrict));
  authorization.set_namespace_(settings.root_namespace);
  authorization.set_scope(wire::WORKLOAD_SELECTOR);
  authorization.set_action(wire::DENY);
  wire::Match* match = authorization.add_rules()->add_clauses()->add_matches();
  match->add_not_principals()->mutable_presence();
  return authorization;
}

std::string converted_name(const PeerAuthentication& peer) {
  return "converted_peer_authentication_" + peer.metadata.name;
}

wire::Authorization converted(const PeerAuthentication& peer, bool strict) {
  wire::Authorization authorization;
  authorization.set_name(converted_name(peer));
  authorization.set_namespace_(peer.metadata.ns);
  authorization.set_scope(wire::WORKLOAD_SELECTOR);
  authorization.set_action(wire::DENY);
  const std::vector<std::uint16_t> ports = exceptions(peer, strict);
  if (strict) {
    wire::Rule* rule = authorization.add_rules();
    for (const std::uint16_t port : ports) {
      rule->add_clauses()->add_matches()->add_not_destination_ports(port);
    }
    rule->add_clauses()->add_matches()->add_not_principals()->mutable_presence();
    return authorization;
  }
  for (const std::uint16_t port : ports) {
    wire::Match* match = authorization.add_rules()->add_clauses()->add_matches();
    match->add_not_principals()->mutable_presence();
    match->add_destination_ports(port);
  }
  return authorization;
}

}  // namespace

void translate_peers(const World& world, const Settings& settings, Authorizations& into) {
  const std::vector<const PeerAuthentication*> peers = oldest_first(world);
  bool any_strict = false;
  for (const PeerAuthentication* peer : peers) {
    const bool strict =
        is_strict(*peer, inherited_mode(peers, peer->metadata.ns, settings.root_namespace));
    any_strict |= strict || !exceptions(*peer, false).empty();
    if (!is_selective(peer->selector) || exceptions(*peer, strict).empty()) continue;
    into[peer->metadata.ns + "/" + converted_name(*peer)] = converted(*peer, strict);
  }
  if (any_strict) {
    into[settings.root_namespace + "/" + std::string(kStaticStrict)] = static_strict(settings);
  }
}

void translate_policy(const World& world, const Settings& settings,
                      const AuthorizationPolicy& policy, Authorizations& into,
                      std::vector<PolicyNote>& notes) {
  if (!concerns_ztunnel(world, settings, policy, notes)) return;
  into[policy.metadata.ns + "/" + policy.metadata.name] = translate(policy, settings);
}

Authorizations translate_policies(const World& world, const Settings& settings,
                                  std::vector<PolicyNote>& notes) {
  Authorizations authorizations;
  for (const AuthorizationPolicy* policy : world.all<AuthorizationPolicy>()) {
    translate_policy(world, settings, *policy, authorizations, notes);
  }
  translate_peers(world, settings, authorizations);
  return authorizations;
}

PolicySelection::PolicySelection(const World& world, const Settings& settings)
    : settings_(&settings) {
  const std::vector<const PeerAuthentication*> peers = oldest_first(world);
  for (const PeerAuthentication* peer : peers) {
    Scope& scope = scopes_[peer->metadata.ns];
    if (is_selective(peer->selector)) scope.peers.push_back(peer);
    scope.mode = inherited_mode(peers, peer->metadata.ns, settings.root_namespace);
  }
  std::vector<PolicyNote> ignored;
  for (const AuthorizationPolicy* policy : world.all<AuthorizationPolicy>()) {
    if (!concerns_ztunnel(world, settings, *policy, ignored)) continue;
    if (is_selective(policy->selector)) scopes_[policy->metadata.ns].policies.push_back(policy);
    for (const std::string& service : bare_services(world, settings, *policy)) {
      by_service_[service].push_back(policy->metadata.ns + "/" + policy->metadata.name);
    }
  }
}

const PolicySelection::Scope& PolicySelection::scope(const std::string& ns) const {
  static const Scope kNone;
  const auto known = scopes_.find(ns);
  return known == scopes_.end() ? kNone : known->second;
}

std::vector<std::string> PolicySelection::of(const std::string& ns, const manifest::Labels& labels,
                                             const std::vector<std::string>& services) const {
  const Scope& own_scope = scope(ns);
  const Scope& root_scope = scope(settings_->root_namespace);
  std::vector<std::string> names;
  for (const Scope* reaching : {&own_scope, &root_scope}) {
    for (const AuthorizationPolicy* policy : reaching->policies) {
      if (!selects(*policy->selector, labels)) continue;
      names.push_back(policy->metadata.ns + "/" + policy->metadata.name);
    }
  }
  for (const std::string& service : services) {
    const auto targeting = by_service_.find(service);
    if (targeting == by_service_.end()) continue;
    names.insert(names.end(), targeting->second.begin(), targeting->second.end());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());

  const MtlsMode inherited = own_scope.mode.value_or(root_scope.mode.value_or(MtlsMode::kUnset));
  const auto& peers = own_scope.peers;
  const auto own = std::find_if(peers.begin(), peers.end(),
                                [&](const auto* peer) { return selects(*peer->selector, labels); });
  const bool strict =
      own == peers.end() ? inherited == MtlsMode::kStrict : is_strict(**own, inherited);
  if (own != peers.end() && !exceptions(**own, strict).empty()) {
    names.push_back(ns + "/" + converted_name(**own));
  } else if (strict) {
    names.push_back(settings_->root_namespace + "/" + std::string(kStaticStrict));
  }
  return names;
}

}  // namespace mesh::control
