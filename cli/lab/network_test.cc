#include "cli/lab/network.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::cli::lab {

TEST_CASE("a node reaches the other nodes' pods over the link, in both families") {
  CHECK(node_batch(1, 2) ==
        "link set eth0 up\n"
        "addr add 192.168.77.1/24 dev eth0\n"
        "addr add fd00:77::1/64 dev eth0 nodad\n"
        "route add 10.244.2.0/24 via 192.168.77.2\n"
        "route add fd00:10:244:2::/64 via fd00:77::2\n");
}

TEST_CASE("a pod has its own addresses only, and a gateway") {
  const PodLink link{.node_netns = "n",
                     .pod_netns = "p",
                     .interface = "pod7",
                     .gateway = "10.244.1.1",
                     .addresses = {"10.244.1.7", "fd00:10:244:1::7"}};
  CHECK(pod_batch(link) ==
        "link set eth0 up\n"
        "addr add 10.244.1.7/32 dev eth0\n"
        "addr add fd00:10:244:1::7/128 dev eth0 nodad\n"
        "route add 10.244.1.1 dev eth0 scope link\n"
        "route add default via 10.244.1.1 dev eth0\n"
        "route add default via fe80::1 dev eth0\n");
  CHECK(pod_node_batch(link).find("route add fd00:10:244:1::7/128 dev pod7\n") !=
        std::string::npos);
}

}  // namespace mesh::cli::lab
