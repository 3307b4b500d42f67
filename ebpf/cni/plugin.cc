#include "ebpf/cni/plugin.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace mesh::ebpf::cni {
namespace {

using nlohmann::json;

std::string request_for(const Invocation& invocation, const Config& config) {
  if (invocation.command == Command::kGc)
    return json{{"op", "cni-gc"}, {"containerIds", config.valid}}.dump();
  json request = {{"name", invocation.pod_name},
                  {"namespace", invocation.pod_namespace},
                  {"containerId", invocation.container_id}};
  if (!invocation.pod_uid.empty()) request["uid"] = invocation.pod_uid;
  if (invocation.command == Command::kDel) {
    request["op"] = "cni-del";
  } else {
    request["op"] = invocation.command == Command::kAdd ? "cni-add" : "cni-check";
    request["ips"] = config.addresses;
    request["netnsPath"] = invocation.netns;
  }
  return request.dump();
}

// Nothing, if the agent said yes.
CniResult<void> judge(std::string_view text) {
  const json answer = json::parse(text, nullptr, false);
  const auto ok = answer.is_object() ? answer.find("ok") : answer.end();
  if (!answer.is_object() || ok == answer.end() || !ok->is_boolean())
    return std::unexpected(CniError{.code = Code::kTryAgainLater,
                                    .message = "weft-agent's answer cannot be understood"});
  if (ok->get<bool>()) return {};
  const auto error = answer.find("error");
  const auto retry = answer.find("retry");
  const bool later = retry != answer.end() && retry->is_boolean() && retry->get<bool>();
  const auto* words = error != answer.end() ? error->get_ptr<const std::string*>() : nullptr;
  return std::unexpected(CniError{.code = later ? Code::kTryAgainLater : Code::kRefused,
                                  .message = words != nullptr ? "weft: " + *words : "refused"});
}

CniResult<std::string> serve(const Invocation& invocation, const Config& config,
                             const AskAgent& ask) {
  const bool excluded = std::ranges::count(config.excluded, invocation.pod_namespace) > 0;
  const bool must = invocation.command == Command::kAdd || invocation.command == Command::kCheck;
  const std::string printed = invocation.command == Command::kAdd ? config.result : std::string();
  if (invocation.command == Command::kStatus || excluded) return printed;
  const auto answer =
      ask(config.socket, request_for(invocation, config), must ? invocation.netns : std::string());
  if (!must) return printed;
  if (!answer)
    return std::unexpected(CniError{
        .code = Code::kTryAgainLater,
        .message = "weft-agent does not answer, so whether pod " + invocation.pod_namespace + "/" +
                   invocation.pod_name + " belongs into the mesh is not known: it must wait",
        .details = config.socket + ": " + answer.error()});
  if (auto judged = judge(*answer); !judged) return std::unexpected(judged.error());
  return printed;
}

}  // namespace

Answer run_plugin(const Environment& environment, std::string_view input, const AskAgent& ask) {
  std::string version(kNewestVersion);
  const auto fail = [&](const CniError& error) {
    return Answer{.text = format_error(error, version), .status = 1};
  };
  const auto invocation = read_invocation(environment);
  if (!invocation) return fail(invocation.error());
  if (invocation->command == Command::kVersion) {
    // Asked without a configuration too.
    static_cast<void>(read_config(Command::kVersion, input, version));
    return {.text = format_versions(version)};
  }
  const auto config = read_config(invocation->command, input, version);
  if (!config) return fail(config.error());
  auto served = serve(*invocation, *config, ask);
  if (!served) return fail(served.error());
  return {.text = *std::move(served)};
}

}  // namespace mesh::ebpf::cni
