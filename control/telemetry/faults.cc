#include "control/telemetry/faults.h"

#include <algorithm>
#include <tuple>

#include "control/telemetry/log_format.h"
#include "mesh/telemetry/condition.h"

namespace mesh::control {
namespace {

using manifest::LoggingRule;
using manifest::LogProvider;
using manifest::MeshConfig;
using manifest::TargetRef;
using manifest::Telemetry;
using manifest::TracingRule;
using manifest::TracingTag;
using Faults = std::vector<std::string>;

constexpr const char* kMetrics = "prometheus";  // who reads what every waypoint counts

void add_tracing_faults(const MeshConfig& mesh, const TracingRule& rule, Faults& faults) {
  for (const std::string& name : rule.providers) {
    if (mesh.tracer(name) == nullptr) {
      faults.push_back("tracing: " + mesh.why_not(name, "traces"));
    }
  }
  if (rule.providers.size() > 1) {
    faults.push_back("tracing: spans go to " + rule.providers.front() + " alone");
  }
  for (const auto& [name, tag] : rule.tags) {
    if (tag.source == TracingTag::Source::kEnvironment) {
      faults.push_back("tracing.customTags: " + name + ": environment is not supported");
    }
    if (tag.source == TracingTag::Source::kFormatter) {
      faults.push_back("tracing.customTags: " + name + ": formatter is not supported");
    }
  }
  for (const std::string& field : rule.unsupported) {
    faults.push_back("tracing." + field + ": false is not supported");
  }
}

void add_format_faults(const LogProvider& provider, Faults& faults) {
  const std::string start = "accessLogging: provider " + provider.name + ": ";
  std::string problem = log_format_problem(provider.text);
  for (const auto& [name, format] : provider.fields) {
    if (problem.empty()) problem = log_format_problem(format);
  }
  if (!problem.empty()) faults.push_back(start + problem);
  if (provider.path != "/dev/stdout") {
    faults.push_back(start + "a weft-waypoint writes to /dev/stdout alone, not to " +
                     provider.path.substr(0, 128));
  }
}

void add_logging_faults(const MeshConfig& mesh, const LoggingRule& rule, Faults& faults) {
  for (const std::string& name : rule.providers) {
    const LogProvider* provider = mesh.logger(name);
    if (provider == nullptr) {
      faults.push_back("accessLogging: " + mesh.why_not(name, "access logs"));
    } else {
      add_format_faults(*provider, faults);
    }
  }
  if (rule.filter.empty()) return;
  const std::string problem = condition_problem(rule.filter);
  if (!problem.empty()) faults.push_back("accessLogging.filter: " + problem + ": all is logged");
}

bool is_same(const TargetRef& a, const TargetRef& b) {
  return a.group == b.group && a.kind == b.kind && a.name == b.name;
}

bool covers(const Telemetry& other, const TargetRef& target) {
  return std::ranges::any_of(other.targets,
                             [&](const TargetRef& own) { return is_same(own, target); });
}

}  // namespace

bool is_for_waypoints(manifest::TelemetryMode mode) {
  return mode != manifest::TelemetryMode::kClient;
}

std::vector<std::string> telemetry_faults(const MeshConfig& mesh, const Telemetry& telemetry) {
  Faults faults;
  if (telemetry.has_selector) faults.emplace_back("a selector selects no waypoint: use targetRefs");
  for (const TracingRule& rule : telemetry.tracing) {
    if (is_for_waypoints(rule.mode)) add_tracing_faults(mesh, rule, faults);
  }
  for (const LoggingRule& rule : telemetry.logging) {
    if (is_for_waypoints(rule.mode)) add_logging_faults(mesh, rule, faults);
  }
  for (const manifest::MetricsRule& rule : telemetry.metrics) {
    if (rule.has_overrides) faults.emplace_back("metrics.overrides are not supported");
    if (rule.has_interval) faults.emplace_back("metrics.reportingInterval is not supported");
    for (const std::string& name : rule.providers) {
      if (name != kMetrics) faults.push_back("metrics: provider " + name + " is not supported");
    }
  }
  return faults;
}

bool names_nobody(const MeshConfig& mesh, const Telemetry& telemetry) {
  const auto any = [](const auto& rules, const auto& is_known) {
    return std::ranges::any_of(rules, [&](const auto& rule) {
      return is_for_waypoints(rule.mode) && !std::ranges::all_of(rule.providers, is_known);
    });
  };
  const auto is_tracer = [&](const std::string& name) { return mesh.tracer(name) != nullptr; };
  const auto is_logger = [&](const std::string& name) { return mesh.logger(name) != nullptr; };
  const bool elsewhere = std::ranges::any_of(telemetry.metrics, [](const auto& rule) {
    return std::ranges::any_of(rule.providers, [](const auto& name) { return name != kMetrics; });
  });
  return elsewhere || any(telemetry.tracing, is_tracer) || any(telemetry.logging, is_logger);
}

bool stands_before(const Telemetry& a, const Telemetry& b) {
  const auto order = [](const Telemetry& one) {
    const manifest::Metadata& metadata = one.metadata;
    return std::tuple(metadata.created.empty(), std::string_view(metadata.created),
                      std::string_view(metadata.name));
  };
  return order(a) < order(b);
}

const Telemetry* telemetry_in_place_of(const World& world, const Telemetry& telemetry) {
  if (telemetry.has_selector) return nullptr;
  const Telemetry* in_place = nullptr;
  std::vector<bool> taken(telemetry.targets.size(), false);
  for (const Telemetry* other : world.all_in<Telemetry>(telemetry.metadata.ns)) {
    if (other->has_selector || other == &telemetry || !stands_before(*other, telemetry)) continue;
    if (telemetry.targets.empty() && other->targets.empty()) return other;
    for (std::size_t i = 0; i < taken.size(); ++i) {
      if (!covers(*other, telemetry.targets[i])) continue;
      taken[i] = true;
      in_place = other;
    }
  }
  const bool all = std::ranges::all_of(taken, [](bool one) { return one; });
  return all ? in_place : nullptr;
}

std::string condition_problem(const std::string& expression) {
  std::string problem;
  (void)telemetry::Condition::parse(expression, problem);
  return problem;
}

}  // namespace mesh::control
