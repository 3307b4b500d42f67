#pragma once
// Which Telemetry objects are for a chain, and what they come to together. Pure.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/world.h"

namespace mesh::control {

struct ChainTracing {
  const manifest::TracingProvider* provider = nullptr;
  // Whose word it is; nullptr: the mesh configuration's.
  const manifest::Telemetry* owner = nullptr;
  double sampling = 1;                               // percent
  std::map<std::string, manifest::TracingTag> tags;  // literals and headers
};

struct ChainLog {
  const manifest::LogProvider* provider = nullptr;
  std::string condition = {};  // empty: every request
};

struct ChainTelemetry {
  std::optional<ChainTracing> tracing;
  std::vector<ChainLog> logs;
  bool silent = false;  // no log at all, because that was asked for
};

// For a waypoint of namespace `ns`. `targets`: whether the targets of an object in that namespace
// name the Service of the chain (kService), the Gateway, or its class.
enum class TargetedBy : std::uint8_t { kNothing, kClass, kGateway, kService };
using Targets = std::function<TargetedBy(const manifest::Telemetry&)>;

ChainTelemetry chain_telemetry(const World& world, const Settings& settings, const std::string& ns,
                               const Targets& targets);

}  // namespace mesh::control
