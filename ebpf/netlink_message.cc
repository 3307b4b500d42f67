#include "ebpf/netlink_message.h"

#include <linux/if.h>
#include <linux/if_arp.h>
#include <sys/socket.h>

namespace mesh::ebpf {
namespace {

std::span<const std::byte> after(std::span<const std::byte> bytes, std::size_t size) {
  const std::size_t step = NLMSG_ALIGN(size);
  return bytes.size() > step ? bytes.subspan(step) : std::span<const std::byte>();
}

constexpr int kErrnoMax = 4095;

}  // namespace

NetlinkMessage::NetlinkMessage(std::uint16_t type, std::uint16_t flags) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  header.nlmsg_seq = 1;
  fixed(header);
}

NetlinkMessage& NetlinkMessage::attribute(std::uint16_t type, std::span<const std::byte> value) {
  rtattr header{};
  header.rta_type = type;
  header.rta_len = static_cast<unsigned short>(RTA_LENGTH(value.size()));
  fixed(header);
  append(value);
  return *this;
}

NetlinkMessage& NetlinkMessage::attribute(std::uint16_t type, std::uint32_t value) {
  return attribute(type, std::as_bytes(std::span(&value, 1)));
}

std::span<const std::byte> NetlinkMessage::bytes() {
  const auto length = static_cast<std::uint32_t>(buffer_.size());
  std::memcpy(buffer_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
  return buffer_;
}

void NetlinkMessage::append(std::span<const std::byte> part) {
  buffer_.insert(buffer_.end(), part.begin(), part.end());
  buffer_.resize(NLMSG_ALIGN(buffer_.size()));
}

std::span<const std::byte> find_attribute(std::span<const std::byte> attributes,
                                          std::uint16_t type) {
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr header{};
    std::memcpy(&header, attributes.data(), sizeof header);
    if (header.rta_len < sizeof(rtattr) || header.rta_len > attributes.size()) break;
    if ((header.rta_type & NLA_TYPE_MASK) == type)
      return attributes.subspan(sizeof header, header.rta_len - sizeof header);
    const std::size_t step = RTA_ALIGN(header.rta_len);
    if (step >= attributes.size()) break;
    attributes = attributes.subspan(step);
  }
  return {};
}

Result<bool> read_answer(std::span<const std::byte> datagram, const OnNetlinkMessage& on_message) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    const auto header = read_fixed<nlmsghdr>(datagram);
    if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > datagram.size())
      return failed(Reason::kMalformed, "netlink answer");
    const auto body = datagram.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
    if (header.nlmsg_type == NLMSG_ERROR) {
      const int error = read_fixed<int>(body);
      if (error == 0) return true;
      if (error > 0 || error < -kErrnoMax) return failed(Reason::kMalformed, "netlink answer");
      return failed_with_errno(-error, "netlink");
    }
    if (header.nlmsg_type == NLMSG_DONE) return true;
    if (on_message) on_message(header.nlmsg_type, body);
    const std::size_t step = NLMSG_ALIGN(header.nlmsg_len);
    if (step >= datagram.size()) break;
    datagram = datagram.subspan(step);
  }
  return false;
}

Link read_link(std::span<const std::byte> body) {
  const auto info = read_fixed<ifinfomsg>(body);
  Link link{.ifindex = static_cast<unsigned>(info.ifi_index),
            .ethernet = info.ifi_type == ARPHRD_ETHER,
            .loopback = (info.ifi_flags & IFF_LOOPBACK) != 0,
            .up = (info.ifi_flags & IFF_UP) != 0};
  const auto name = find_attribute(after(body, sizeof info), IFLA_IFNAME);
  if (!name.empty()) link.name.assign(reinterpret_cast<const char*>(name.data()), name.size() - 1);
  return link;
}

std::optional<InterfaceAddress> read_address(std::span<const std::byte> body) {
  const auto info = read_fixed<ifaddrmsg>(body);
  const auto attributes = after(body, sizeof info);
  auto value = find_attribute(attributes, IFA_LOCAL);
  if (value.empty()) value = find_attribute(attributes, IFA_ADDRESS);
  const auto ip = net::IpAddress::from_bytes(value);
  if (!ip) return std::nullopt;
  return InterfaceAddress{.ifindex = info.ifa_index, .ip = *ip};
}

}  // namespace mesh::ebpf
