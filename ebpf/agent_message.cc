#include "ebpf/agent_message.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "ebpf/programs.h"

namespace mesh::ebpf {
namespace {

using nlohmann::json;

constexpr int kNestingMax = 8;

struct OperationName {
  std::string_view name;
  Operation operation;
  bool takes_uid;
};
constexpr OperationName kOperations[] = {
    {"add", Operation::kAdd, true},
    {"del", Operation::kDel, true},
    {"list", Operation::kList, false},
    {"connections", Operation::kConnections, true},
    {"end-connections", Operation::kEndConnections, true},
    {"status", Operation::kStatus, false},
    {"shutdown", Operation::kShutdown, false},
    {"cni-add", Operation::kCniAdd, false},
    {"cni-check", Operation::kCniCheck, false},
    {"cni-del", Operation::kCniDel, false},
    {"cni-gc", Operation::kCniGc, false},
};

// The parser calls this for each value; false leaves the value out. Deep nesting is cut before it
// costs memory.
bool is_shallow(int depth, json::parse_event_t, json&) { return depth <= kNestingMax; }

std::unexpected<std::string> wrong(std::string_view member, std::string_view what) {
  return std::unexpected("\"" + std::string(member) + "\" " + std::string(what));
}

// Reads one member as a string, bounded and plain.
std::expected<std::string, std::string> take_name(const json& object, const char* member,
                                                  std::size_t bytes_max) {
  const auto found = object.find(member);
  if (found == object.end()) return wrong(member, "is missing");
  const auto* text = found->get_ptr<const std::string*>();
  if (text == nullptr) return wrong(member, "is no string");
  if (!is_plain_name(*text, bytes_max)) return wrong(member, "is empty, too long, or not a name");
  return *text;
}

std::expected<std::vector<net::IpAddress>, std::string> take_addresses(const json& object) {
  const auto found = object.find("ips");
  if (found == object.end() || !found->is_array() || found->empty())
    return wrong("ips", "is no list with the pod's addresses");
  if (found->size() > kPodAddressesMax) return wrong("ips", "has more than 16 addresses");
  std::vector<net::IpAddress> ips;
  for (const json& each : *found) {
    const auto* text = each.get_ptr<const std::string*>();
    const auto ip = text != nullptr ? net::IpAddress::parse(*text) : std::nullopt;
    if (!ip || ip->is_loopback() || ip->is_unspecified())
      return wrong("ips", "has an entry that is no address of a pod");
    if (std::ranges::find(ips, *ip) == ips.end()) ips.push_back(*ip);
  }
  return ips;
}

struct Field {
  const char* member;
  std::string* into;
  std::size_t bytes_max;
};

std::expected<void, std::string> take_fields(const json& object, std::span<const Field> fields) {
  for (const Field& field : fields) {
    auto name = take_name(object, field.member, field.bytes_max);
    if (!name) return std::unexpected(name.error());
    *field.into = *std::move(name);
  }
  return {};
}

std::expected<PodInfo, std::string> take_addresses_and_path(const json& object, PodInfo pod) {
  auto ips = take_addresses(object);
  if (!ips) return std::unexpected(ips.error());
  pod.ips = *std::move(ips);
  if (const auto path = object.find("netnsPath"); path != object.end()) {
    const auto* text = path->get_ptr<const std::string*>();
    if (text == nullptr || text->empty() || text->size() > kPathBytesMax || text->front() != '/')
      return wrong("netnsPath", "is no absolute path");
    pod.netns_path = *text;
  }
  return pod;
}

std::expected<PodInfo, std::string> take_pod(const json& object) {
  PodInfo pod;
  const Field fields[] = {{"uid", &pod.uid, kUidBytesMax},
                          {"name", &pod.name, kNameBytesMax},
                          {"namespace", &pod.ns, kNameBytesMax},
                          {"serviceAccount", &pod.service_account, kNameBytesMax}};
  if (auto taken = take_fields(object, fields); !taken) return std::unexpected(taken.error());
  return take_addresses_and_path(object, std::move(pod));
}

// What a CNI plugin knows of a pod: no service account, and not every runtime tells the uid.
std::expected<PodInfo, std::string> take_sandbox(const json& object, Operation operation) {
  PodInfo pod;
  const Field fields[] = {{"name", &pod.name, kNameBytesMax},
                          {"namespace", &pod.ns, kNameBytesMax},
                          {"containerId", &pod.container_id, kNameBytesMax}};
  if (auto taken = take_fields(object, fields); !taken) return std::unexpected(taken.error());
  if (object.contains("uid")) {
    const Field uid[] = {{"uid", &pod.uid, kUidBytesMax}};
    if (auto taken = take_fields(object, uid); !taken) return std::unexpected(taken.error());
  }
  if (operation == Operation::kCniDel) return pod;
  return take_addresses_and_path(object, std::move(pod));
}

std::expected<std::vector<std::string>, std::string> take_container_ids(const json& object) {
  const auto found = object.find("containerIds");
  if (found == object.end() || !found->is_array() || found->size() > kContainersMax)
    return wrong("containerIds", "is no list of at most 1024");
  std::vector<std::string> ids;
  for (const json& each : *found) {
    const auto* id = each.get_ptr<const std::string*>();
    if (id == nullptr || !is_plain_name(*id, kNameBytesMax))
      return wrong("containerIds", "has an entry that is no id");
    ids.push_back(*id);
  }
  return ids;
}

bool is_known_member(const std::string& member, Operation operation) {
  if (member == "op") return true;
  switch (operation) {
    case Operation::kAdd:
      for (const char* known : {"uid", "name", "namespace", "serviceAccount", "ips", "netnsPath"})
        if (member == known) return true;
      return false;
    case Operation::kCniAdd:
    case Operation::kCniCheck:
      for (const char* known : {"uid", "name", "namespace", "containerId", "ips", "netnsPath"})
        if (member == known) return true;
      return false;
    case Operation::kCniDel:
      for (const char* known : {"uid", "name", "namespace", "containerId"})
        if (member == known) return true;
      return false;
    case Operation::kCniGc:
      return member == "containerIds";
    case Operation::kShutdown:
      return member == "detach";
    case Operation::kDel:
    case Operation::kConnections:
    case Operation::kEndConnections:
      return member == "uid";
    case Operation::kList:
    case Operation::kStatus:
      return false;
  }
  return false;
}

bool is_about_sandbox(Operation operation) {
  return operation == Operation::kCniAdd || operation == Operation::kCniCheck ||
         operation == Operation::kCniDel;
}

const OperationName* find_operation(const json& object) {
  const auto found = object.find("op");
  if (found == object.end()) return nullptr;
  const auto* text = found->get_ptr<const std::string*>();
  if (text == nullptr) return nullptr;
  for (const OperationName& each : kOperations)
    if (each.name == *text) return &each;
  return nullptr;
}

std::string_view state_name(std::uint32_t state) {
  switch (state) {
    case TCP_ESTABLISHED:
      return "established";
    case TCP_FIN_WAIT1:
      return "fin-wait-1";
    case TCP_FIN_WAIT2:
      return "fin-wait-2";
    case TCP_CLOSE_WAIT:
      return "close-wait";
    case TCP_LAST_ACK:
      return "last-ack";
    case TCP_CLOSING:
      return "closing";
    default:
      return "other";
  }
}

std::string format_endpoint(std::uint32_t family, const std::uint32_t* words, std::uint16_t port) {
  const std::size_t size = family == AF_INET ? 4 : 16;
  const auto bytes = std::as_bytes(std::span(words, 4)).first(size);
  const auto ip = net::IpAddress::from_bytes(bytes);
  return ip ? net::SocketAddress{ip->unmapped(), port}.to_string() : std::string();
}

std::string dump(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

bool is_of_cni(Operation operation) {
  return is_about_sandbox(operation) || operation == Operation::kCniGc;
}

std::expected<AgentRequest, std::string> parse_request(std::string_view text) {
  if (text.size() > kRequestBytesMax) return std::unexpected("the request is over 64 KiB");
  const json object = json::parse(text, is_shallow, false);
  if (!object.is_object()) return std::unexpected("the request is no JSON object");
  const OperationName* operation = find_operation(object);
  if (operation == nullptr)
    return wrong("op",
                 "is none of add, del, list, connections, end-connections, status, shutdown, "
                 "cni-add, cni-check, cni-del, cni-gc");
  AgentRequest request{.operation = operation->operation};
  for (const auto& [member, value] : object.items())
    if (!is_known_member(member, operation->operation))
      return wrong(member.substr(0, 64), "is not understood");
  if (request.operation == Operation::kAdd) {
    auto pod = take_pod(object);
    if (!pod) return std::unexpected(pod.error());
    request.pod = *std::move(pod);
  } else if (is_about_sandbox(request.operation)) {
    auto pod = take_sandbox(object, request.operation);
    if (!pod) return std::unexpected(pod.error());
    request.pod = *std::move(pod);
  } else if (request.operation == Operation::kCniGc) {
    auto ids = take_container_ids(object);
    if (!ids) return std::unexpected(ids.error());
    request.container_ids = *std::move(ids);
  } else if (operation->takes_uid) {
    auto uid = take_name(object, "uid", kUidBytesMax);
    if (!uid) return std::unexpected(uid.error());
    request.pod.uid = *std::move(uid);
  }
  if (const auto detach = object.find("detach"); detach != object.end()) {
    if (!detach->is_boolean()) return wrong("detach", "is neither true nor false");
    request.detach = *detach->get_ptr<const bool*>();
  }
  return request;
}

std::string format_error(std::string_view error) { return dump({{"ok", false}, {"error", error}}); }

std::string format_ok() { return dump({{"ok", true}}); }

std::string format_added(bool ztunnel_knows) {
  return dump({{"ok", true}, {"ztunnel", ztunnel_knows}});
}

std::string format_enrolled(bool enrolled) { return dump({{"ok", true}, {"enrolled", enrolled}}); }

std::string format_retry(std::string_view error) {
  return dump({{"ok", false}, {"error", error}, {"retry", true}});
}

std::string format_list(std::span<const PodStatus> pods, std::size_t ztunnels) {
  json list = json::array();
  for (const PodStatus& each : pods) {
    json ips = json::array();
    for (const net::IpAddress& ip : each.pod->ips) ips.push_back(ip.to_string());
    json counters = json::object();
    for (std::size_t i = 0; i < each.counters.size(); ++i)
      if (each.counters[i] != 0) counters[outcome_names()[i]] = each.counters[i];
    list.push_back({{"uid", each.pod->uid},
                    {"name", each.pod->name},
                    {"namespace", each.pod->ns},
                    {"serviceAccount", each.pod->service_account},
                    {"ips", std::move(ips)},
                    {"preexisting", each.older_connections},
                    {"counters", std::move(counters)}});
  }
  return dump({{"ok", true}, {"pods", std::move(list)}, {"ztunnels", ztunnels}});
}

std::string format_connections(std::span<const weft_connection> connections) {
  json list = json::array();
  for (const weft_connection& each :
       connections.first(std::min(connections.size(), kListedConnectionsMax)))
    list.push_back({{"local", format_endpoint(each.family, each.local, each.local_port)},
                    {"remote", format_endpoint(each.family, each.remote, each.remote_port)},
                    {"state", state_name(each.state)}});
  return dump({{"ok", true}, {"connections", std::move(list)}, {"total", connections.size()}});
}

std::string format_ended(unsigned connections) {
  return dump({{"ok", true}, {"ended", connections}});
}

std::string format_status(const AgentStatus& status) {
  return dump({{"ok", true},
               {"node", status.node},
               {"pods", status.pods},
               {"ztunnels", status.ztunnels},
               {"refused",
                {{"callers", status.refused_callers},
                 {"requests", status.refused_requests},
                 {"ztunnels", status.refused_ztunnels}}},
               {"attach", status.attach}});
}

}  // namespace mesh::ebpf
