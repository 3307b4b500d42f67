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

TEST_CASE("a token may be given as itself, a path never is one") {
  CHECK(bearer_metadata("eyJh.eyJp.sig", {})()->front().second == "Bearer eyJh.eyJp.sig");
  CHECK(!bearer_metadata("./var/run/absent", {})());
  CHECK(!bearer_metadata("two words", {})());
  CHECK(!bearer_metadata(std::string(64 * 1024 + 1, 'x'), {})());
}

TEST_CASE("roots by a path, as themselves, or the system's") {
  const std::string pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
  CHECK(*roots_from(pem)() == pem);
  CHECK(!roots_from("/nonexistent")());
  CHECK(!roots_from("system")());
  const auto system = roots_from("SYSTEM")();
  const auto file = roots_from_file(kSystemRoots)();
  CHECK(system.has_value() == file.has_value());
  if (system && file) CHECK(*system == *file);
}

}  // namespace
}  // namespace mesh::grpc
