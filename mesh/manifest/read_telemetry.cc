// Telemetry: what is traced and logged. A field that nobody reads is an error, for a log without
// its condition says more than its author meant.

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxRules = 64;
constexpr std::size_t kMaxProviders = 16;
constexpr std::size_t kMaxTags = 64;
constexpr std::size_t kMaxFilter = 4096;

TelemetryMode read_mode(Fields& rule) {
  Fields match = rule.map("match");
  const std::string mode =
      match.choice("mode", {"CLIENT_AND_SERVER", "CLIENT", "SERVER"}, "CLIENT_AND_SERVER");
  match.finish();
  if (mode == "CLIENT") return TelemetryMode::kClient;
  return mode == "SERVER" ? TelemetryMode::kServer : TelemetryMode::kBoth;
}

std::vector<std::string> read_providers(Fields& rule) {
  std::vector<std::string> names;
  for (Fields& provider : rule.maps("providers", kMaxProviders)) {
    names.push_back(provider.required_text("name"));
    provider.finish();
  }
  return names;
}

std::optional<bool> read_flag(Fields& rule, std::string_view key) {
  if (!rule.present(key)) return std::nullopt;
  return rule.flag(key, false);
}

TracingTag read_tag(Fields tag) {
  using Source = TracingTag::Source;
  TracingTag made;
  unsigned sources = 0;
  const auto take = [&](std::string_view key, Source source, std::string_view value) {
    if (!tag.present(key)) return;
    ++sources;
    Fields of = tag.map(key);
    made.source = source;
    made.value = of.required_text(value);
    if (source == Source::kHeader || source == Source::kEnvironment) {
      made.fallback = of.text("defaultValue");
    }
    of.finish();
  };
  take("literal", Source::kLiteral, "value");
  take("header", Source::kHeader, "name");
  take("environment", Source::kEnvironment, "name");
  take("formatter", Source::kFormatter, "value");
  if (sources != 1) tag.error("literal", "needs exactly one of literal, header, environment");
  tag.finish();
  return made;
}

TracingRule read_tracing(Fields& rule) {
  TracingRule made;
  made.mode = read_mode(rule);
  made.providers = read_providers(rule);
  made.disabled = read_flag(rule, "disableSpanReporting");
  if (rule.present("randomSamplingPercentage")) {
    made.sampling = rule.percent("randomSamplingPercentage", 0);
  }
  made.has_tags = rule.present("customTags");
  auto tags = rule.entries("customTags");
  if (tags.size() > kMaxTags) rule.error("customTags", "more than 64");
  for (auto& [name, tag] : tags) made.tags.emplace(name, read_tag(tag));
  for (const char* key : {"useRequestIdForTraceSampling", "enableIstioTags"}) {
    // What these say when they are true is done.
    if (rule.present(key) && !rule.flag(key, true)) made.unsupported.emplace_back(key);
    rule.ignore(key);
  }
  rule.finish();
  return made;
}

LoggingRule read_logging(Fields& rule) {
  LoggingRule made;
  made.mode = read_mode(rule);
  made.providers = read_providers(rule);
  made.disabled = read_flag(rule, "disabled");
  Fields filter = rule.map("filter");
  made.filter = filter.text("expression");
  if (made.filter.size() > kMaxFilter) filter.error("expression", "longer than 4096 bytes");
  filter.finish();
  rule.finish();
  return made;
}

MetricsRule read_metrics(Fields& rule) {
  MetricsRule made;
  made.providers = read_providers(rule);
  made.has_overrides = rule.present("overrides");
  made.has_interval = rule.present("reportingInterval");
  rule.ignore("overrides");
  rule.ignore("reportingInterval");
  rule.finish();
  return made;
}

}  // namespace

Telemetry read_telemetry(Fields& document, Metadata metadata) {
  Telemetry telemetry;
  telemetry.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  telemetry.has_selector = read_selector(spec).has_value();
  telemetry.targets = read_targets(spec, telemetry.has_selector);
  for (Fields& rule : spec.maps("tracing", kMaxRules)) {
    telemetry.tracing.push_back(read_tracing(rule));
  }
  for (Fields& rule : spec.maps("accessLogging", kMaxRules)) {
    telemetry.logging.push_back(read_logging(rule));
  }
  for (Fields& rule : spec.maps("metrics", kMaxRules)) {
    telemetry.metrics.push_back(read_metrics(rule));
  }
  spec.finish();
  return telemetry;
}

}  // namespace mesh::manifest
