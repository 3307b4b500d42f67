#include "mesh/workload/workload.h"

#include <algorithm>

namespace mesh::workload {

std::optional<ServiceKey> ServiceKey::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size()) return std::nullopt;
  if (text.find('/', slash + 1) != text.npos) return std::nullopt;
  return ServiceKey{.ns = std::string(text.substr(0, slash)),
                    .hostname = std::string(text.substr(slash + 1))};
}

std::string_view type_name(WorkloadType type) {
  switch (type) {
    case WorkloadType::kDeployment: return "deployment";
    case WorkloadType::kCronJob: return "cronjob";
    case WorkloadType::kPod: return "pod";
    case WorkloadType::kJob: return "job";
  }
  return "?";
}

std::optional<std::uint16_t> Membership::target_port(std::uint16_t service_port) const {
  const auto found = std::ranges::find(ports, service_port, &Port::service_port);
  if (found == ports.end() || found->target_port == 0) return std::nullopt;
  return found->target_port;
}

const Membership* Workload::membership(const ServiceKey& service) const {
  const auto found = std::ranges::find(services, service, &Membership::service);
  return found != services.end() ? &*found : nullptr;
}

bool Workload::has_address(const net::IpAddress& ip) const {
  return std::ranges::find(addresses, ip) != addresses.end();
}

const Port* Service::port(std::uint16_t service_port) const {
  const auto found = std::ranges::find(ports, service_port, &Port::service_port);
  return found != ports.end() ? &*found : nullptr;
}

}  // namespace mesh::workload
