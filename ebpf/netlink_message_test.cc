#include "ebpf/netlink_message.h"

#include <catch2/catch_test_macros.hpp>
#include <cstring>

namespace mesh::ebpf {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> made;
  for (const int value : values) made.push_back(static_cast<std::byte>(value));
  return made;
}

TEST_CASE("a request has its length in front and its attributes aligned") {
  NetlinkMessage message(RTM_NEWRULE, NLM_F_REQUEST);
  const auto odd = bytes({1, 2, 3});
  message.fixed(rtmsg{}).attribute(7, odd).attribute(9, 0x01020304u);
  const auto made = message.bytes();

  nlmsghdr header{};
  std::memcpy(&header, made.data(), sizeof header);
  CHECK(header.nlmsg_len == made.size());
  CHECK(header.nlmsg_type == RTM_NEWRULE);
  const auto attributes = made.subspan(sizeof(nlmsghdr) + sizeof(rtmsg));
  CHECK(attributes.size() == 8 + 8);
  const auto found = find_attribute(attributes, 7);
  CHECK(std::vector(found.begin(), found.end()) == odd);
  CHECK(find_attribute(attributes, 9).size() == 4);
  CHECK(find_attribute(attributes, 8).empty());
}

TEST_CASE("attributes that do not fit end the walk") {
  CHECK(find_attribute({}, 1).empty());
  CHECK(find_attribute(bytes({5, 0, 1}), 1).empty());                  // cut short
  CHECK(find_attribute(bytes({3, 0, 1, 0}), 1).empty());               // shorter than a header
  CHECK(find_attribute(bytes({9, 0, 1, 0, 1, 2, 3, 4}), 1).empty());   // longer than the rest
  CHECK(find_attribute(bytes({5, 0, 2, 0, 1}), 1).empty());            // ends before its padding
  CHECK(find_attribute(bytes({6, 0, 1, 0x80, 1, 2}), 1).size() == 2);  // nested flag is no type
}

}  // namespace
}  // namespace mesh::ebpf
