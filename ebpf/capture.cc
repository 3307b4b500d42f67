#include "ebpf/capture.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "ebpf/netlink.h"

namespace mesh::ebpf {
namespace {

constexpr AttachPoint kSteer{
    .ifindex = WEFT_LOOPBACK_IFINDEX, .direction = Direction::kIngress, .program = "weft_steer"};

AttachPoint egress_of(unsigned ifindex) {
  return {.ifindex = ifindex, .direction = Direction::kEgress, .program = "weft_egress"};
}

AttachPoint inbound_of(unsigned ifindex) {
  return {.ifindex = ifindex, .direction = Direction::kIngress, .program = "weft_inbound"};
}

// A thing done in another namespace, with its result.
template <class T>
Result<T> inside(const net::NetworkNamespace& netns, const std::function<Result<T>()>& action) {
  std::optional<Result<T>> outcome;
  TRY_DO(netns.run([&] { outcome.emplace(action()); }));
  return std::move(*outcome);
}

void store(const net::IpAddress& ip, std::uint32_t* words) {
  std::memcpy(words, ip.bytes().data(), ip.bytes().size());
}

// Of the interfaces, the one that has a pod address: there, packets must carry one as their source.
Result<unsigned> primary_interface(const std::vector<net::IpAddress>& pod) {
  TRY(const std::vector<InterfaceAddress> all, list_addresses());
  for (const InterfaceAddress& each : all)
    if (each.ifindex != WEFT_LOOPBACK_IFINDEX && std::ranges::count(pod, each.ip) > 0)
      return each.ifindex;
  return failed(Reason::kUnreachable, "find the interface with the pod's address");
}

Result<weft_pod> describe(const CaptureOptions& options) {
  weft_pod pod{};
  if (options.addresses.empty()) return failed(Reason::kMalformed, "pod without an address");
  for (const net::IpAddress& ip : options.addresses) {
    std::uint32_t& count = ip.is_v4() ? pod.v4_count : pod.v6_count;
    if (count == WEFT_ADDRESSES) return failed(Reason::kTooLarge, "addresses of a pod");
    store(ip, ip.is_v4() ? &pod.v4[count] : pod.v6[count]);
    ++count;
  }
  pod.lets_go = options.lets_go ? 1 : 0;
  if (options.probe_v4) store(*options.probe_v4, &pod.probe_v4);
  if (options.probe_v6) store(*options.probe_v6, pod.probe_v6);
  TRY(pod.primary_ifindex, primary_interface(options.addresses));
  return pod;
}

Result<std::vector<Link>> ethernet_links() {
  TRY(std::vector<Link> links, list_links());
  std::erase_if(links, [](const Link& link) { return link.loopback || !link.ethernet; });
  return links;
}

}  // namespace

Result<Capture> Capture::establish(const net::NetworkNamespace& netns, CaptureOptions options,
                                   ExemptCgroups& exempt) {
  return inside<Capture>(netns, [&] { return establish_here(options, exempt); });
}

Result<Capture> Capture::establish_here(const CaptureOptions& options, ExemptCgroups& exempt) {
  TRY(const weft_pod pod, describe(options));
  Attacher attacher(options.attach);
  attacher.made_clsact() = options.made_clsact;

  // A former agent's programs: their maps are kept, so that captured connections stay captured.
  KeptMaps kept;
  TRY(std::optional<std::uint32_t> former, attacher.find(egress_of(pod.primary_ifindex)));
  // It may have attached them the other way.
  Attacher other(options.attach == AttachKind::kTcx ? AttachKind::kClsact : AttachKind::kTcx);
  other.made_clsact() = options.made_clsact;
  bool changes_kind = false;
  if (!former && best_attach_kind() == AttachKind::kTcx) {
    TRY(former, other.find(egress_of(pod.primary_ifindex)));
    changes_kind = former.has_value();
  }
  if (former) {
    TRY(kept, maps_of_program(*former));
    if (kept.exempt_cgroups) TRY_DO(exempt.add_all_of(kept.exempt_cgroups.get()));
  }
  TRY(Programs programs, Programs::load(pod, exempt, kept));
  Capture capture(std::move(programs), pod, std::move(attacher), options.saved_settings);

  Result<Done> outcome = install_routing(capture.saved_settings_);
  // What has no mark when the programs begin to let go is ztunnel's; what comes after is not.
  if (outcome && options.lets_go) outcome = capture.programs_.mark_older();
  if (outcome) {
    const auto attached = capture.attach_all();
    if (!attached) outcome = std::unexpected(attached.error());
  }
  if (outcome && !former && options.keep_older_connections)
    outcome = capture.programs_.mark_older();
  if (outcome && changes_kind) outcome = detach_all(other);
  if (outcome) return capture;
  // What a former agent had in force stays so.
  if (!former) {
    static_cast<void>(detach_all(capture.attacher_));
    static_cast<void>(remove_routing(capture.saved_settings_));
  }
  return std::unexpected(outcome.error());
}

Result<Done> Capture::attach(const AttachPoint& point) {
  const int program = point.direction == Direction::kEgress    ? programs_.egress()
                      : point.ifindex == WEFT_LOOPBACK_IFINDEX ? programs_.steer()
                                                               : programs_.inbound();
  return attacher_.attach(point, program);
}

Result<unsigned> Capture::attach_all() {
  TRY(const std::vector<Link> links, ethernet_links());
  // Steering first: what egress redirects finds its way from the first packet on.
  TRY_DO(attach(kSteer));
  unsigned places = 1;
  for (const Link& link : links) {
    TRY_DO(attach(egress_of(link.ifindex)));
    TRY_DO(attach(inbound_of(link.ifindex)));
    places += 2;
  }
  return places;
}

Result<Done> Capture::detach_all(Attacher& attacher) {
  TRY(const std::vector<Link> links, ethernet_links());
  Result<Done> outcome = Done{};
  const auto detach = [&](const AttachPoint& point) {
    if (const auto done = attacher.detach(point); !done) outcome = done;
  };
  for (const Link& link : links) {
    detach(inbound_of(link.ifindex));
    detach(egress_of(link.ifindex));
  }
  detach(kSteer);
  return outcome;
}

// Does the connection stay in the pod? Such a one is never captured, and nobody's concern.
bool Capture::is_local(const weft_connection& connection) const {
  const auto* bytes = reinterpret_cast<const std::byte*>(connection.remote);
  const auto ip = net::IpAddress::from_bytes({bytes, connection.family == AF_INET ? 4u : 16u});
  if (!ip) return false;
  const net::IpAddress remote = ip->unmapped();
  if (remote.is_loopback()) return true;
  std::uint32_t words[4]{};
  store(remote, words);
  if (remote.is_v4()) return std::ranges::count(std::span(pod_.v4, pod_.v4_count), words[0]) > 0;
  return std::ranges::any_of(std::span(pod_.v6, pod_.v6_count),
                             [&](const auto& own) { return std::ranges::equal(own, words); });
}

Result<std::vector<weft_connection>> Capture::older_here() {
  TRY(std::vector<weft_connection> connections, programs_.list_sockets());
  std::erase_if(connections, [this](const weft_connection& each) {
    return each.mark != WEFT_SOCKET_OLDER || is_local(each);
  });
  return connections;
}

// Those that the pod dialled, and those that ztunnel dialled for a client.
Result<std::vector<weft_connection>> Capture::captured_here() {
  TRY(std::vector<weft_connection> connections, programs_.list_sockets());
  std::erase_if(connections, [this](const weft_connection& each) {
    const bool unmarked = each.mark == WEFT_SOCKET_UNMARKED && pod_.lets_go == 0;
    const bool through_ztunnel =
        unmarked || each.mark == WEFT_SOCKET_CAPTURED || each.mark == WEFT_SOCKET_RELAYED;
    return !through_ztunnel || is_local(each);
  });
  return connections;
}

Result<Done> Capture::end_captured() {
  TRY(const std::vector<weft_connection> connections, captured_here());
  for (const weft_connection& each : connections) TRY_DO(destroy_socket(each));
  return Done{};
}

Result<unsigned> Capture::captured(const net::NetworkNamespace& netns) {
  return inside<unsigned>(netns, [&]() -> Result<unsigned> {
    TRY(const std::vector<weft_connection> connections, captured_here());
    return static_cast<unsigned>(connections.size());
  });
}

Result<std::vector<weft_connection>> Capture::older(const net::NetworkNamespace& netns) {
  return inside<std::vector<weft_connection>>(netns, [&] { return older_here(); });
}

Result<unsigned> Capture::end_older(const net::NetworkNamespace& netns) {
  return inside<unsigned>(netns, [&]() -> Result<unsigned> {
    TRY(const std::vector<weft_connection> connections, older_here());
    for (const weft_connection& each : connections) TRY_DO(destroy_socket(each));
    return static_cast<unsigned>(connections.size());
  });
}

Result<unsigned> Capture::mend(const net::NetworkNamespace& netns) {
  return inside<unsigned>(netns, [&]() -> Result<unsigned> {
    TRY(const std::vector<Link> links, ethernet_links());
    std::vector<AttachPoint> points{kSteer};
    for (const Link& link : links) {
      points.push_back(egress_of(link.ifindex));
      points.push_back(inbound_of(link.ifindex));
    }
    unsigned mended = 0;
    for (const AttachPoint& point : points) {
      TRY(const std::optional<std::uint32_t> attached, attacher_.find(point));
      if (attached) continue;
      TRY_DO(attach(point));
      ++mended;
    }
    return mended;
  });
}

Result<Done> Capture::mend_routing(const net::NetworkNamespace& netns) {
  return inside<Done>(netns, [&] { return install_routing(saved_settings_); });
}

Result<Done> Capture::remove(const net::NetworkNamespace& netns) {
  return inside<Done>(netns, [&]() -> Result<Done> {
    // Left alone, a captured connection's next bytes would leave as plaintext.
    const auto ended = end_captured();
    Result<Done> outcome = detach_all(attacher_);
    if (const auto routing = remove_routing(saved_settings_); !routing) outcome = routing;
    return ended ? outcome : ended;
  });
}

}  // namespace mesh::ebpf
