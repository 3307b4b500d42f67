#include "control/translate_workloads.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "control/translate_policies.h"
#include "control/translate_services.h"

namespace mesh::control {
namespace {

using manifest::Pod;
using manifest::Service;
using manifest::ServiceEntry;
using manifest::WorkloadEntry;
namespace wire = istio::workload;

struct Controller {
  wire::WorkloadType type = wire::POD;
  std::string name;
};

// "report-29384000" of a Job made by a CronJob is "report": 8 to 10 digits, the scheduled minute.
std::optional<std::string> without_schedule(const std::string& job) {
  const auto dash = job.rfind('-');
  if (dash == std::string::npos || dash == 0) return {};
  const std::string_view digits = std::string_view(job).substr(dash + 1);
  if (digits.size() < 8 || digits.size() > 10) return {};
  if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return {};
  }
  return job.substr(0, dash);
}

// What an operator thinks of as the workload that the pod is one of.
Controller controller_of(const Pod& pod) {
  const auto& owners = pod.metadata.owners;
  const auto owner = std::find_if(owners.begin(), owners.end(),
                                  [](const manifest::Owner& o) { return o.controller; });
  if (owner == owners.end()) return {wire::POD, pod.metadata.name};
  if (owner->kind == "ReplicaSet") {
    const std::string suffix = "-" + std::string(pod.metadata.label("pod-template-hash"));
    if (suffix.size() > 1 && owner->name.ends_with(suffix)) {
      return {wire::DEPLOYMENT, owner->name.substr(0, owner->name.size() - suffix.size())};
    }
  } else if (owner->kind == "Job") {
    if (auto cron_job = without_schedule(owner->name)) return {wire::CRONJOB, *cron_job};
    return {wire::JOB, owner->name};
  }
  return {wire::POD, owner->name};
}

std::string first_of(const manifest::Labels& labels, std::initializer_list<std::string_view> keys,
                     std::string fallback) {
  for (const std::string_view key : keys) {
    const auto label = labels.find(key);
    if (label != labels.end() && !label->second.empty()) return label->second;
  }
  return fallback;
}

}  // namespace

// The work on one object.
struct WorkloadTranslator::Parts {
  const World* world_;
  const Settings* settings_;
  const WorldIndex* index_;
  const PolicySelection* selection_;
  Addresses* into_;

  Parts(const WorkloadTranslator& translator, Addresses& into)
      : world_(translator.world_),
        settings_(translator.settings_),
        index_(translator.index_),
        selection_(translator.selection_),
        into_(&into) {}

  wire::Workload& add(const std::string& uid, const std::string& ns, const std::string& name) {
    wire::Workload& to = *(*into_)[uid].mutable_workload();
    to.set_uid(uid);
    to.set_name(name);
    to.set_namespace_(ns);
    to.set_cluster_id(settings_->cluster_id);
    if (settings_->trust_domain != "cluster.local") to.set_trust_domain(settings_->trust_domain);
    return to;
  }

  static void describe(wire::Workload& to, const Controller& controller,
                       const manifest::Labels& labels) {
    to.set_workload_type(controller.type);
    to.set_workload_name(controller.name);
    to.set_canonical_name(
        first_of(labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"},
                 controller.name));
    to.set_canonical_revision(first_of(
        labels, {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"},
        "latest"));
  }

  void set_policies(wire::Workload& to, const manifest::Labels& labels) const {
    std::vector<std::string> services;
    for (const auto& [name, ports] : to.services()) services.push_back(name);
    for (std::string& policy : selection_->of(to.namespace_(), labels, services)) {
      to.add_authorization_policies(std::move(policy));
    }
  }

  static bool wants_native_tunnel(const manifest::Metadata& metadata) {
    return metadata.label("networking.istio.io/tunnel") == "http";
  }

  void translate_pod(const Pod& pod) {
    if (!is_running(pod)) return;
    const manifest::Metadata& metadata = pod.metadata;
    wire::Workload& to =
        add(pod_uid(*settings_, metadata.ns, metadata.name), metadata.ns, metadata.name);
    for (const net::IpAddress& ip : pod.ips) to.add_addresses(address_bytes(ip));
    to.set_service_account(pod.service_account);
    to.set_node(pod.node_name);
    describe(to, controller_of(pod), metadata.labels);
    to.set_native_tunnel(wants_native_tunnel(metadata));
    if (to.native_tunnel() || is_enrolled(*world_, pod)) to.set_tunnel_protocol(wire::HBONE);
    if (pod.host_network) to.set_network_mode(wire::HOST_NETWORK);
    if (!pod.ready.value_or(false) || metadata.deleting) to.set_status(wire::UNHEALTHY);
    set_locality(pod, to);
    add_pod_services(pod, to);
    add_slice_services(pod, to);
    set_application_tunnel(pod, to);
    set_waypoint(waypoint_of(*world_, *settings_, metadata, WaypointTraffic::kWorkload), to);
    set_policies(to, metadata.labels);
  }

  void set_locality(const Pod& pod, wire::Workload& to) const {
    const auto* node = world_->find<manifest::Node>("", pod.node_name);
    if (node == nullptr) return;
    const std::string region =
        first_of(node->metadata.labels,
                 {"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"}, "");
    const std::string zone =
        first_of(node->metadata.labels,
                 {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"}, "");
    const std::string subzone(node->metadata.label("topology.istio.io/subzone"));
    if (region.empty() && zone.empty() && subzone.empty()) return;
    to.mutable_locality()->set_region(region);
    to.mutable_locality()->set_zone(zone);
    to.mutable_locality()->set_subzone(subzone);
  }

  // The number of a target port in this pod; 0 when it has no port of that name.
  static std::uint32_t resolve(const manifest::ServicePort& port, const Pod& pod) {
    if (port.target.empty()) return port.port;
    if (port.target.number != 0) return port.target.number;
    for (const auto* containers : {&pod.containers, &pod.init_containers}) {
      for (const manifest::Container& container : *containers) {
        for (const manifest::ContainerPort& own : container.ports) {
          if (own.name == port.target.name && is_tcp(own.protocol)) return own.port;
        }
      }
    }
    return 0;
  }

  void add_pod_services(const Pod& pod, wire::Workload& to) {
    for (const auto& [name, service] : index_->selecting(pod.metadata.ns)) {
      if (!selects(service->selector, pod.metadata.labels)) continue;
      wire::PortList& ports =
          (*to.mutable_services())[pod.metadata.ns + "/" + service_host(*service, *settings_)];
      for (const manifest::ServicePort& port : service->ports) {
        if (is_tcp(port.protocol)) add_port(ports, port.port, resolve(port, pod));
      }
    }
  }

  static void add_port(wire::PortList& ports, std::uint32_t service_port, std::uint32_t target) {
    if (target == 0) return;
    wire::Port* added = ports.add_ports();
    added->set_service_port(service_port);
    added->set_target_port(target);
  }

  // "PROXY/15088" on a waypoint's Gateway: where its pods want the tunnel's inside.
  void set_application_tunnel(const Pod& pod, wire::Workload& to) const {
    const manifest::Gateway* gateway = own_gateway(*world_, pod.metadata);
    if (gateway == nullptr) return;
    const std::string_view binding =
        gateway->metadata.annotation("ambient.istio.io/waypoint-inbound-binding");
    const auto slash = binding.find('/');
    if (binding.substr(0, slash) != "PROXY") return;
    to.mutable_application_tunnel()->set_protocol(wire::ApplicationTunnel::PROXY);
    const auto port =
        slash == std::string_view::npos ? std::nullopt : net::parse_port(binding.substr(slash + 1));
    if (port) to.mutable_application_tunnel()->set_port(*port);
  }

  // ---- workloads outside Kubernetes -------------------------------------------------------------

  void set_place(const WorkloadEntry& entry, const std::string& address, wire::Workload& to) const {
    if (const auto ip = net::IpAddress::parse(address)) {
      to.add_addresses(address_bytes(*ip));
    } else {
      to.set_hostname(address);
    }
    to.set_network(entry.network);
    to.set_service_account(entry.service_account);
    if (entry.weight != 0) to.mutable_capacity()->set_value(entry.weight);
    if (entry.locality.empty()) return;
    std::string parts[3];
    std::size_t part = 0;
    for (const char c : entry.locality) {
      if (c == '/' && part < 2)
        ++part;
      else
        parts[part] += c;
    }
    to.mutable_locality()->set_region(parts[0]);
    to.mutable_locality()->set_zone(parts[1]);
    to.mutable_locality()->set_subzone(parts[2]);
  }

  // The port of `entry` for a port of a service: by name, else the target, else the same number.
  static std::uint32_t entry_port(const WorkloadEntry& entry, const std::string& name,
                                  std::uint32_t fallback) {
    const auto own = entry.ports.find(name);
    return own == entry.ports.end() ? fallback : own->second;
  }

  // Refused by who dials it, and if somebody dials it all the same, not without a tunnel.
  static void close(wire::Workload& to) {
    to.set_tunnel_protocol(wire::HBONE);
    set_waypoint(
        WaypointAddress{to.namespace_(), to.name() + "." + to.namespace_() + ".refused.invalid"},
        to);
  }

  void translate_entry(const WorkloadEntry& entry) {
    const manifest::Metadata& metadata = entry.metadata;
    manifest::Labels labels = metadata.labels;
    for (const auto& [key, value] : entry.labels) labels[key] = value;
    wire::Workload& to =
        add(entry_uid(*settings_, metadata.ns, metadata.name), metadata.ns, metadata.name);
    set_place(entry, entry.address, to);
    if (entry.closed) return close(to);
    describe(to, {wire::POD, metadata.name}, labels);
    to.set_native_tunnel(wants_native_tunnel(metadata));
    if (to.native_tunnel() || metadata.annotation("ambient.istio.io/redirection") == "enabled") {
      to.set_tunnel_protocol(wire::HBONE);
    }
    for (const auto& [name, service] : index_->selecting(metadata.ns)) {
      if (!selects(service->selector, labels)) continue;
      wire::PortList& ports =
          (*to.mutable_services())[metadata.ns + "/" + service_host(*service, *settings_)];
      for (const manifest::ServicePort& port : service->ports) {
        if (!is_tcp(port.protocol)) continue;
        const std::uint32_t target = port.target.empty() ? port.port : port.target.number;
        add_port(ports, port.port, entry_port(entry, port.name, target));
      }
    }
    for (const auto& [name, service] : index_->entries(metadata.ns)) {
      const bool selected =
          service->workload_selector && selects(*service->workload_selector, labels);
      if (selected) add_entry_services(*service, entry, to);
    }
    set_waypoint(waypoint_of(*world_, *settings_, metadata, WaypointTraffic::kWorkload), to);
    set_policies(to, labels);
  }

  static void add_entry_services(const ServiceEntry& service, const WorkloadEntry& entry,
                                 wire::Workload& to) {
    for (const std::string& host : service.hosts) {
      wire::PortList& ports = (*to.mutable_services())[service.metadata.ns + "/" + host];
      for (const manifest::ServiceEntryPort& port : service.ports) {
        if (!is_tcp(port.protocol)) continue;
        const std::uint32_t target = port.target_port == 0 ? port.number : port.target_port;
        add_port(ports, port.number, entry_port(entry, port.name, target));
      }
    }
  }

  void translate_inline(const ServiceEntry& service) {
    if (service.closed) return;
    std::vector<WorkloadEntry> endpoints = service.endpoints;
    const bool by_name = service.resolution.starts_with("DNS");
    if (endpoints.empty() && by_name && !service.workload_selector) {
      for (const std::string& host : service.hosts) endpoints.emplace_back().address = host;
    }
    for (const WorkloadEntry& endpoint : endpoints) {
      wire::Workload& to =
          add(settings_->cluster_id + "/networking.istio.io/ServiceEntry/" + service.metadata.ns +
                  "/" + service.metadata.name + "/" + endpoint.address,
              service.metadata.ns, service.metadata.name);
      set_place(endpoint, endpoint.address, to);
      describe(to, {wire::POD, service.metadata.name}, {});
      add_entry_services(service, endpoint, to);
      set_policies(to, endpoint.labels);
    }
  }

  // ---- hand-written EndpointSlices --------------------------------------------------------------

  // The Service that a hand-written slice is of.
  const Service* service_of(const manifest::EndpointSlice& slice) const {
    const auto* service = world_->find<Service>(slice.metadata.ns,
                                                slice.metadata.label("kubernetes.io/service-name"));
    return service == nullptr || service->type == "ExternalName" ? nullptr : service;
  }

  void back(const Service& service, const manifest::EndpointSlice& slice,
            wire::Workload& to) const {
    wire::PortList& ports =
        (*to.mutable_services())[slice.metadata.ns + "/" + service_host(service, *settings_)];
    if (ports.ports_size() == 0) add_slice_ports(service, slice, ports);
  }

  // An address that is a pod's is that pod, tunnel and policies included: a second workload beside
  // it would be a way around them.
  void add_slice_services(const Pod& pod, wire::Workload& to) const {
    if (pod.host_network) return;
    WorldIndex::ByKey<manifest::EndpointSlice> slices;
    for (const net::IpAddress& ip : pod.ips) {
      const auto& there = index_->slices_at(ip);
      if (!there.empty() && index_->pod_at(ip) == &pod) slices.insert(there.begin(), there.end());
    }
    for (const auto& [name, slice] : slices) {
      if (const Service* service = service_of(*slice)) back(*service, *slice, to);
    }
  }

  void translate_slice(const manifest::EndpointSlice& slice) {
    const Service* service = service_of(slice);
    if (service == nullptr) return;
    for (const manifest::Endpoint& endpoint : slice.endpoints) {
      // What targets a pod is known from the pod itself.
      if (!endpoint.target_kind.empty() || endpoint.addresses.empty()) continue;
      const auto ip = net::IpAddress::parse(endpoint.addresses.front());
      if (!ip || index_->pod_at(*ip) != nullptr) continue;  // FQDN slices; add_slice_services()
      back(*service, slice, add_endpoint(slice.metadata, endpoint, *ip));
    }
  }

  wire::Workload& add_endpoint(const manifest::Metadata& slice, const manifest::Endpoint& endpoint,
                               const net::IpAddress& ip) {
    wire::Workload& to = add(settings_->cluster_id + "/discovery.k8s.io/EndpointSlice/" + slice.ns +
                                 "/" + slice.name + "/" + ip.to_string(),
                             slice.ns, slice.name);
    if (to.addresses_size() == 0) to.add_addresses(address_bytes(ip));
    to.set_network_mode(wire::HOST_NETWORK);
    if (!endpoint.ready || endpoint.terminating) to.set_status(wire::UNHEALTHY);
    return to;
  }

  static void add_slice_ports(const Service& service, const manifest::EndpointSlice& slice,
                              wire::PortList& into) {
    for (const manifest::ServicePort& port : service.ports) {
      if (!is_tcp(port.protocol)) continue;
      for (const manifest::EndpointPort& own : slice.ports) {
        if (own.name == port.name) add_port(into, port.port, own.port);
      }
    }
  }
};

void WorkloadTranslator::add_pod(const Pod& pod, Addresses& into) const {
  Parts(*this, into).translate_pod(pod);
}
void WorkloadTranslator::add_entry(const WorkloadEntry& entry, Addresses& into) const {
  Parts(*this, into).translate_entry(entry);
}
void WorkloadTranslator::add_endpoints(const ServiceEntry& service, Addresses& into) const {
  Parts(*this, into).translate_inline(service);
}
void WorkloadTranslator::add_slice(const manifest::EndpointSlice& slice, Addresses& into) const {
  Parts(*this, into).translate_slice(slice);
}

std::string pod_uid(const Settings& settings, const std::string& ns, const std::string& name) {
  return settings.cluster_id + "//Pod/" + ns + "/" + name;
}
std::string entry_uid(const Settings& settings, const std::string& ns, const std::string& name) {
  return settings.cluster_id + "/networking.istio.io/WorkloadEntry/" + ns + "/" + name;
}

Addresses translate_workloads(const World& world, const Settings& settings) {
  WorldIndex index;
  for (const auto& [key, object] : world.objects()) index.change(nullptr, object.get());
  const PolicySelection selection(world, settings);
  const WorkloadTranslator translator(world, settings, index, selection);
  Addresses addresses;
  translate_services(world, settings, index, addresses);
  for (const Pod* pod : world.all<Pod>()) translator.add_pod(*pod, addresses);
  for (const auto* entry : world.all<WorkloadEntry>()) translator.add_entry(*entry, addresses);
  for (const auto* entry : world.all<ServiceEntry>()) translator.add_endpoints(*entry, addresses);
  for (const auto* slice : world.all<manifest::EndpointSlice>()) {
    translator.add_slice(*slice, addresses);
  }
  return addresses;
}

}  // namespace mesh::control
