// Access logs: where lines go, how they look, of what there is one.

#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

using Filter = AccessLog::Filter;

void expression(Input& in, const Tree& at, AccessLog& log) {
  const Tree* config = in.object(at, "typedConfig");
  Input::overlook(at, {"name"});
  const bool cel = config != nullptr && config->any_type() ==
                                            "envoy.extensions.access_loggers.filters.cel.v3."
                                            "ExpressionFilter";
  if (!cel) {
    Input::overlook(&at);
    return in.note(at, "this condition is not looked at");
  }
  std::string problem;
  auto condition = telemetry::Condition::parse(in.text(*config, "expression"), problem);
  if (!condition) return in.note(*config, "this condition is not looked at: " + problem);
  Filter made;
  made.kind = Filter::Kind::kCondition;
  made.condition = *std::move(condition);
  log.filters.push_back(std::move(made));
}

// What is not understood makes the log say more, not less.
void log_filter(Input& in, const Tree& at, AccessLog& log) {
  using Kind = Filter::Kind;
  const auto which =
      in.one_of(at, {"statusCodeFilter", "responseFlagFilter", "andFilter", "extensionFilter"});
  const Tree* filter = which.empty() ? nullptr : in.object(at, which);
  if (filter == nullptr) return in.note(at, "this condition is not looked at");
  if (which == "andFilter") {
    for (const Tree* one : in.list(*filter, "filters")) log_filter(in, *one, log);
    return;
  }
  if (which == "extensionFilter") return expression(in, *filter, log);
  Filter made;
  if (which == "responseFlagFilter") {
    made.flags = in.texts(*filter, "flags");
  } else if (const Tree* comparison = in.object(*filter, "comparison")) {
    static constexpr Kind kKinds[] = {Kind::kStatusEquals, Kind::kStatusAtLeast,
                                      Kind::kStatusAtMost, Kind::kStatusDiffers};
    made.kind = kKinds[in.choice(*comparison, "op", {"EQ", "GE", "LE", "NE"})];
    if (const Tree* value = in.object(*comparison, "value")) {
      made.status = static_cast<std::uint32_t>(in.number(*value, "defaultValue"));
      Input::overlook(*value, {"runtimeKey"});
    }
  }
  log.filters.push_back(std::move(made));
}

std::optional<AccessFormat> format_of(Input& in, const Tree& at, std::string_view text) {
  std::vector<std::string> unknown;
  auto format = parse_access_format(text, unknown);
  if (!format) in.note(at, "not a format");
  for (const std::string& name : unknown) in.note(at, "%" + name + "% is always -");
  return format;
}

void log_format(Input& in, const Tree& at, AccessLog& log) {
  const auto which = in.one_of(at, {"textFormat", "textFormatSource", "jsonFormat"});
  if (which == "textFormat") log.format = format_of(in, at, in.text(at, which));
  if (which == "textFormatSource") {
    if (const Tree* source = in.object(at, which)) {
      log.format = format_of(in, *source, in.text(*source, "inlineString"));
    }
  }
  if (which == "jsonFormat") {
    log.json = true;
    for (const Tree* field : in.map(at, which)) {
      if (field->kind == Tree::Kind::kText) {
        auto format = format_of(in, *field, field->text);
        if (format) log.json_fields.emplace_back(field->label, *std::move(format));
      } else {
        Input::overlook(field);
        in.note(*field, "only texts are supported");
      }
    }
  }
  Input::overlook(at, {"omitEmptyValues", "contentType", "formatters", "jsonFormatOptions"});
}

}  // namespace

std::vector<AccessLog> access_logs(Input& in, const Tree& at) {
  std::vector<AccessLog> logs;
  for (const Tree* one : in.list(at, "accessLog")) {
    AccessLog log;
    Input::overlook(*one, {"name"});
    const Tree* config = in.object(*one, "typedConfig");
    const std::string_view type = config == nullptr ? std::string_view() : config->any_type();
    std::string path;
    if (type == "envoy.extensions.access_loggers.file.v3.FileAccessLog") {
      path = in.text(*config, "path");
    } else if (type == "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog") {
      path = "/dev/stdout";
    }
    if (path != "/dev/stdout") {
      Input::overlook(one);
      in.note(*one, path.empty() ? "this access log is not supported"
                                 : "no other file than /dev/stdout is written: " + path);
      continue;
    }
    if (const Tree* format = in.object(*config, "logFormat")) log_format(in, *format, log);
    if (const Tree* filter = in.object(*one, "filter")) log_filter(in, *filter, log);
    logs.push_back(std::move(log));
  }
  return logs;
}

}  // namespace mesh::waypoint::config::parts
