#include <algorithm>
#include <array>

#include "cli/analyze/finding.h"

namespace mesh::cli {
namespace {

using manifest::Pod;
using manifest::Service;

constexpr std::array<std::string_view, 11> kProtocols = {
    "http", "http2", "https", "grpc", "grpc-web", "tcp", "tls", "udp", "mongo", "mysql", "redis"};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// How many letters must be added, dropped or replaced; 9 when the words are long.
std::size_t distance(std::string_view a, std::string_view b) {
  if (a.size() > 16 || b.size() > 16) return 9;
  std::array<std::size_t, 18> row{};
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool is_known(const std::string& word) {
  return std::ranges::find(kProtocols, word) != kProtocols.end();
}

// "http" of "http-web"; two words for grpc-web.
std::string protocol_word(const std::string& name) {
  const std::string text = lower(name);
  if (text == "grpc-web" || text.starts_with("grpc-web-")) return "grpc-web";
  return text.substr(0, text.find('-'));
}

void check_ports(const Service& service, const Place& place, bool through_waypoint,
                 const std::string& name, Findings& found) {
  for (const manifest::ServicePort& port : service.ports) {
    if (!port.app_protocol.empty()) continue;
    const std::string where = "port " + std::to_string(port.port) + " \"" + port.name + "\"";
    const std::string word = protocol_word(port.name);
    Finding finding{.weight = Weight::kWarning,
                    .code = "WEFT006",
                    .object = name,
                    .place = place,
                    .message = {},
                    .fix = "name it PROTOCOL or PROTOCOL-SOMETHING, or set appProtocol"};
    if (is_known(word)) {
      const bool udp = word == "udp";
      if (udp == (port.protocol == "UDP")) continue;
      finding.weight = Weight::kError;
      finding.message = where + " is " + port.protocol + ", and its name says " + word;
    } else {
      const auto meant = std::ranges::find_if(kProtocols, [&](std::string_view known) {
        return word.size() > 2 && distance(word, known) == 1;
      });
      if (meant != kProtocols.end()) {
        finding.message = where + " looks like a slip for \"" + std::string(*meant) + "\"";
      } else if (through_waypoint && port.protocol == "TCP") {
        finding.message = where + " does not say its protocol: the waypoint takes it for TCP";
      } else {
        continue;
      }
    }
    found.push_back(std::move(finding));
  }
}

bool has_slice_endpoint(const Inventory& all, const Service& service) {
  return std::ranges::any_of(all.all<manifest::EndpointSlice>(), [&](const auto& slice) {
    return slice->metadata.ns == service.metadata.ns &&
           slice->metadata.label("kubernetes.io/service-name") == service.metadata.name &&
           std::ranges::any_of(slice->endpoints,
                               [](const manifest::Endpoint& one) { return one.ready; });
  });
}

void check_endpoints(const Inventory& all, const Service& service, const Place& place,
                     const std::string& name, Findings& found) {
  if (service.type == "ExternalName" || !all.knows_pods()) return;
  Finding finding{.weight = Weight::kWarning,
                  .code = "WEFT011",
                  .object = name,
                  .place = place,
                  .message = {},
                  .fix = {}};
  if (service.selector.empty()) {
    if (has_slice_endpoint(all, service)) return;
    finding.message = "it has no selector, and no EndpointSlice with a ready endpoint";
    finding.fix = "give it a selector, or an EndpointSlice labelled kubernetes.io/service-name=" +
                  service.metadata.name;
    found.push_back(std::move(finding));
    return;
  }
  std::size_t selected = 0;
  std::size_t ready = 0;
  for (const auto& pod : all.all<Pod>()) {
    if (pod->metadata.ns != service.metadata.ns) continue;
    if (!selects(service.selector, pod->metadata.labels)) continue;
    ++selected;
    if (pod->ready.value_or(!pod.place->file.empty())) ++ready;
  }
  if (selected == 0) {
    finding.code = "WEFT007";
    finding.message = "its selector matches no pod of namespace " + service.metadata.ns;
    finding.fix = "compare spec.selector with the pods' labels";
  } else if (ready == 0 && !service.publish_not_ready) {
    finding.message = "none of its " + std::to_string(selected) + " pods is ready";
    finding.fix = "weft describe service " + service.metadata.name + " -n " + service.metadata.ns;
  } else {
    return;
  }
  found.push_back(std::move(finding));
}

void check_host_network(const Inventory& all, const Pod& pod, const Place& place, Findings& found) {
  if (!pod.host_network) return;
  const bool asked = mesh_label(pod.metadata, "dataplane-mode") == "ambient";
  if (!asked && enrolment_of(all, pod).by != "namespace") return;
  found.push_back({.weight = asked ? Weight::kError : Weight::kInfo,
                   .code = "WEFT012",
                   .object = "Pod " + pod.metadata.ns + "/" + pod.metadata.name,
                   .place = place,
                   .message = "it is labelled for the mesh and runs in its node's network: its "
                              "traffic stays as it is",
                   .fix = "take hostNetwork away, or label it istio.io/dataplane-mode=none"});
}

}  // namespace

void find_service_faults(const Inventory& all, Findings& found) {
  for (const auto& service : all.all<Service>()) {
    const std::string name = "Service " + service->metadata.ns + "/" + service->metadata.name;
    check_ports(*service.object, *service.place,
                waypoint_choice(all, service->metadata).has_value(), name, found);
    check_endpoints(all, *service.object, *service.place, name, found);
  }
  for (const auto& pod : all.all<Pod>()) {
    check_host_network(all, *pod.object, *pod.place, found);
  }
}

}  // namespace mesh::cli
