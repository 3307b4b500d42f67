// The lines of the access log.

#include <chrono>

#include "mesh/telemetry/log.h"
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

}  // namespace mesh::waypoint
