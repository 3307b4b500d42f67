#include "mesh/manifest/stand_in.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

using SpecFields = std::vector<std::pair<std::string_view, Value>>;

void put(Value& map, std::string_view key, const Value* value) {
  if (value == nullptr) return;
  map.type = Value::Type::kMap;
  map.keys.emplace_back(key);
  map.items.push_back(*value);
}

// The object with nothing in its spec but these fields, and its metadata and status, or only its
// name.
Value bare_object(const Value& object, const SpecFields& fields, bool only_name) {
  Value bare, names, spec;
  const Value* metadata = member(&object, "metadata");
  put(names, "name", member(metadata, "name"));
  put(names, "namespace", member(metadata, "namespace"));
  put(bare, "metadata", only_name ? &names : metadata);
  put(bare, "status", only_name ? nullptr : member(&object, "status"));
  const Value* said = member(&object, "spec");
  const bool is_map = said != nullptr && said->type == Value::Type::kMap;
  if (is_map) spec.type = Value::Type::kMap;
  for (const auto& [name, value] : fields) put(spec, name, &value);
  put(bare, "spec", is_map ? &spec : said);
  return bare;
}

// The object with nothing in its spec but these fields, if that can be read.
template <class T>
std::optional<T> read_with(Kind kind, const Value& object, const SpecFields& fields) {
  std::optional<Object> read = read_valid(kind, bare_object(object, fields, false));
  if (!read) read = read_valid(kind, bare_object(object, fields, true));
  if (!read) return {};
  return std::get<T>(*std::move(read));
}

// Those of them that are there.
template <class T>
std::optional<T> read_only(Kind kind, const Value& object,
                           std::initializer_list<std::string_view> names) {
  SpecFields fields;
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

// spec.selector, if it can be read; else none: the whole scope.
template <class T>
std::optional<Labels> selector_of(const ObjectKey& key, const Value& object) {
  const auto known = read_only<T>(key.kind, object, {"selector"});
  return known ? known->selector : std::nullopt;
}

// A rule of which nothing is known but its host and that it asks for TLS, or for tunnels.
std::shared_ptr<const Object> closed_rule(const ObjectKey& key, const Value& value) {
  using Rule = DestinationRule;
  const Asked asked = asked_within(value);
  if (asked == Asked::kNothing) return nullptr;
  auto rule = read_only<Rule>(key.kind, value, {"host", "exportTo", "workloadSelector"});
  if (!rule) rule = read_only<Rule>(key.kind, value, {"host"});
  if (!rule) return nullptr;  // nobody can tell whose it is
  rule->closed = asked == Asked::kTls;
  if (asked == Asked::kTunnel) rule->policy.tls.emplace().mode = "ISTIO_MUTUAL";
  return std::make_shared<const Object>(*std::move(rule));
}

Metadata bare_metadata(const ObjectKey& key) {
  Metadata metadata;
  metadata.name = key.name;
  metadata.ns = key.ns;
  return metadata;
}

RequestAuthentication closed_tokens(const ObjectKey& key, const Value& value) {
  using Read = RequestAuthentication;
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
std::optional<WorkloadEntry> closed_workload(const Value& value) {
  using Read = WorkloadEntry;
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
std::optional<ServiceEntry> closed_hosts(const ObjectKey& key, const Value& value) {
  using Read = ServiceEntry;
  const Value* spec = member(&value, "spec");
  const auto is_block = [](std::string_view text) { return net::Cidr::parse(text).has_value(); };
  SpecFields fields = {{"hosts", good_ones(member(spec, "hosts"), is_host)},
                       {"addresses", good_ones(member(spec, "addresses"), is_block)}};
  Value& hosts = fields[0].second;
  if (hosts.items.empty()) {  // its addresses are there under some name
    Value& some = hosts.items.emplace_back();
    some.type = Value::Type::kScalar;
    some.text = key.name + "." + key.ns + ".refused.invalid";
  }
  const SpecFields bare = fields;
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

std::shared_ptr<const Object> stand_in(const ObjectKey& key, const Value& value) {
  if (key.kind == Kind::kAuthorizationPolicy) {
    AuthorizationPolicy policy;
    policy.metadata = bare_metadata(key);
    policy.selector = selector_of<AuthorizationPolicy>(key, value);
    policy.action = AuthorizationAction::kDeny;
    policy.rules.emplace_back();
    return std::make_shared<const Object>(std::move(policy));
  }
  if (key.kind == Kind::kPeerAuthentication) {
    PeerAuthentication peer;
    peer.metadata = bare_metadata(key);
    peer.selector = selector_of<PeerAuthentication>(key, value);
    peer.mode = MtlsMode::kStrict;
    return std::make_shared<const Object>(std::move(peer));
  }
  if (key.kind == Kind::kRequestAuthentication) {
    return std::make_shared<const Object>(closed_tokens(key, value));
  }
  if (key.kind == Kind::kDestinationRule) return closed_rule(key, value);
  if (key.kind == Kind::kWorkloadEntry) {
    auto entry = closed_workload(value);
    if (entry) return std::make_shared<const Object>(*std::move(entry));
  }
  if (key.kind == Kind::kServiceEntry) {
    auto entry = closed_hosts(key, value);
    if (entry) return std::make_shared<const Object>(*std::move(entry));
  }
  return nullptr;
}

std::string stand_in_words(Kind kind) {
  return std::string("it was never good here: ") + what_stand_in_does(kind);
}

const char* what_stand_in_does(Kind kind) {
  switch (kind) {
    case Kind::kPeerAuthentication:
      return "what it selects takes mutual TLS only";
    case Kind::kRequestAuthentication:
      return "HTTP to what it is for is denied";
    case Kind::kDestinationRule:
      return "waypoints do not call its host, or by tunnels only if ISTIO_MUTUAL is all the TLS "
             "that it asks for";
    case Kind::kWorkloadEntry:
      return "connections to its address are refused";
    case Kind::kServiceEntry:
      return "connections to its hosts and addresses are refused";
    default:
      return "all that it selects is denied";
  }
}

}  // namespace mesh::manifest
