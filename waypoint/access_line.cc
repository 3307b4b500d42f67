// The lines of the access log.

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "mesh/grpc/status.h"
#include "mesh/telemetry/log.h"
#include "waypoint/config/model.h"
#include "waypoint/stats.h"

namespace mesh::waypoint {
namespace {

std::string_view or_dash(std::string_view text) { return text.empty() ? "-" : text; }

// Nothing that a client sends can end a field or a line.
void append_field(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  constexpr std::size_t kFieldMax = 2048;
  for (const char c : or_dash(text).substr(0, kFieldMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte < 0x7f && c != '"' && c != '\\') {
      out.push_back(c);
    } else {
      out.append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
}

void append_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  append_field(out, text);
  out.push_back('"');
}

std::string milliseconds(io::Duration duration) {
  if (duration.count() < 0) return "-";
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

void append_time(std::string& out, io::WallTime time) {
  telemetry::append_timestamp(out, time.time_since_epoch().count());
}

std::string address(const net::SocketAddress& of) {
  return of.ip.is_unspecified() && of.port == 0 ? std::string() : of.to_string();
}

std::string address_alone(const net::SocketAddress& of) {
  return of.ip.is_unspecified() && of.port == 0 ? std::string() : of.ip.to_string();
}

std::string port_alone(const net::SocketAddress& of) {
  return of.port == 0 ? std::string() : std::to_string(of.port);
}

std::string grpc_status(const Record& record, bool number) {
  if (record.grpc_status < 0) return {};
  const auto code = static_cast<grpc::StatusCode>(record.grpc_status);
  return number ? std::to_string(record.grpc_status) : std::string(grpc::status_code_name(code));
}

// Operators about who and where. Empty: it is not there.
std::string place_of(config::LogOperator what, const Caller& caller, const Record& record) {
  switch (what) {
    case config::LogOperator::kResponseDuration:
      return record.upstream_time.count() < 0 ? std::string() : milliseconds(record.upstream_time);
    case config::LogOperator::kUpstreamHost:
      return address(record.upstream);
    case config::LogOperator::kUpstreamCluster:
      return record.cluster;
    case config::LogOperator::kLocalAddress:
      return address(caller.target);
    case config::LogOperator::kLocalAddressWithoutPort:
      return address_alone(caller.target);
    case config::LogOperator::kLocalPort:
      return port_alone(caller.target);
    case config::LogOperator::kRemoteAddress:
      return address(caller.address);
    case config::LogOperator::kRemoteAddressWithoutPort:
      return address_alone(caller.address);
    case config::LogOperator::kRemotePort:
      return port_alone(caller.address);
    case config::LogOperator::kRouteName:
      return record.route;
    case config::LogOperator::kPeerUri:
      return caller.principal;
    case config::LogOperator::kLocalUri:
      return caller.own_principal;
    case config::LogOperator::kGrpcStatus:
      return grpc_status(record, false);
    case config::LogOperator::kGrpcStatusNumber:
      return grpc_status(record, true);
    case config::LogOperator::kRequestId:
      return record.request_id;
    case config::LogOperator::kTraceId:
      return record.trace_id;
    default:
      return {};
  }
}

}  // namespace

void append_access_text(std::string& out, const Caller& caller, const Record& record,
                        io::Duration lasted) {
  out.push_back('[');
  append_time(out, record.wall);
  out.append("] \"");
  append_field(out, record.method);
  out.push_back(' ');
  append_field(out, record.path);
  out.push_back(' ');
  out.append(record.tcp ? "-" : record.protocol);
  out.append("\" ").append(std::to_string(record.status)).append(" ");
  out.append(record.flags.to_string()).append(" ");
  append_field(out, record.details);
  out.push_back(' ');
  append_field(out, record.connection_details);
  out.push_back(' ');
  append_quoted(out, record.upstream_failure);
  out.append(" ").append(std::to_string(record.request_bytes));
  out.append(" ").append(std::to_string(record.response_bytes));
  out.append(" ").append(milliseconds(lasted));
  out.append(" ").append(milliseconds(record.upstream_time)).append(" \"-\" ");
  append_quoted(out, record.user_agent);
  out.push_back(' ');
  append_quoted(out, record.request_id);
  out.push_back(' ');
  append_quoted(out, record.authority);
  out.push_back(' ');
  append_quoted(out, address(record.upstream));
  out.push_back(' ');
  append_field(out, record.cluster);
  out.append(" - ").append(or_dash(address(caller.target)));
  out.append(" ").append(or_dash(address(caller.address))).append(" - ");
  append_field(out, record.route);
  out.push_back('\n');
}

void append_access_json(std::string& out, const Caller& caller, const Record& record,
                        io::Duration lasted) {
  out.push_back('{');
  bool first = true;
  const auto name = [&](std::string_view key) {
    if (!std::exchange(first, false)) out.push_back(',');
    out.append("\"").append(key).append("\":");
  };
  const auto text = [&](std::string_view key, std::string_view value) {
    name(key);
    value.empty() ? void(out.append("null")) : telemetry::append_quoted_json(out, value);
  };
  const auto number = [&](std::string_view key, std::uint64_t value) {
    name(key);
    out.append(std::to_string(value));
  };
  std::string time;
  append_time(time, record.wall);
  text("start_time", time);
  text("method", record.method);
  text("path", record.path);
  text("protocol", record.tcp ? "" : record.protocol);
  number("response_code", static_cast<std::uint64_t>(record.status));
  text("response_flags", record.flags.to_string());
  text("response_code_details", record.details);
  text("connection_termination_details", record.connection_details);
  text("upstream_transport_failure_reason", record.upstream_failure);
  number("bytes_received", record.request_bytes);
  number("bytes_sent", record.response_bytes);
  number("duration", static_cast<std::uint64_t>(lasted.count() / 1'000'000));
  text("upstream_service_time",
       record.upstream_time.count() < 0 ? "" : milliseconds(record.upstream_time));
  text("user_agent", record.user_agent);
  text("request_id", record.request_id);
  text("authority", record.authority);
  text("upstream_host", address(record.upstream));
  text("upstream_cluster", record.cluster);
  text("downstream_local_address", address(caller.target));
  text("downstream_remote_address", address(caller.address));
  text("downstream_peer", caller.principal);
  text("route_name", record.route);
  text("policy", record.policy);
  out.append("}\n");
}

// ---- as configured ----

namespace {

using config::AccessLog;
using config::LogOperator;

// `of`: headers, or a request, which has :path and the like too.
std::optional<std::string> header_of(const auto& of, std::string_view name) {
  const auto text = http::header_text(of, name);
  if (!text.present()) return std::nullopt;
  return std::string(text.text());
}

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// What a condition asks for; none: a connection has no such thing, or this request has not.
std::optional<std::string> attribute_of(telemetry::Attribute attribute, std::string_view header,
                                        const Record& record, io::Duration lasted) {
  using telemetry::Attribute;
  switch (attribute) {
    case Attribute::kPath:
      return unless_empty(record.path);
    case Attribute::kUrlPath:
      return unless_empty(record.path.substr(0, record.path.find('?')));
    case Attribute::kHost:
      return unless_empty(record.authority);
    case Attribute::kScheme:
      return record.request == nullptr ? std::nullopt : unless_empty(record.request->scheme);
    case Attribute::kMethod:
      return unless_empty(record.method);
    case Attribute::kUserAgent:
      return unless_empty(record.user_agent);
    case Attribute::kRequestId:
      return unless_empty(record.request_id);
    case Attribute::kProtocol:
      return record.tcp ? std::nullopt : std::optional(std::string(record.protocol));
    case Attribute::kRequestHeader:
      return record.request == nullptr ? std::nullopt : header_of(*record.request, header);
    case Attribute::kResponseCode:
      return record.status > 0 ? std::optional(std::to_string(record.status)) : std::nullopt;
    case Attribute::kResponseDetails:
      return unless_empty(record.details);
    case Attribute::kResponseFlags:
      return std::to_string(record.flags.envoy_bits());
    case Attribute::kDuration:
      return std::to_string(lasted.count());
    case Attribute::kGrpcStatus:
      return unless_empty(grpc_status(record, true));
    case Attribute::kResponseHeader:
      return header_of(record.response_headers, header);
    case Attribute::kRouteName:
      return unless_empty(record.route);
    case Attribute::kClusterName:
      return unless_empty(record.cluster);
  }
  return std::nullopt;
}

bool holds(const AccessLog::Filter& filter, const Record& record, io::Duration lasted) {
  using Kind = AccessLog::Filter::Kind;
  const auto status = static_cast<std::uint32_t>(std::max(record.status, 0));
  switch (filter.kind) {
    case Kind::kStatusAtLeast:
      return status >= filter.status;
    case Kind::kStatusEquals:
      return status == filter.status;
    case Kind::kStatusDiffers:
      return status != filter.status;
    case Kind::kStatusAtMost:
      return status <= filter.status;
    case Kind::kCondition:
      return !filter.condition || filter.condition->holds([&](auto attribute, auto header) {
        return attribute_of(attribute, header, record, lasted);
      });
    case Kind::kFlags:
      break;
  }
  if (filter.flags.empty()) return !record.flags.empty();
  const std::string all = "," + record.flags.to_string() + ",";
  return std::ranges::any_of(filter.flags, [&](const std::string& flag) {
    return all.find("," + flag + ",") != std::string::npos;
  });
}

std::string first_of(const auto& headers, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto text = http::header_text(headers, name);
    if (text.present()) return std::string(text.text());
  }
  return {};
}

std::string response_header(const config::LogPiece& piece, const Record& record) {
  if (piece.names.front() == "x-envoy-upstream-service-time") {
    return record.upstream_time.count() < 0 ? std::string() : milliseconds(record.upstream_time);
  }
  return first_of(record.response_headers, piece.names);
}

std::string metadata_of(const config::LogPiece& piece, const Record& record) {
  using Kind = http::Value::Kind;
  const http::Value* said = record.metadata == nullptr ? nullptr : record.metadata->at(piece.names);
  if (said == nullptr) return {};
  if (said->kind == Kind::kString) return said->text;
  if (said->kind == Kind::kBool) return said->boolean ? "true" : "false";
  if (said->kind != Kind::kNumber) return {};
  std::array<char, 32> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), said->number);
  return {text.data(), written.ptr};
}

bool is_number(LogOperator what) {
  return what == LogOperator::kResponseCode || what == LogOperator::kBytesReceived ||
         what == LogOperator::kBytesSent || what == LogOperator::kDuration ||
         what == LogOperator::kAttempts;
}

// Empty: it is not there.
std::string value_of(const config::LogPiece& piece, const Caller& caller, const Record& record,
                     io::Duration lasted) {
  switch (piece.what) {
    case LogOperator::kLiteral:
      return piece.text;
    case LogOperator::kRequestHeader:
      return record.request == nullptr ? std::string() : first_of(*record.request, piece.names);
    case LogOperator::kResponseHeader:
      return response_header(piece, record);
    case LogOperator::kMetadata:
      return metadata_of(piece, record);
    case LogOperator::kResponseTrailer:
      return first_of(record.response_trailers, piece.names);
    case LogOperator::kStartTime: {
      std::string time;
      append_time(time, record.wall);
      return time;
    }
    case LogOperator::kProtocol:
      return record.tcp ? std::string() : std::string(record.protocol);
    case LogOperator::kResponseCode:
      return std::to_string(record.status);
    case LogOperator::kResponseFlags:
      return record.flags.to_string();
    case LogOperator::kResponseCodeDetails:
      return record.details;
    case LogOperator::kConnectionDetails:
      return record.connection_details;
    case LogOperator::kUpstreamFailure:
      return record.upstream_failure;
    case LogOperator::kBytesReceived:
      return std::to_string(record.request_bytes);
    case LogOperator::kBytesSent:
      return std::to_string(record.response_bytes);
    case LogOperator::kDuration:
      return milliseconds(lasted);
    case LogOperator::kAttempts:
      return std::to_string(record.attempts);
    default:
      return place_of(piece.what, caller, record);
  }
}

void append_text(std::string& out, const config::AccessFormat& format, const Caller& caller,
                 const Record& record, io::Duration lasted) {
  for (const config::LogPiece& piece : format.pieces) {
    const std::string value = value_of(piece, caller, record, lasted);
    if (piece.what == LogOperator::kLiteral) {
      out.append(value);
    } else {
      append_field(out, std::string_view(value).substr(0, piece.limit));
    }
  }
}

// A field that is one operator is a number where the operator is one, and null where it is not
// there.
void append_value(std::string& out, const config::AccessFormat& format, const Caller& caller,
                  const Record& record, io::Duration lasted) {
  std::string text;
  for (const config::LogPiece& piece : format.pieces) {
    const std::string value = value_of(piece, caller, record, lasted);
    if (format.pieces.size() == 1 && piece.what != LogOperator::kLiteral) {
      if (is_number(piece.what)) return void(out.append(value));
      if (value.empty()) return void(out.append("null"));
    }
    text.append(std::string_view(or_dash(value)).substr(0, piece.limit));
  }
  telemetry::append_quoted_json(out, text);
}

}  // namespace

void append_configured(std::string& out, const AccessLog& log, const Caller& caller,
                       const Record& record, io::Duration lasted) {
  const auto must = [&](const AccessLog::Filter& filter) { return holds(filter, record, lasted); };
  if (!std::ranges::all_of(log.filters, must)) return;
  if (log.json) {
    out.push_back('{');
    for (const auto& [name, format] : log.json_fields) {
      if (&name != &log.json_fields.front().first) out.push_back(',');
      telemetry::append_quoted_json(out, name);
      out.push_back(':');
      append_value(out, format, caller, record, lasted);
    }
    out.append("}\n");
  } else if (log.format) {
    append_text(out, *log.format, caller, record, lasted);
    if (!out.ends_with('\n')) out.push_back('\n');
  } else {
    append_access_text(out, caller, record, lasted);
  }
}

}  // namespace mesh::waypoint
