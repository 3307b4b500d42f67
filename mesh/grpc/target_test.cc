#include <unistd.h>

#include <cstdio>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "mesh/grpc/channel.h"

namespace mesh::grpc {
namespace {

TEST_CASE("a control plane's address") {
  const auto shown = [](std::string_view text) {
    const auto target = Target::parse(text);
    return target ? target->authority() : std::string("refused");
  };
  CHECK(shown("https://istiod.istio-system.svc:15012") == "istiod.istio-system.svc:15012");
  CHECK(shown("https://istiod.istio-system.svc:15012/") == "istiod.istio-system.svc:15012");
  CHECK(shown("https://control") == "control:443");
  CHECK(shown("192.168.77.1:15012") == "192.168.77.1:15012");
  CHECK(shown("https://[fd00:77::1]:15012") == "[fd00:77::1]:15012");
  CHECK(Target::parse("https://[fd00:77::1]:15012")->host == "fd00:77::1");

  for (const char* bad :
       {"", "https://", "http://control:15012", "control", "control:0", "control:65536",
        "control:", "https://fd00::1:15012", "[fd00::1", "[10.0.0.1]:80", "[fd00::1]80", "a b:80",
        "a@b:80", "-x:80", "https://control:15012/path"}) {
    INFO(bad);
    CHECK(shown(bad) == "refused");
  }
}

TEST_CASE("the token is read again for every call") {
  char path[] = "/tmp/weft_token_XXXXXX";
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  close(fd);
  const auto metadata = bearer_metadata(path, {{"clusterid", "Kubernetes"}});
  CHECK(metadata().error().reason == Reason::kMalformed);

  std::ofstream(path) << "first\n";
  CHECK(*metadata() == Metadata{{"authorization", "Bearer first"}, {"clusterid", "Kubernetes"}});
  std::ofstream(path) << "second";
  CHECK(metadata()->front().second == "Bearer second");
  std::ofstream(path) << "in\njected: header";
  CHECK(metadata().error().reason == Reason::kMalformed);
  std::ofstream(path) << std::string(64 * 1024 + 1, 'x');
  CHECK(metadata().error().reason == Reason::kTooLarge);
  std::remove(path);
  CHECK(!metadata());
  CHECK(bearer_metadata("", {})()->empty());
}

}  // namespace
}  // namespace mesh::grpc
