#include "control/telemetry/scopes.h"

#include <algorithm>
#include <array>

#include "control/telemetry/faults.h"
#include "control/telemetry/log_format.h"

namespace mesh::control {
namespace {

using manifest::LoggingRule;
using manifest::LogProvider;
using manifest::MeshConfig;
using manifest::Telemetry;
using manifest::TracingRule;
using manifest::TracingTag;

// From the widest scope to the nearest; one object each.
enum Scope : std::size_t { kMesh, kNamespace, kClass, kGateway, kService, kScopes };
using Layers = std::array<const Telemetry*, kScopes>;

void offer(const Telemetry& telemetry, const Telemetry*& place) {
  if (place == nullptr || stands_before(telemetry, *place)) place = &telemetry;
}

Layers layers_of(const World& world, const Settings& settings, const std::string& ns,
                 const Targets& targets) {
  Layers layers{};
  for (const Telemetry* telemetry : world.all<Telemetry>()) {
    const bool root = telemetry->metadata.ns == settings.root_namespace;
    if (telemetry->has_selector) continue;
    if (telemetry->targets.empty()) {
      if (root) offer(*telemetry, layers[kMesh]);
      if (!root && telemetry->metadata.ns == ns) offer(*telemetry, layers[kNamespace]);
      continue;
    }
    switch (targets(*telemetry)) {
      case TargetedBy::kNothing:
        break;
      case TargetedBy::kClass:
        offer(*telemetry, layers[kClass]);
        break;
      case TargetedBy::kGateway:
        offer(*telemetry, layers[kGateway]);
        break;
      case TargetedBy::kService:
        offer(*telemetry, layers[kService]);
        break;
    }
  }
  return layers;
}

bool is_sent(const TracingTag& tag) {
  return tag.source == TracingTag::Source::kLiteral || tag.source == TracingTag::Source::kHeader;
}

// A field that a nearer object does not say is as the wider one said.
std::optional<ChainTracing> merged_tracing(const MeshConfig& mesh, const Layers& layers) {
  std::vector<std::string> providers = mesh.default_tracing;
  ChainTracing made;
  bool disabled = false;
  for (const Telemetry* layer : layers) {
    if (layer == nullptr) continue;
    for (const TracingRule& rule : layer->tracing) {
      if (!is_for_waypoints(rule.mode)) continue;
      if (!rule.providers.empty()) {
        providers = rule.providers;
        made.owner = layer;
      }
      disabled = rule.disabled.value_or(disabled);
      made.sampling = rule.sampling.value_or(made.sampling);
      if (!rule.has_tags) continue;
      made.tags.clear();
      for (const auto& [name, tag] : rule.tags) {
        if (is_sent(tag)) made.tags.emplace(name, tag);
      }
    }
  }
  if (disabled || providers.empty()) return std::nullopt;
  made.provider = mesh.tracer(providers.front());
  if (made.provider == nullptr) return std::nullopt;
  return made;
}

struct Asked {
  std::string provider;
  bool enabled = true;
  std::string condition = {};
};

class Logs {
 public:
  explicit Logs(const MeshConfig& mesh) {
    for (const std::string& name : mesh.default_logging) asked_.push_back({.provider = name});
  }

  // One object's rules: those that name providers replace whoever was named above.
  void add(const Telemetry& layer) {
    std::vector<Asked> named;
    for (const LoggingRule& rule : layer.logging) {
      if (!is_for_waypoints(rule.mode)) continue;
      for (const std::string& name : rule.providers) {
        if (find(named, name) == named.end()) named.push_back({.provider = name});
      }
    }
    if (!named.empty()) asked_ = std::move(named);
    for (const LoggingRule& rule : layer.logging) {
      if (is_for_waypoints(rule.mode)) apply(rule);
    }
  }

  void finish(const MeshConfig& mesh, ChainTelemetry& to) const {
    bool unusable = false;
    for (const Asked& one : asked_) {
      if (!one.enabled) continue;
      const LogProvider* provider = mesh.logger(one.provider);
      if (provider == nullptr || !has_good_format(*provider)) {
        unusable = true;
        continue;
      }
      const bool asks = condition_problem(one.condition).empty();
      to.logs.push_back({.provider = provider, .condition = asks ? one.condition : ""});
    }
    to.silent = to.logs.empty() && !unusable && disabled_;
  }

 private:
  static std::vector<Asked>::iterator find(std::vector<Asked>& list, const std::string& name) {
    return std::ranges::find(list, name, &Asked::provider);
  }

  static bool has_good_format(const LogProvider& provider) {
    return log_format_problem(provider.text).empty() &&
           std::ranges::all_of(provider.fields, [](const auto& field) {
             return log_format_problem(field.second).empty();
           });
  }

  void apply(const LoggingRule& rule) {
    const bool disables = rule.disabled.value_or(false);
    disabled_ = disables;
    // Somebody wants a log, and nobody says which.
    if (asked_.empty() && !disables) asked_.push_back({.provider = "envoy"});
    for (Asked& one : asked_) {
      const bool named = std::ranges::find(rule.providers, one.provider) != rule.providers.end();
      if (!rule.providers.empty() && !named) continue;
      one.enabled = !disables;
      if (named || !rule.filter.empty()) one.condition = rule.filter;
    }
  }

  std::vector<Asked> asked_;
  bool disabled_ = false;
};

}  // namespace

ChainTelemetry chain_telemetry(const World& world, const Settings& settings, const std::string& ns,
                               const Targets& targets) {
  const Layers layers = layers_of(world, settings, ns, targets);
  ChainTelemetry made;
  made.tracing = merged_tracing(world.mesh(), layers);
  Logs logs(world.mesh());
  for (const Telemetry* layer : layers) {
    if (layer != nullptr) logs.add(*layer);
  }
  logs.finish(world.mesh(), made);
  return made;
}

}  // namespace mesh::control
