#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

std::vector<ContainerPort> read_container_ports(Fields& container) {
  std::vector<ContainerPort> ports;
  for (Fields& port : container.maps("ports")) {
    ports.push_back({.name = port.text("name"),
                     .port = port.port("containerPort"),
                     .protocol = port.text("protocol", "TCP")});
  }
  return ports;
}

std::optional<Probe> read_probe(Fields& container, std::string_view key) {
  if (!container.present(key)) return {};
  Fields fields = container.map(key);
  Fields exec = fields.map("exec");
  Fields tcp = fields.map("tcpSocket");
  Fields http = fields.map("httpGet");
  Probe probe;
  probe.exec = exec.texts("command");
  probe.tcp = tcp.port_ref("port");
  probe.http = http.port_ref("port");
  probe.http_path = http.text("path", "/");
  return probe;
}

std::vector<Container> read_containers(Fields& spec, std::string_view key) {
  std::vector<Container> containers;
  for (Fields& fields : spec.maps(key)) {
    Container container;
    container.name = fields.text("name");
    container.image = fields.text("image");
    container.command = fields.texts("command");
    container.args = fields.texts("args");
    container.working_dir = fields.text("workingDir");
    for (Fields& variable : fields.maps("env")) {
      if (variable.present("valueFrom")) continue;
      container.env.push_back({variable.required_text("name"), variable.text("value")});
    }
    container.ports = read_container_ports(fields);
    container.readiness = read_probe(fields, "readinessProbe");
    containers.push_back(std::move(container));
  }
  return containers;
}

PodPhase read_phase(Fields& status) {
  const std::string phase = status.text("phase");
  if (phase == "Pending") return PodPhase::kPending;
  if (phase == "Running") return PodPhase::kRunning;
  if (phase == "Succeeded") return PodPhase::kSucceeded;
  if (phase == "Failed") return PodPhase::kFailed;
  if (phase == "Unknown") return PodPhase::kUnknown;
  if (!phase.empty()) status.error("phase", "is not a phase of a pod");
  return PodPhase::kUnset;
}

void read_pod_status(Fields status, Pod& pod) {
  pod.phase = read_phase(status);
  std::vector<std::string> texts;
  for (Fields& ip : status.maps("podIPs")) texts.push_back(ip.required_text("ip"));
  if (texts.empty() && status.present("podIP")) texts.push_back(status.text("podIP"));
  for (const std::string& text : texts) {
    const auto ip = net::IpAddress::parse(text);
    if (ip) {
      pod.ips.push_back(*ip);
    } else {
      status.error("podIPs", "\"" + text.substr(0, 64) + "\" is not an IP address");
    }
  }
  for (Fields& condition : status.maps("conditions")) {
    if (condition.text("type") == "Ready") pod.ready = condition.text("status") == "True";
  }
}

Pod read_pod(Fields& document, Metadata metadata) {
  Pod pod;
  pod.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  pod.node_name = spec.text("nodeName");
  pod.service_account = spec.text("serviceAccountName", spec.text("serviceAccount", "default"));
  if (pod.service_account.empty()) pod.service_account = "default";
  pod.host_network = spec.flag("hostNetwork", false);
  pod.hostname = spec.text("hostname");
  pod.subdomain = spec.text("subdomain");
  pod.containers = read_containers(spec, "containers");
  pod.init_containers = read_containers(spec, "initContainers");
  read_pod_status(document.map("status"), pod);
  return pod;
}

std::vector<IpFamily> read_families(Fields& spec) {
  std::vector<IpFamily> families;
  for (const std::string& family : spec.texts("ipFamilies")) {
    if (family == "IPv4") {
      families.push_back(IpFamily::kV4);
    } else if (family == "IPv6") {
      families.push_back(IpFamily::kV6);
    } else {
      spec.error("ipFamilies", "must be IPv4 or IPv6");
    }
  }
  return families;
}

void read_cluster_ips(Fields& spec, Service& service) {
  std::vector<std::string> texts = spec.texts("clusterIPs");
  const std::string first = spec.text("clusterIP");
  if (texts.empty() && !first.empty()) texts.push_back(first);
  for (const std::string& text : texts) {
    if (text == "None") {
      service.headless = true;
    } else if (const auto ip = net::IpAddress::parse(text)) {
      service.cluster_ips.push_back(*ip);
    } else {
      spec.error("clusterIP", "\"" + text.substr(0, 64) + "\" is neither an IP address nor None");
    }
  }
}

Service read_service(Fields& document, Metadata metadata) {
  Service service;
  service.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  service.type = spec.text("type", "ClusterIP");
  read_cluster_ips(spec, service);
  service.selector = spec.labels("selector");
  for (Fields& fields : spec.maps("ports")) {
    ServicePort port;
    port.name = fields.text("name");
    port.port = fields.port("port");
    if (!fields.present("port")) fields.error("port", "is required");
    port.target = fields.port_ref("targetPort");
    port.protocol = fields.text("protocol", "TCP");
    port.app_protocol = fields.text("appProtocol");
    service.ports.push_back(std::move(port));
  }
  service.ip_families = read_families(spec);
  service.ip_family_policy = spec.text("ipFamilyPolicy");
  service.publish_not_ready = spec.flag("publishNotReadyAddresses", false);
  service.internal_traffic_policy = spec.text("internalTrafficPolicy");
  service.traffic_distribution = spec.text("trafficDistribution");
  return service;
}

EndpointSlice read_endpoint_slice(Fields& document, Metadata metadata) {
  EndpointSlice slice;
  slice.metadata = std::move(metadata);
  slice.address_type = document.text("addressType");
  for (Fields& fields : document.maps("endpoints")) {
    Endpoint endpoint;
    endpoint.addresses = fields.texts("addresses");
    Fields conditions = fields.map("conditions");
    endpoint.ready = conditions.flag("ready", true);
    endpoint.terminating = conditions.flag("terminating", false);
    endpoint.node_name = fields.text("nodeName");
    Fields target = fields.map("targetRef");
    endpoint.target_kind = target.text("kind");
    endpoint.target_namespace = target.text("namespace");
    endpoint.target_name = target.text("name");
    slice.endpoints.push_back(std::move(endpoint));
  }
  for (Fields& fields : document.maps("ports")) {
    slice.ports.push_back({.name = fields.text("name"),
                           .port = fields.port("port"),
                           .protocol = fields.text("protocol", "TCP")});
  }
  return slice;
}

Node read_node(Fields& document, Metadata metadata) {
  Node node;
  node.metadata = std::move(metadata);
  Fields status = document.map("status");
  for (Fields& fields : status.maps("addresses")) {
    if (fields.text("type") != "InternalIP") continue;
    const auto ip = net::IpAddress::parse(fields.text("address"));
    if (ip) {
      node.internal_ips.push_back(*ip);
    } else {
      fields.error("address", "is not an IP address");
    }
  }
  return node;
}

}  // namespace

Object read_core(Kind kind, Fields& document, Metadata metadata) {
  switch (kind) {
    case Kind::kNode:
      return read_node(document, std::move(metadata));
    case Kind::kPod:
      return read_pod(document, std::move(metadata));
    case Kind::kService:
      return read_service(document, std::move(metadata));
    case Kind::kEndpointSlice:
      return read_endpoint_slice(document, std::move(metadata));
    case Kind::kServiceAccount:
      return ServiceAccount{std::move(metadata)};
    default:
      return Namespace{std::move(metadata)};
  }
}

}  // namespace mesh::manifest
