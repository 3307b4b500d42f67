#include "control/kubernetes/stand_in.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

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

// The object with nothing in its spec but these fields, if that can be read.
template <class T>
std::optional<T> read_only(Kind kind, const Value& object,
                           std::initializer_list<std::string_view> fields) {
  Value bare = object;
  for (std::size_t i = 0; i < bare.keys.size(); ++i) {
    if (bare.keys[i] != "spec" || bare.items[i].type != Value::Type::kMap) continue;
    Value spec = bare.items[i];
    spec.keys.clear();
    spec.items.clear();
    for (const std::string_view field : fields) {
      const Value* known = bare.items[i].find(field);
      if (known == nullptr) continue;
      spec.keys.emplace_back(field);
      spec.items.push_back(*known);
    }
    bare.items[i] = std::move(spec);
  }
  manifest::Parsed parsed = manifest::parse_object("", kind, bare);
  if (parsed.objects.empty()) return {};
  return std::get<T>(std::move(parsed.objects.front().object));
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
    default:
      return "it was never good here: all that it selects is denied";
  }
}

}  // namespace mesh::control::kubernetes
