#include "ebpf/netlink.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

#include "ebpf/unique_fd.h"

namespace mesh::ebpf {
namespace {

constexpr std::size_t kAnswerBytes = 64 * 1024;  // the kernel's dumps come in 32 KiB at most

std::uint16_t change_flags(Change change) {
  return change == Change::kAdd ? NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
                                : NLM_F_REQUEST | NLM_F_ACK;
}

// What is already as asked for is no error.
Result<Done> settle(Change change, Result<Done> result) {
  if (result) return result;
  const int error = result.error().os_errno;
  if (change == Change::kAdd && error == EEXIST) return Done{};
  if (change == Change::kRemove && (error == ENOENT || error == ESRCH)) return Done{};
  return result;
}

}  // namespace

Result<Done> netlink_request(int protocol, NetlinkMessage& request,
                             const OnNetlinkMessage& on_message) {
  const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!socket) return failed_with_errno(errno, "netlink socket");
  const auto bytes = request.bytes();
  if (::send(socket.get(), bytes.data(), bytes.size(), 0) < 0)
    return failed_with_errno(errno, "netlink send");
  std::vector<std::byte> answer(kAnswerBytes);
  for (;;) {
    const ssize_t received = ::recv(socket.get(), answer.data(), answer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return failed_with_errno(errno, "netlink receive");
    TRY(const bool complete,
        read_answer(std::span(answer).first(static_cast<std::size_t>(received)), on_message));
    if (complete) return Done{};
  }
}

Result<std::vector<Link>> list_links() {
  std::vector<Link> links;
  NetlinkMessage request(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
  request.fixed(ifinfomsg{});
  TRY_DO(netlink_request(NETLINK_ROUTE, request,
                         [&](std::uint16_t type, std::span<const std::byte> body) {
                           if (type == RTM_NEWLINK) links.push_back(read_link(body));
                         }));
  return links;
}

Result<std::vector<InterfaceAddress>> list_addresses() {
  std::vector<InterfaceAddress> addresses;
  NetlinkMessage request(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
  request.fixed(ifaddrmsg{});
  TRY_DO(netlink_request(NETLINK_ROUTE, request,
                         [&](std::uint16_t type, std::span<const std::byte> body) {
                           if (type != RTM_NEWADDR) return;
                           if (const auto address = read_address(body))
                             addresses.push_back(*address);
                         }));
  return addresses;
}

Result<Done> set_link_up(unsigned ifindex) {
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(ifindex);
  info.ifi_flags = IFF_UP;
  info.ifi_change = IFF_UP;
  NetlinkMessage request(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);
  request.fixed(info);
  return netlink_request(NETLINK_ROUTE, request);
}

Result<Done> change_rule(Change change, int family) {
  fib_rule_hdr rule{};
  rule.family = static_cast<std::uint8_t>(family);
  rule.action = FR_ACT_TO_TBL;
  rule.table = WEFT_ROUTE_TABLE;
  NetlinkMessage request(change == Change::kAdd ? RTM_NEWRULE : RTM_DELRULE, change_flags(change));
  request.fixed(rule)
      .attribute(FRA_FWMARK, WEFT_MARK)
      .attribute(FRA_FWMASK, WEFT_MARK_MASK)
      .attribute(FRA_PRIORITY, WEFT_RULE_PRIORITY);
  return settle(change, netlink_request(NETLINK_ROUTE, request));
}

Result<Done> change_route(Change change, int family) {
  rtmsg route{};
  route.rtm_family = static_cast<unsigned char>(family);
  route.rtm_table = WEFT_ROUTE_TABLE;
  route.rtm_type = RTN_LOCAL;
  route.rtm_protocol = RTPROT_STATIC;
  route.rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  NetlinkMessage request(change == Change::kAdd ? RTM_NEWROUTE : RTM_DELROUTE,
                         change_flags(change));
  request.fixed(route).attribute(RTA_OIF, WEFT_LOOPBACK_IFINDEX);
  return settle(change, netlink_request(NETLINK_ROUTE, request));
}

Result<Done> change_own_address(Change change, const net::IpAddress& ip) {
  ifaddrmsg address{};
  address.ifa_family = ip.is_v4() ? AF_INET : AF_INET6;
  address.ifa_prefixlen = ip.is_v4() ? 32 : 128;
  address.ifa_scope = RT_SCOPE_HOST;
  address.ifa_index = WEFT_LOOPBACK_IFINDEX;
  ifa_cacheinfo lifetime{};
  lifetime.ifa_valid = UINT32_MAX;
  lifetime.ifa_prefered = ip.is_v4() ? UINT32_MAX : 0;  // IPv4 goes by the scope alone
  NetlinkMessage request(change == Change::kAdd ? RTM_NEWADDR : RTM_DELADDR, change_flags(change));
  request.fixed(address)
      .attribute(IFA_LOCAL, std::as_bytes(ip.bytes()))
      .attribute(IFA_ADDRESS, std::as_bytes(ip.bytes()))
      .attribute(IFA_FLAGS, static_cast<std::uint32_t>(IFA_F_NODAD));
  if (change == Change::kAdd)
    request.attribute(IFA_CACHEINFO, std::as_bytes(std::span(&lifetime, 1)));
  const auto done = netlink_request(NETLINK_ROUTE, request);
  if (!done && change == Change::kRemove && done.error().os_errno == EADDRNOTAVAIL) return Done{};
  return settle(change, done);
}

Result<Done> destroy_socket(const weft_connection& connection) {
  inet_diag_req_v2 query{};
  query.sdiag_family = static_cast<std::uint8_t>(connection.family);
  query.sdiag_protocol = IPPROTO_TCP;
  query.idiag_states = ~0u;
  query.id.idiag_sport = htons(connection.local_port);
  query.id.idiag_dport = htons(connection.remote_port);
  std::memcpy(query.id.idiag_src, connection.local, sizeof connection.local);
  std::memcpy(query.id.idiag_dst, connection.remote, sizeof connection.remote);
  query.id.idiag_cookie[0] = static_cast<std::uint32_t>(connection.cookie);
  query.id.idiag_cookie[1] = static_cast<std::uint32_t>(connection.cookie >> 32);
  NetlinkMessage request(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK);
  request.fixed(query);
  return settle(Change::kRemove, netlink_request(NETLINK_SOCK_DIAG, request));
}

Result<unsigned> count_filters(unsigned ifindex, std::uint32_t parent) {
  unsigned count = 0;
  tcmsg query{};
  query.tcm_family = AF_UNSPEC;
  query.tcm_ifindex = static_cast<int>(ifindex);
  query.tcm_parent = parent;
  NetlinkMessage request(RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP);
  request.fixed(query);
  TRY_DO(netlink_request(NETLINK_ROUTE, request,
                         [&](std::uint16_t type, std::span<const std::byte> body) {
                           const auto filter = read_fixed<tcmsg>(body);
                           // The kernel names each priority once without a handle, too.
                           if (type == RTM_NEWTFILTER && filter.tcm_handle != 0) ++count;
                         }));
  return count;
}

}  // namespace mesh::ebpf
