#include "ebpf/netlink_message.h"

#include <cstring>

namespace mesh::ebpf {

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

}  // namespace mesh::ebpf
