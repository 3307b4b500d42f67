#pragma once
// Istio's Telemetry as a value: the fields that Weft reads.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mesh/manifest/metadata.h"

namespace mesh::manifest {

struct TargetRef {
  std::string group;
  std::string kind;
  std::string name;
};

// For what a proxy does for servers, for clients, or both. A waypoint is of the servers.
enum class TelemetryMode { kBoth, kClient, kServer };

struct TracingTag {
  enum class Source { kLiteral, kHeader, kEnvironment, kFormatter };
  Source source = Source::kLiteral;
  std::string value;     // the text, or the header's or the variable's name
  std::string fallback;  // where there is no header
};

struct TracingRule {
  TelemetryMode mode = TelemetryMode::kBoth;
  std::vector<std::string> providers;
  std::optional<bool> disabled;    // disableSpanReporting
  std::optional<double> sampling;  // percent
  bool has_tags = false;           // with an empty map: none, whatever was asked for above
  std::map<std::string, TracingTag> tags;
  std::vector<std::string> unsupported;  // fields that are there and that nobody reads
};

struct LoggingRule {
  TelemetryMode mode = TelemetryMode::kBoth;
  std::vector<std::string> providers;
  std::optional<bool> disabled;
  std::string filter;  // a condition in CEL
};

struct MetricsRule {
  std::vector<std::string> providers;
  bool has_overrides = false;
  bool has_interval = false;
};

struct Telemetry {
  Metadata metadata;
  bool has_selector = false;
  std::vector<TargetRef> targets;
  std::vector<TracingRule> tracing;
  std::vector<LoggingRule> logging;
  std::vector<MetricsRule> metrics;
};

}  // namespace mesh::manifest
