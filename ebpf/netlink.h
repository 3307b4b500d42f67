#pragma once
// The routing and socket requests that enrolling a pod takes, in the calling thread's network
// namespace. Nothing here forks or parses a tool's output.
//
// Blocks only for as long as the kernel needs to answer.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ebpf/netlink_message.h"
#include "ebpf/shared.h"
#include "mesh/base/result.h"
#include "mesh/net/address.h"

namespace mesh::ebpf {

// Sends `request` on a socket of `protocol` and waits for the kernel's word on it. `on_message`
// sees each message of a dump: its type, and what follows the netlink header. Errors: the kernel's
// errno.
Result<Done> netlink_request(int protocol, NetlinkMessage& request,
                             const OnNetlinkMessage& on_message = {});

Result<std::vector<Link>> list_links();
Result<std::vector<InterfaceAddress>> list_addresses();
Result<Done> set_link_up(unsigned ifindex);

enum class Change { kAdd, kRemove };
// "fwmark WEFT_MARK/WEFT_MARK_MASK lookup WEFT_ROUTE_TABLE" for AF_INET or AF_INET6. To add one
// that is there, or to remove one that is not, succeeds.
Result<Done> change_rule(Change change, int family);
// "local default dev lo table WEFT_ROUTE_TABLE".
Result<Done> change_route(Change change, int family);

// An address of the node itself, on lo, that is never chosen as a source unless somebody asks for
// it: of host scope, and deprecated from the start. To add one that is there, or to remove one that
// is not, succeeds.
Result<Done> change_own_address(Change change, const net::IpAddress& ip);

// Ends a TCP connection: its socket gets ECONNABORTED, its peer a RST. One that is already gone is
// fine.
Result<Done> destroy_socket(const weft_connection& connection);

// Filters on a clsact qdisc; `parent` is TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS or _EGRESS).
Result<unsigned> count_filters(unsigned ifindex, std::uint32_t parent);

}  // namespace mesh::ebpf
