#include "control/explain.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "mesh/policy/authorize.h"
#include "mesh/workload/directory_builder.h"
#include "mesh/xds/decode.h"

namespace mesh::control {
namespace {

using nlohmann::json;
using workload::Directory;
using workload::Service;
using workload::TunnelProtocol;
using workload::Workload;

json problem(std::string text) { return {{"error", std::move(text)}}; }

json no(Reason reason, std::string because) {
  return {{"allowed", false},
          {"decidedBy", std::string(reason_name(reason))},
          {"reason", std::move(because)},
          {"policies", json::array()}};
}

json yes(std::string because) {
  return {{"allowed", true},
          {"decidedBy", "(no policy applies here)"},
          {"reason", std::move(because)},
          {"policies", json::array()}};
}

std::string label(const Workload& workload) { return workload.ns + "/" + workload.name; }

json policy_json(const policy::PolicyNote& note) {
  std::string why;
  for (const std::string& line : note.why) why += (why.empty() ? "" : "; ") + line;
  const std::string outcome(policy::outcome_name(note.outcome));
  json to = {{"policy", note.policy},
             {"action", note.action == policy::Action::kDeny ? "DENY" : "ALLOW"},
             {"outcome", outcome},
             {"dryRun", note.dry_run},
             {"why", why.empty() ? outcome : why}};
  if (note.rule) to["rule"] = *note.rule;
  return to;
}

// The destination's ztunnel decides, or, where there is none, nobody does.
json decide(const Directory& directory, const Workload& from, const Workload& to,
            std::uint16_t port) {
  if (to.tunnel != TunnelProtocol::kHbone) {
    return yes(label(to) + " is not in the mesh: nothing is enforced there");
  }
  policy::Connection connection;
  const bool in_mesh = from.tunnel == TunnelProtocol::kHbone;
  if (in_mesh) {
    if (const auto id = from.identity()) {
      connection.caller = std::make_shared<const policy::Caller>(*id);
    }
  }
  if (!from.addresses.empty()) connection.source_ip = from.addresses.front();
  if (!to.addresses.empty()) {
    const auto same = std::find_if(
        to.addresses.begin(), to.addresses.end(),
        [&](const net::IpAddress& ip) { return ip.is_v4() == connection.source_ip.is_v4(); });
    connection.destination_ip = same == to.addresses.end() ? to.addresses.front() : *same;
  }
  connection.destination_port = port;
  const policy::Explanation explained = policy::explain(directory.policies_for(to), connection);
  json answer = {{"allowed", explained.allowed},
                 {"decidedBy", explained.decided_by},
                 {"reason", explained.summary},
                 {"policies", json::array()}};
  if (!in_mesh) answer["path"] = "plaintext: " + label(from) + " is not in the mesh";
  if (explained.rule) answer["rule"] = *explained.rule;
  for (const policy::PolicyNote& note : explained.policies) {
    answer["policies"].push_back(policy_json(note));
  }
  return answer;
}

struct Member {
  workload::WorkloadPtr workload;
  std::uint16_t port = 0;
};

std::vector<Member> members_of(const Directory& directory, const Service& service,
                               std::uint16_t port) {
  std::vector<Member> members;
  directory.for_each_endpoint({service.key.ns, service.key.hostname},
                              [&](const workload::Endpoint& endpoint) {
                                const auto target = endpoint.membership().target_port(port);
                                if (target) members.push_back({endpoint.workload, *target});
                              });
  std::sort(members.begin(), members.end(),
            [](const Member& a, const Member& b) { return a.workload->uid < b.workload->uid; });
  return members;
}

// What several members answer together: yes only if each says yes.
json combine(const Directory& directory, const Workload& from, const std::vector<Member>& members) {
  json answer;
  json endpoints = json::array();
  for (const Member& member : members) {
    json one = decide(directory, from, *member.workload, member.port);
    endpoints.push_back({{"workload", label(*member.workload)},
                         {"port", member.port},
                         {"healthy", member.workload->health == workload::Health::kHealthy},
                         {"allowed", one["allowed"]},
                         {"decidedBy", one["decidedBy"]}});
    if (answer.is_null() || (answer["allowed"] && !one["allowed"])) answer = std::move(one);
  }
  answer["endpoints"] = std::move(endpoints);
  return answer;
}

// A waypoint stands before it: the connection goes there, and what it says of HTTP is its own.
json through_waypoint(const Directory& directory, const Workload& from,
                      const workload::GatewayAddress& gateway) {
  const auto* key = std::get_if<workload::ServiceKey>(&gateway.destination);
  const Service* service =
      key == nullptr ? nullptr : directory.find_service(key->ns, key->hostname);
  const std::string name = key == nullptr ? "(an address)" : key->to_string();
  if (service == nullptr) {
    return no(Reason::kWaypointMissing, "the waypoint " + name + " that it needs is not there");
  }
  const std::vector<Member> members = members_of(directory, *service, gateway.hbone_port);
  const bool any = std::any_of(members.begin(), members.end(), [](const Member& member) {
    return member.workload->health == workload::Health::kHealthy;
  });
  if (!any) return no(Reason::kNoEndpoint, "the waypoint " + name + " has no healthy endpoint");
  json answer = combine(directory, from, members);
  answer["path"] = "through the waypoint " + name + ", which decides what the policies say of HTTP";
  return answer;
}

bool is_waypoint_itself(const Workload& from, const workload::GatewayAddress& gateway) {
  const auto* key = std::get_if<workload::ServiceKey>(&gateway.destination);
  return key != nullptr && from.membership(*key) != nullptr;
}

json to_service(const Directory& directory, const Workload& from, const Service& service,
                std::uint16_t port) {
  const bool in_mesh = from.tunnel == TunnelProtocol::kHbone;
  if (in_mesh && service.waypoint) return through_waypoint(directory, from, *service.waypoint);
  if (service.port(port) == nullptr) {
    return no(Reason::kNoEndpoint, service.key.hostname + " has no port " + std::to_string(port));
  }
  std::vector<Member> members = members_of(directory, service, port);
  if (service.load_balancing.health != workload::LoadBalancing::HealthPolicy::kAllowAll) {
    std::erase_if(members, [](const Member& member) {
      return member.workload->health != workload::Health::kHealthy;
    });
  }
  if (members.empty()) {
    return no(Reason::kNoEndpoint, service.key.hostname + " has no healthy endpoint");
  }
  return combine(directory, from, members);
}

json to_workload(const Directory& directory, const Workload& from, const Workload& to,
                 std::uint16_t port) {
  const bool in_mesh = from.tunnel == TunnelProtocol::kHbone;
  if (in_mesh && to.waypoint && !is_waypoint_itself(from, *to.waypoint)) {
    return through_waypoint(directory, from, *to.waypoint);
  }
  return decide(directory, from, to, port);
}

// "cart", "cart.shop" and "cart.shop.svc" mean "cart.shop.svc.cluster.local", unless they are
// names.
const Service* service_named(const Directory& directory, const Settings& settings,
                             const std::string& ns, const std::string& host) {
  const std::string& domain = settings.cluster_domain;
  for (const std::string& suffix :
       {std::string(), "." + ns + ".svc." + domain, ".svc." + domain, "." + domain}) {
    const auto found = directory.services_of_hostname(host + suffix);
    if (found.empty()) continue;
    for (const workload::ServicePtr& service : found) {
      if (service->key.ns == ns) return service.get();
    }
    for (const workload::ServicePtr& service : found) {
      if (service->canonical && service->visibility == workload::Visibility::kPublic) {
        return service.get();
      }
    }
  }
  return nullptr;
}

const Workload* workload_named(const Directory& directory, std::string_view name) {
  const auto slash = name.find('/');
  if (slash == std::string_view::npos) return nullptr;
  const auto found = directory.workloads_named(name.substr(0, slash), name.substr(slash + 1));
  return found.empty() ? nullptr : found.front().get();
}

json answer_for(const Directory& directory, const Settings& settings, const Workload& from,
                const Question& question) {
  if (question.to.find('/') != std::string::npos) {
    const Workload* to = workload_named(directory, question.to);
    if (to == nullptr) return problem("there is no workload " + question.to);
    return to_workload(directory, from, *to, question.port);
  }
  if (const auto ip = net::IpAddress::parse(question.to)) {
    const workload::Found found = directory.find({from.network, *ip}, {.ns = from.ns});
    switch (found.what) {
      case workload::Found::What::kService:
        return to_service(directory, from, *found.service, question.port);
      case workload::Found::What::kWorkload:
        return to_workload(directory, from, *found.workload, question.port);
      case workload::Found::What::kRefused:
        return no(Reason::kRejectedResource, found.refused->problem);
      case workload::Found::What::kAbsent:
        break;
    }
    return yes(question.to + " is not in the mesh: passed through");
  }
  const Service* service = service_named(directory, settings, from.ns, question.to);
  if (service == nullptr) return problem("there is no service " + question.to);
  return to_service(directory, from, *service, question.port);
}

}  // namespace

workload::DirectoryPtr Explainer::directory_of(const Snapshot& snapshot) {
  const std::lock_guard lock(mutex_);
  if (directory_ != nullptr && version_ == snapshot.version) return directory_;
  workload::DirectoryBuilder builder(nullptr);
  for (const auto type : {xds::ResourceType::kAddress, xds::ResourceType::kAuthorization}) {
    std::vector<xds::RawResource> raw;
    for (const auto& [name, resource] : snapshot.of(type)) {
      raw.push_back({name, resource->version, std::string(xds::type_url(type)), resource->bytes});
    }
    const bool addresses = type == xds::ResourceType::kAddress;
    xds::Decoded decoded =
        addresses
            ? xds::decode_addresses(raw, {})
            : xds::decode_authorizations(raw, {}, {.root_namespaces = {settings_.root_namespace}});
    (addresses ? decoded.delta.addresses_complete : decoded.delta.policies_complete) = true;
    builder.apply(decoded.delta);
  }
  directory_ = std::move(builder).build();
  version_ = snapshot.version;
  return directory_;
}

json Explainer::explain(const Snapshot& snapshot, const Question& question) {
  const workload::DirectoryPtr directory = directory_of(snapshot);
  const Workload* from = workload_named(*directory, question.from);
  if (from == nullptr) return problem("there is no workload " + question.from);
  json answer = answer_for(*directory, settings_, *from, question);
  answer["version"] = snapshot.version;
  return answer;
}

}  // namespace mesh::control
