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
  return entry;
}

Gateway read_gateway(Fields& document, Metadata metadata) {
  Gateway gateway;
  gateway.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  gateway.class_name = spec.text("gatewayClassName");
  for (Fields& fields : spec.maps("listeners")) {
    Listener listener;
    listener.name = fields.text("name");
    listener.port = fields.port("port");
    listener.protocol = fields.text("protocol");
    Fields allowed = fields.map("allowedRoutes");
    Fields namespaces = allowed.map("namespaces");
    listener.routes_from = namespaces.text("from", "Same");
    listener.routes_selector = namespaces.map("selector").labels("matchLabels");
    gateway.listeners.push_back(std::move(listener));
  }
  return gateway;
}

}  // namespace

Object read_network(Kind kind, Fields& document, Metadata metadata) {
  switch (kind) {
    case Kind::kServiceEntry:
      return read_service_entry(document, std::move(metadata));
    case Kind::kWorkloadEntry:
      return read_workload_entry(document.map("spec"), std::move(metadata));
    default:
      return read_gateway(document, std::move(metadata));
  }
}

}  // namespace mesh::manifest
