#include "ebpf/cni/invocation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "ebpf/pod.h"

namespace mesh::ebpf::cni {
namespace {

using nlohmann::json;

constexpr int kNestingMax = 32;
constexpr std::size_t kExcludedMax = 64;
constexpr std::size_t kIdBytesMax = 253;
constexpr std::size_t kSocketPathMax = 107;  // of sockaddr_un
constexpr std::string_view kVersions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

struct CommandName {
  std::string_view name;
  Command command;
  bool needs_container, needs_netns;
};
constexpr CommandName kCommands[] = {
    {"ADD", Command::kAdd, true, true},         {"CHECK", Command::kCheck, true, true},
    {"DEL", Command::kDel, true, false},        {"GC", Command::kGc, false, false},
    {"STATUS", Command::kStatus, false, false}, {"VERSION", Command::kVersion, false, false}};

std::unexpected<CniError> wrong(Code code, std::string message) {
  return std::unexpected(CniError{.code = code, .message = std::move(message)});
}

bool is_shallow(int depth, json::parse_event_t, json&) { return depth <= kNestingMax; }

const std::string* text_of(const json& object, const char* member) {
  const auto found = object.find(member);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

std::string dump(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// CNI_ARGS: "KEY=VALUE;KEY=VALUE". Keys that are not ours are another plugin's.
CniResult<Invocation> take_arguments(Invocation invocation, std::string_view text) {
  if (text.size() > kArgumentsBytesMax)
    return wrong(Code::kInvalidEnvironment, "CNI_ARGS is over 16 KiB");
  struct Wanted {
    std::string_view key;
    std::string* into;
    std::size_t bytes_max;
  };
  const Wanted wanted[] = {{"K8S_POD_NAME", &invocation.pod_name, kNameBytesMax},
                           {"K8S_POD_NAMESPACE", &invocation.pod_namespace, kNameBytesMax},
                           {"K8S_POD_UID", &invocation.pod_uid, kUidBytesMax}};
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    if (equals == pair.npos) continue;
    for (const Wanted& each : wanted) {
      if (pair.substr(0, equals) != each.key) continue;
      *each.into = pair.substr(equals + 1);
      if (!is_plain_name(*each.into, each.bytes_max))
        return wrong(Code::kInvalidEnvironment, std::string(each.key) + " in CNI_ARGS is no name");
    }
  }
  if (invocation.pod_name.empty() || invocation.pod_namespace.empty())
    return wrong(Code::kInvalidEnvironment,
                 "K8S_POD_NAME and K8S_POD_NAMESPACE are missing in CNI_ARGS: weft-cni is for the "
                 "pods of a kubelet");
  return invocation;
}

CniResult<std::vector<std::string>> take_names(const json& object, const char* member,
                                               std::size_t count_max) {
  std::vector<std::string> names;
  const auto found = object.find(member);
  if (found == object.end()) return names;
  if (!found->is_array() || found->size() > count_max)
    return wrong(Code::kInvalidConfig, std::string(member) + " is no list, or too long");
  for (const json& each : *found) {
    const auto* name = each.get_ptr<const std::string*>();
    if (name == nullptr || !is_plain_name(*name, kNameBytesMax))
      return wrong(Code::kInvalidConfig, std::string(member) + " has an entry that is no name");
    names.push_back(*name);
  }
  return names;
}

CniResult<Config> take_previous(Config config, const json& object) {
  const auto previous = object.find("prevResult");
  if (previous == object.end() || !previous->is_object())
    return wrong(Code::kInvalidConfig,
                 "prevResult is missing: weft-cni is chained after the plugin that gives a pod its "
                 "addresses");
  const auto ips = previous->find("ips");
  if (ips == previous->end() || !ips->is_array() || ips->empty() || ips->size() > kPodAddressesMax)
    return wrong(Code::kInvalidConfig, "prevResult has no addresses, or too many");
  for (const json& each : *ips) {
    const std::string* address = each.is_object() ? text_of(each, "address") : nullptr;
    const auto ip = address != nullptr
                        ? net::IpAddress::parse(address->substr(0, address->find('/')))
                        : std::nullopt;
    if (!ip) return wrong(Code::kInvalidConfig, "prevResult has an entry that is no address");
    config.addresses.push_back(ip->to_string());
  }
  json result = *previous;
  result["cniVersion"] = config.version;
  config.result = dump(result);
  return config;
}

CniResult<Config> take_attachments(Config config, const json& object) {
  const auto valid = object.find("cni.dev/valid-attachments");
  if (valid == object.end() || !valid->is_array() || valid->size() > kAttachmentsMax)
    return wrong(Code::kInvalidConfig, "cni.dev/valid-attachments is no list, or too long");
  for (const json& each : *valid) {
    const std::string* id = each.is_object() ? text_of(each, "containerID") : nullptr;
    if (id == nullptr || !is_plain_name(*id, kIdBytesMax))
      return wrong(Code::kInvalidConfig, "cni.dev/valid-attachments has an entry without an id");
    config.valid.push_back(*id);
  }
  return config;
}

}  // namespace

CniResult<Invocation> read_invocation(const Environment& environment) {
  const std::string name = environment("CNI_COMMAND");
  const auto* found = std::ranges::find(kCommands, name, &CommandName::name);
  if (found == std::end(kCommands))
    return wrong(Code::kInvalidEnvironment,
                 "CNI_COMMAND is none of ADD, CHECK, DEL, GC, STATUS, VERSION: a container runtime "
                 "starts this program");
  Invocation invocation{.command = found->command};
  if (!found->needs_container) return invocation;
  invocation.container_id = environment("CNI_CONTAINERID");
  invocation.netns = environment("CNI_NETNS");
  if (!is_plain_name(invocation.container_id, kIdBytesMax))
    return wrong(Code::kInvalidEnvironment, "CNI_CONTAINERID is missing, or no id");
  if (environment("CNI_IFNAME").empty())
    return wrong(Code::kInvalidEnvironment, "CNI_IFNAME is missing");
  if (found->needs_netns && invocation.netns.empty())
    return wrong(Code::kInvalidEnvironment, "CNI_NETNS is missing");
  if (!invocation.netns.empty() &&
      (invocation.netns.front() != '/' || invocation.netns.size() > kPathBytesMax))
    return wrong(Code::kInvalidEnvironment, "CNI_NETNS is no absolute path");
  return take_arguments(std::move(invocation), environment("CNI_ARGS"));
}

CniResult<Config> read_config(Command command, std::string_view text, std::string& version) {
  if (text.size() > kConfigBytesMax)
    return wrong(Code::kUndecodable, "the configuration is over 1 MiB");
  const json object = json::parse(text, is_shallow, false);
  if (!object.is_object()) return wrong(Code::kUndecodable, "the configuration is no JSON object");
  Config config;
  const std::string* given = text_of(object, "cniVersion");
  if (given == nullptr || std::ranges::find(kVersions, *given) == std::end(kVersions))
    return wrong(Code::kIncompatibleVersion,
                 "cniVersion is missing, or none of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0");
  version = config.version = *given;
  if (command == Command::kVersion) return config;
  const std::string* socket = text_of(object, "agentSocket");
  if (socket == nullptr || socket->empty() || socket->front() != '/' ||
      socket->size() > kSocketPathMax)
    return wrong(Code::kInvalidConfig, "agentSocket is no absolute path of at most 107 bytes");
  config.socket = *socket;
  auto excluded = take_names(object, "excludeNamespaces", kExcludedMax);
  if (!excluded) return std::unexpected(excluded.error());
  config.excluded = *std::move(excluded);
  if (command == Command::kAdd || command == Command::kCheck)
    return take_previous(std::move(config), object);
  if (command == Command::kGc) return take_attachments(std::move(config), object);
  return config;
}

std::string format_error(const CniError& error, std::string_view version) {
  json object = {
      {"cniVersion", version}, {"code", static_cast<unsigned>(error.code)}, {"msg", error.message}};
  if (!error.details.empty()) object["details"] = error.details;
  return dump(object);
}

std::string format_versions(std::string_view version) {
  return dump({{"cniVersion", version}, {"supportedVersions", kVersions}});
}

}  // namespace mesh::ebpf::cni
