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

Object read_network(Kind kind, Fields& document, Metadata metadata) {
  if (kind == Kind::kServiceEntry) return read_service_entry(document, std::move(metadata));
  return read_workload_entry(document.map("spec"), std::move(metadata));
}

}  // namespace mesh::manifest
