#include "control/kubernetes/stand_in.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::control::kubernetes {
namespace {

using manifest::Kind;
using manifest::Labels;
using manifest::Problem;
using manifest::Value;

bool is_wrong(const std::vector<Problem>& problems, std::string_view field) {
  return std::ranges::any_of(
      problems, [&](const Problem& problem) { return problem.field.starts_with(field); });
}

// spec.selector.matchLabels, if it can be read; else none: the whole scope.
std::optional<Labels> selector_of(const Value& object, const std::vector<Problem>& problems) {
  const Value* labels = member(member(member(&object, "spec"), "selector"), "matchLabels");
  if (labels == nullptr || labels->type != Value::Type::kMap) return {};
  if (is_wrong(problems, "spec.selector")) return {};
  Labels selector;
  for (std::size_t i = 0; i < labels->keys.size(); ++i) {
    if (labels->items[i].type != Value::Type::kScalar) return {};
    selector.emplace(labels->keys[i], labels->items[i].text);
  }
  return selector;
}

using Fields = std::vector<std::pair<std::string_view, Value>>;

// The object with nothing in its spec but these fields, if that can be read.
template <class T>
std::optional<T> read_with(Kind kind, const Value& object, const Fields& fields) {
  Value bare = object;
  for (std::size_t i = 0; i < bare.keys.size(); ++i) {
    if (bare.keys[i] != "spec" || bare.items[i].type != Value::Type::kMap) continue;
    Value& spec = bare.items[i];
    spec.keys.clear();
    spec.items.clear();
    for (const auto& [name, value] : fields) {
      spec.keys.emplace_back(name);
      spec.items.push_back(value);
    }
  }
  manifest::Parsed parsed = manifest::parse_object("", kind, bare);
  if (parsed.objects.empty()) return {};
  return std::get<T>(std::move(parsed.objects.front().object));
}

// Those of them that are there.
template <class T>
std::optional<T> read_only(Kind kind, const Value& object,
                           std::initializer_list<std::string_view> names) {
  Fields fields;
  for (const std::string_view name : names) {
    const Value* known = member(member(&object, "spec"), name);
    if (known != nullptr) fields.emplace_back(name, *known);
  }
  return read_with<T>(kind, object, fields);
}

enum class Asked { kNothing, kTunnel, kTls };

Asked asked_by(const Value& tls) {
  const Value* mode = member(&tls, "mode");
  if (mode == nullptr || mode->type != Value::Type::kScalar) return Asked::kTls;
  if (mode->text == "DISABLE") return Asked::kNothing;
  return mode->text == "ISTIO_MUTUAL" ? Asked::kTunnel : Asked::kTls;
}

// The most that a field `tls` somewhere in it asks for.
Asked asked_within(const Value& value) {
  Asked most = Asked::kNothing;
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    const bool tls = value.type == Value::Type::kMap && value.keys[i] == "tls";
    most = std::max(most, tls ? asked_by(value.items[i]) : asked_within(value.items[i]));
  }
  return most;
}

// A rule of which nothing is known but its host and that it asks for TLS, or for tunnels.
std::shared_ptr<const manifest::Object> closed_rule(const manifest::ObjectKey& key,
                                                    const Value& value) {
  using Rule = manifest::DestinationRule;
  const Asked asked = asked_within(value);
  if (asked == Asked::kNothing) return nullptr;
  auto rule = read_only<Rule>(key.kind, value, {"host", "exportTo", "workloadSelector"});
  if (!rule) rule = read_only<Rule>(key.kind, value, {"host"});
  if (!rule) return nullptr;  // nobody can tell whose it is
  rule->closed = asked == Asked::kTls;
  if (asked == Asked::kTunnel) rule->policy.tls.emplace().mode = "ISTIO_MUTUAL";
  return std::make_shared<const manifest::Object>(*std::move(rule));
}

manifest::Metadata bare_metadata(const manifest::ObjectKey& key) {
  manifest::Metadata metadata;
  metadata.name = key.name;
  metadata.ns = key.ns;
  return metadata;
}

manifest::RequestAuthentication closed_tokens(const manifest::ObjectKey& key, const Value& value) {
  using Read = manifest::RequestAuthentication;
  if (auto known = read_only<Read>(key.kind, value, {"selector", "targetRef", "targetRefs"})) {
    known->closed = Read::Closed::kTargets;
    return *std::move(known);
  }
  Read closed;
  closed.metadata = bare_metadata(key);
  closed.closed = Read::Closed::kNamespace;
  return closed;
}

// Where it is; none where that is a name, or cannot be read: nothing is dialled by that.
std::optional<manifest::WorkloadEntry> closed_workload(const Value& value) {
  using Read = manifest::WorkloadEntry;
  auto known = read_only<Read>(Kind::kWorkloadEntry, value, {"address", "network"});
  if (!known) known = read_only<Read>(Kind::kWorkloadEntry, value, {"address"});
  if (!known || !net::IpAddress::parse(known->address)) return {};
  known->closed = true;
  return known;
}

// Of a list, what is as it should be.
Value good_ones(const Value* list, bool (*is_good)(std::string_view)) {
  Value good;
  good.type = Value::Type::kList;
  if (list == nullptr || list->type != Value::Type::kList) return good;
  for (const Value& one : list->items) {
    if (one.type == Value::Type::kScalar && is_good(one.text)) good.items.push_back(one);
  }
  return good;
}

// Its hosts and addresses, those that can be read.
std::optional<manifest::ServiceEntry> closed_hosts(const manifest::ObjectKey& key,
                                                   const Value& value) {
  using Read = manifest::ServiceEntry;
  const Value* spec = member(&value, "spec");
  const auto is_block = [](std::string_view text) { return net::Cidr::parse(text).has_value(); };
  Fields fields = {{"hosts", good_ones(member(spec, "hosts"), manifest::is_host)},
                   {"addresses", good_ones(member(spec, "addresses"), is_block)}};
  Value& hosts = fields[0].second;
  if (hosts.items.empty()) {  // its addresses are there under some name
    Value& some = hosts.items.emplace_back();
    some.type = Value::Type::kScalar;
    some.text = key.name + "." + key.ns + ".refused.invalid";
  }
  const Fields bare = fields;
  for (const std::string_view name : {"resolution", "exportTo"}) {
    if (const Value* known = member(spec, name)) fields.emplace_back(name, *known);
  }
  auto known = read_with<Read>(key.kind, value, fields);
  if (!known) known = read_with<Read>(key.kind, value, bare);
  if (!known) return {};
  known->closed = true;
  return known;
}

}  // namespace

std::shared_ptr<const manifest::Object> stand_in(const manifest::ObjectKey& key, const Value& value,
                                                 const std::vector<Problem>& problems) {
  if (key.kind == Kind::kAuthorizationPolicy) {
    manifest::AuthorizationPolicy policy;
    policy.metadata = bare_metadata(key);
    policy.selector = selector_of(value, problems);
    policy.action = manifest::AuthorizationAction::kDeny;
    policy.rules.emplace_back();
    return std::make_shared<const manifest::Object>(std::move(policy));
  }
  if (key.kind == Kind::kPeerAuthentication) {
    manifest::PeerAuthentication peer;
    peer.metadata = bare_metadata(key);
    peer.selector = selector_of(value, problems);
    peer.mode = manifest::MtlsMode::kStrict;
    return std::make_shared<const manifest::Object>(std::move(peer));
  }
  if (key.kind == Kind::kRequestAuthentication) {
    return std::make_shared<const manifest::Object>(closed_tokens(key, value));
  }
  if (key.kind == Kind::kDestinationRule) return closed_rule(key, value);
  if (key.kind == Kind::kWorkloadEntry) {
    auto entry = closed_workload(value);
    if (entry) return std::make_shared<const manifest::Object>(*std::move(entry));
  }
  if (key.kind == Kind::kServiceEntry) {
    auto entry = closed_hosts(key, value);
    if (entry) return std::make_shared<const manifest::Object>(*std::move(entry));
  }
  return nullptr;
}

const char* stand_in_words(Kind kind) {
  switch (kind) {
    case Kind::kPeerAuthentication:
      return "it was never good here: what it selects takes mutual TLS only";
    case Kind::kRequestAuthentication:
      return "it was never good here: HTTP to what it is for is denied";
    case Kind::kDestinationRule:
      return "it was never good here: waypoints do not call its host, or by tunnels only if "
             "ISTIO_MUTUAL is all the TLS that it asks for";
    case Kind::kWorkloadEntry:
      return "it was never good here: connections to its address are refused";
    case Kind::kServiceEntry:
      return "it was never good here: connections to its hosts and addresses are refused";
    default:
      return "it was never good here: all that it selects is denied";
  }
}

}  // namespace mesh::control::kubernetes
