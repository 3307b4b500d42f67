#include "ztunnel/strict.h"

#include <nlohmann/json.hpp>

#include "mesh/policy/authorize.h"
#include "mesh/telemetry/log.h"

namespace mesh::ztunnel {
namespace {

using nlohmann::json;

constexpr std::string_view kNotUnderstood = "the agent's answer is not understood";

std::expected<json, std::string> decode(std::string_view answer) {
  json parsed = json::parse(answer, nullptr, false);
  if (!parsed.is_object()) return std::unexpected(std::string(kNotUnderstood));
  const auto ok = parsed.find("ok");
  if (ok == parsed.end() || !ok->is_boolean()) return std::unexpected(std::string(kNotUnderstood));
  if (ok->get<bool>()) return parsed;
  const auto error = parsed.find("error");
  const bool said = error != parsed.end() && error->is_string();
  return std::unexpected(said ? error->get<std::string>() : std::string(kNotUnderstood));
}

std::optional<std::uint64_t> number(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::optional<net::SocketAddress> address(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return net::SocketAddress::parse(found->get_ref<const std::string&>());
}

}  // namespace

bool has_policies(const workload::Directory& directory, const workload::Workload& workload) {
  const policy::Selection policies = directory.policies_for(workload);
  return policies.global != nullptr || policies.of_namespace != nullptr || !policies.listed.empty();
}

std::optional<std::string> refused_by(const workload::Directory& directory,
                                      const workload::Workload& workload,
                                      std::span<const OlderConnection> connections) {
  if (workload.policies_awaited) return std::nullopt;  // asked again when they have come
  const policy::Selection policies = directory.policies_for(workload);
  for (const OlderConnection& one : connections) {
    const policy::Connection question{.caller = nullptr,
                                      .source_ip = one.remote.ip,
                                      .destination_ip = one.local.ip,
                                      .destination_port = one.local.port};
    const policy::Verdict verdict = policy::authorize(policies, question);
    if (!verdict.allowed()) return std::string(verdict.decided_by());
  }
  return std::nullopt;
}

std::string encode_agent_request(std::string_view operation, std::string_view uid) {
  std::string request = "{\"op\":";
  telemetry::append_quoted_json(request, operation);
  request += ",\"uid\":";
  telemetry::append_quoted_json(request, uid);
  return request + "}";
}

std::expected<OlderConnections, std::string> decode_connections(std::string_view answer) {
  const auto parsed = decode(answer);
  if (!parsed) return std::unexpected(parsed.error());
  const auto list = parsed->find("connections");
  const auto total = number(*parsed, "total");
  if (list == parsed->end() || !list->is_array() || !total) {
    return std::unexpected(std::string(kNotUnderstood));
  }
  OlderConnections older{.total = *total};
  for (const json& one : *list) {
    const auto local = one.is_object() ? address(one, "local") : std::nullopt;
    const auto remote = one.is_object() ? address(one, "remote") : std::nullopt;
    if (!local || !remote) return std::unexpected(std::string(kNotUnderstood));
    older.listed.push_back({.local = *local, .remote = *remote});
  }
  return older;
}

std::expected<std::uint64_t, std::string> decode_ended(std::string_view answer) {
  const auto parsed = decode(answer);
  if (!parsed) return std::unexpected(parsed.error());
  const auto ended = number(*parsed, "ended");
  if (!ended) return std::unexpected(std::string(kNotUnderstood));
  return *ended;
}

}  // namespace mesh::ztunnel
