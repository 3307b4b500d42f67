#include "cli/ztunnel_config.h"

#include <nlohmann/json.hpp>

#include <cstdio>

#include "cli/http.h"
#include "cli/json.h"
#include "cli/kubernetes/cluster.h"
#include "cli/lab/network.h"
#include "cli/table.h"

namespace mesh::cli {
namespace {

using Json = nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

std::string joined(const Json& list) {
  std::string result;
  if (!list.is_array()) return result;
  for (const Json& item : list) {
    result += (result.empty() ? "" : ",") + text_of(item);
  }
  return result;
}

// "/10.96.0.1" is NETWORK/ADDRESS with no network.
std::string without_network(std::string address) {
  return address.starts_with("/") ? address.substr(1) : address;
}

void workload_row(const Json& workload, Rows& rows) {
  rows.push_back({text(workload, "namespace"), text(workload, "name"),
                  joined(member(workload, "workloadIps")), text(workload, "node"),
                  text(member(workload, "waypoint"), "destination"), text(workload, "protocol"),
                  text(workload, "status")});
}

void service_row(const Json& service, Rows& rows) {
  std::string addresses;
  if (const Json& vips = member(service, "vips"); vips.is_array()) {
    for (const Json& vip : vips) {
      if (!vip.is_string()) continue;
      addresses += (addresses.empty() ? "" : ",") + without_network(vip.get<std::string>());
    }
  }
  std::size_t healthy = 0;
  const Json& endpoints = member(service, "endpoints");
  const std::size_t all = endpoints.is_object() || endpoints.is_array() ? endpoints.size() : 0;
  if (endpoints.is_object() || endpoints.is_array()) {
    for (const Json& endpoint : endpoints) {
      const std::string status = text(endpoint, "status");
      if (status.empty() || status == "Healthy") ++healthy;
    }
  }
  rows.push_back({text(service, "namespace"), text(service, "name"), addresses,
                  text(member(service, "waypoint"), "destination"),
                  std::to_string(healthy) + "/" + std::to_string(all)});
}

void policy_row(const Json& policy, Rows& rows) {
  const Json& rules = member(policy, "rules");
  rows.push_back({text(policy, "namespace"), text(policy, "name"), text(policy, "action"),
                  text(policy, "scope"), std::to_string(rules.is_array() ? rules.size() : 0),
                  member(policy, "dryRun") == true ? "yes" : "no"});
}

void certificate_rows(const Json& certificate, Rows& rows) {
  const auto chain = [&](const char* key, const char* type) {
    const Json& list = member(certificate, key);
    if (!list.is_array()) return;
    for (const Json& one : list) {
      rows.push_back({text(certificate, "identity"), type, text(certificate, "state"),
                      text(one, "serialNumber"), text(one, "validFrom"),
                      text(one, "expirationTime")});
    }
  };
  chain("certChain", "leaf");
  chain("rootCerts", "root");
  if (member(certificate, "certChain").empty()) {
    rows.push_back({text(certificate, "identity"), "leaf", text(certificate, "state"), "", "", ""});
  }
}

void connection_rows(const Json& pod, Rows& rows) {
  const Json& info = member(pod, "info");
  const std::string name = text(info, "namespace") + "/" + text(info, "name");
  for (const char* direction : {"inbound", "outbound"}) {
    const Json& list = member(member(pod, "connections"), direction);
    if (!list.is_array()) continue;
    for (const Json& one : list) {
      rows.push_back({name, direction, text(one, "src"), text(one, "originalDst"),
                      text(one, "actualDst"), text(one, "protocol")});
    }
  }
}

const char* key_of(DumpPart part) {
  switch (part) {
    case DumpPart::kWorkload:
      return "workloads";
    case DumpPart::kService:
      return "services";
    case DumpPart::kPolicy:
      return "policies";
    case DumpPart::kCertificate:
      return "certificates";
    case DumpPart::kConnections:
      return "workloadState";
  }
  return "";
}

Outcome<Json> parsed_part(DumpPart part, const std::string& dump) {
  const Json whole = parse_json(dump);
  if (!whole.is_object()) return problem("/config_dump: not a dump");
  return member(whole, key_of(part));
}

std::vector<std::string> heading(DumpPart part) {
  switch (part) {
    case DumpPart::kWorkload:
      return {"NAMESPACE", "POD NAME", "ADDRESSES", "NODE", "WAYPOINT", "PROTOCOL", "STATUS"};
    case DumpPart::kService:
      return {"NAMESPACE", "SERVICE NAME", "SERVICE VIPS", "WAYPOINT", "ENDPOINTS"};
    case DumpPart::kPolicy:
      return {"NAMESPACE", "POLICY NAME", "ACTION", "SCOPE", "RULES", "DRY RUN"};
    case DumpPart::kCertificate:
      return {"CERTIFICATE NAME", "TYPE", "STATUS", "SERIAL NUMBER", "NOT BEFORE", "NOT AFTER"};
    case DumpPart::kConnections:
      return {"WORKLOAD", "DIRECTION", "SOURCE", "DIALLED", "DESTINATION", "PROTOCOL"};
  }
  return {};
}

Outcome<std::string> fetch_dump(const std::string& address) {
  TRY(const HttpAnswer answer, http_call({.url = "http://" + address + "/config_dump",
                                          .timeout = std::chrono::milliseconds(10000)}));
  if (answer.status != 200) return problem("ztunnel answered " + std::to_string(answer.status));
  return answer.body;
}

struct NodeDump {
  std::string node;
  Outcome<std::string> dump;
};

Outcome<std::vector<NodeDump>> dumps_of_cluster(const Session& session, const std::string& node) {
  TRY(Cluster cluster, open_cluster(session));
  const std::string& ns = session.weft_ns;
  TRY(const std::vector<Json> pods, cluster.list(kPods.path(ns), "app=ztunnel"));
  std::vector<NodeDump> dumps;
  for (const Json& pod : pods) {
    const std::string where = text(member(pod, "spec"), "nodeName");
    if (where.empty() || (!node.empty() && where != node)) continue;
    dumps.push_back({.node = where,
                     .dump = cluster.pod_page(
                         {.ns = ns, .pod = name_of(pod), .port = 15000, .path = "/config_dump"})});
  }
  if (dumps.empty()) return problem("no ztunnel in " + ns + (node.empty() ? "" : " on " + node));
  return dumps;
}

Outcome<std::vector<NodeDump>> fetch_dumps(const Session& session, const std::string& node,
                                           const std::string& address) {
  std::vector<NodeDump> dumps;
  if (!address.empty()) {
    dumps.push_back({.node = address, .dump = fetch_dump(address)});
    return dumps;
  }
  if (asks_cluster(session)) return dumps_of_cluster(session, node);
  TRY(const lab::Record record, lab::find_lab(session.lab));
  for (const lab::NodeRecord& one : record.nodes) {
    if (!node.empty() && one.name != node) continue;
    Outcome<std::string> dump = problem("not asked");
    const auto entered = lab::inside_netns(one.netns, [&]() -> Outcome<Done> {
      dump = fetch_dump("127.0.0.1:15000");
      return Done{};
    });
    if (!entered) dump = problem(entered.error());
    dumps.push_back({.node = one.name, .dump = std::move(dump)});
  }
  if (dumps.empty()) return problem("no node named " + node + " in lab " + record.name);
  return dumps;
}

}  // namespace

Outcome<Rows> dump_rows(DumpPart part, const std::string& dump) {
  TRY(const Json content, parsed_part(part, dump));
  Rows rows = {heading(part)};
  for (const Json& item : content) {  // an array, or an object's values
    switch (part) {
      case DumpPart::kWorkload:
        workload_row(item, rows);
        break;
      case DumpPart::kService:
        service_row(item, rows);
        break;
      case DumpPart::kPolicy:
        policy_row(item, rows);
        break;
      case DumpPart::kCertificate:
        certificate_rows(item, rows);
        break;
      case DumpPart::kConnections:
        connection_rows(item, rows);
        break;
    }
  }
  return rows;
}

Outcome<std::string> dump_json(DumpPart part, const std::string& dump) {
  TRY(const Json content, parsed_part(part, dump));
  return to_text(content, 2);
}

int ztunnel_config(const Session& session, DumpPart part, const std::string& node,
                   const std::string& address) {
  const auto dumps = fetch_dumps(session, node, address);
  if (!dumps) return complain(dumps.error());
  Json all = Json::object();
  std::string tables;
  int code = kOk;
  // One that does not answer hides nothing of the others.
  for (const NodeDump& one : *dumps) {
    if (!one.dump) {
      code = complain(one.node + ": " + one.dump.error());
      continue;
    }
    const auto rows = dump_rows(part, *one.dump);
    const auto json = dump_json(part, *one.dump);
    if (!rows || !json) {
      code = complain(one.node + ": " + (rows ? json.error() : rows.error()));
      continue;
    }
    all[one.node] = parse_json(*json);
    if (dumps->size() > 1) tables += (tables.empty() ? "" : "\n") + one.node + ":\n";
    tables += table(*rows);
  }
  if (!all.empty()) print(session, all, tables);
  return code;
}

}  // namespace mesh::cli
