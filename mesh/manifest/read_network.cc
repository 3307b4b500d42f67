#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

WorkloadEntry read_workload_entry(Fields fields, Metadata metadata) {
  WorkloadEntry entry;
  entry.metadata = std::move(metadata);
  entry.address = fields.text("address");
  entry.labels = fields.labels("labels");
  entry.network = fields.text("network");
  entry.locality = fields.text("locality");
  entry.weight = fields.number("weight", 1u << 30);
  entry.service_account = fields.text("serviceAccount");
  Fields ports = fields.map("ports");
  if (ports.value() != nullptr) {
    for (const std::string& name : ports.value()->keys) entry.ports[name] = ports.port(name);
  }
  return entry;
}

ServiceEntry read_service_entry(Fields& document, Metadata metadata) {
  ServiceEntry entry;
  entry.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  entry.hosts = spec.texts("hosts");
  if (entry.hosts.empty()) spec.error("hosts", "is required");
  for (std::size_t i = 0; i < entry.hosts.size(); ++i) {
    if (is_host(entry.hosts[i])) continue;
    spec.error("hosts", i, "\"" + entry.hosts[i].substr(0, 64) + "\" is not a host name");
  }
  for (const std::string& text : spec.texts("addresses")) {
    const auto block = net::Cidr::parse(text);
    if (block) {
      entry.addresses.push_back(*block);
    } else {
      spec.error("addresses", "\"" + text.substr(0, 64) + "\" is not an address block");
    }
  }
  for (Fields& fields : spec.maps("ports")) {
    entry.ports.push_back({.number = fields.port("number"),
                           .name = fields.text("name"),
                           .protocol = fields.text("protocol"),
                           .target_port = fields.port("targetPort")});
    if (!fields.present("number")) fields.error("number", "is required");
  }
  entry.location = spec.text("location", "MESH_EXTERNAL");
  entry.resolution = spec.text("resolution", "NONE");
  for (Fields& fields : spec.maps("endpoints")) {
    entry.endpoints.push_back(read_workload_entry(fields, {}));
  }
  if (spec.present("workloadSelector")) {
    entry.workload_selector = spec.map("workloadSelector").labels("labels");
  }
  entry.subject_alt_names = spec.texts("subjectAltNames");
  entry.export_to = spec.texts("exportTo");
  // Nobody wrote that by hand: what cannot be read of it is not there, and is allocated again.
  for (Fields& fields : document.map("status").maps("addresses")) {
    const auto address = net::IpAddress::parse(fields.text("value"));
    std::string host = fields.text("host");
    if (address && !host.empty()) entry.allocated.push_back({std::move(host), *address});
  }
  return entry;
}

}  // namespace

bool is_host(std::string_view text) {
  constexpr std::size_t kNameMax = 253, kLabelMax = 63;
  if (text.starts_with("*.")) text.remove_prefix(2);
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > kNameMax) return false;
  std::size_t label = 0;
  for (const char c : text) {
    const bool dot = c == '.';
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!dot && !plain && c != '-' && c != '_') return false;
    if ((dot && label == 0) || label > kLabelMax) return false;
    label = dot ? 0 : label + 1;
  }
  return label > 0 && label <= kLabelMax;
}

Object read_network(Kind kind, Fields& document, Metadata metadata) {
  if (kind == Kind::kServiceEntry) return read_service_entry(document, std::move(metadata));
  return read_workload_entry(document.map("spec"), std::move(metadata));
}

}  // namespace mesh::manifest
