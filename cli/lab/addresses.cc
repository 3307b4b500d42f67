#include "cli/lab/addresses.h"

#include <cstdio>

namespace mesh::cli::lab {
namespace {

constexpr int kPodFirst = 2;
constexpr int kPodLast = 254;
constexpr int kServicesMax = 250 * 250;

std::string hex(int number) {
  char text[16];
  std::snprintf(text, sizeof text, "%x", static_cast<unsigned>(number));
  return text;
}

}  // namespace

std::vector<std::string> node_addresses(int node) {
  return {"192.168.77." + std::to_string(node), "fd00:77::" + hex(node)};
}

std::string node_pod_gateway(int node) { return "10.244." + std::to_string(node) + ".1"; }
std::string node_pod_range(int node) { return "10.244." + std::to_string(node) + ".0/24"; }
std::string node_pod_range6(int node) { return "fd00:10:244:" + hex(node) + "::/64"; }

Outcome<std::vector<std::string>> PodAddresses::take() {
  for (int tries = kPodFirst; tries <= kPodLast; ++tries) {
    last_ = last_ >= kPodLast ? kPodFirst : last_ + 1;
    if (!used_.insert(last_).second) continue;
    return std::vector{"10.244." + std::to_string(node_) + "." + std::to_string(last_),
                       "fd00:10:244:" + hex(node_) + "::" + hex(last_)};
  }
  return problem("every pod address of node " + std::to_string(node_) + " is in use");
}

void PodAddresses::give_back(const std::vector<std::string>& addresses) {
  if (addresses.empty()) return;
  const std::size_t dot = addresses[0].rfind('.');
  if (dot != std::string::npos) used_.erase(std::atoi(addresses[0].c_str() + dot + 1));
}

Outcome<std::string> ServiceAddresses::take_v4() {
  for (int i = 0; i < kServicesMax; ++i) {
    std::string address =
        "10.96." + std::to_string(1 + i / 250) + "." + std::to_string(1 + i % 250);
    if (used_.insert(address).second) return address;
  }
  return problem("every service address is in use");
}

Outcome<std::string> ServiceAddresses::take_v6() {
  for (int i = 0x101; i < 0xffff; ++i) {
    std::string address = "fd00:10:96::" + hex(i);
    if (used_.insert(address).second) return address;
  }
  return problem("every IPv6 service address is in use");
}

}  // namespace mesh::cli::lab
