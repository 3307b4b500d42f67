#include "sds/files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

namespace mesh::sds {
namespace {

using nlohmann::json;

TEST_CASE("a secret is a discovery response with one resource") {
  const json secret = json::parse(secret_file("CHAIN", "KEY"));
  CHECK(secret.at("/resources/0/name"_json_pointer) == "default");
  CHECK(secret.at("/resources/0/tls_certificate/certificate_chain/inline_string"_json_pointer) ==
        "CHAIN");
  CHECK(secret.at("/resources/0/tls_certificate/private_key/inline_string"_json_pointer) == "KEY");
  const json roots = json::parse(roots_file("ROOTS"));
  CHECK(roots.at("/resources/0/name"_json_pointer) == "ROOTCA");
  CHECK(roots.at("/resources/0/validation_context/trusted_ca/inline_string"_json_pointer) ==
        "ROOTS");
}

TEST_CASE("the bootstrap names the proxy, and trusts the control plane by its name") {
  Config config;
  config.pod_name = "waypoint-0";
  config.pod_namespace = "shop";
  config.service_account = "waypoint";
  config.instance_ip = "10.0.0.9";
  config.folder = "/s";
  const json by_name = json::parse(bootstrap_file(config, "control", 15012));
  CHECK(by_name.at("/node/id"_json_pointer) ==
        "waypoint~10.0.0.9~waypoint-0.shop~shop.svc.cluster.local");
  CHECK(by_name.at("/node/metadata/WEFT_SDS_FOLDER"_json_pointer) == "/s");
  CHECK(by_name.at("/dynamic_resources/ads_config/api_type"_json_pointer) == "DELTA_GRPC");
  const std::string san =
      "/static_resources/clusters/0/transport_socket/typed_config/"
      "common_tls_context/validation_context/match_typed_subject_alt_names/0";
  CHECK(by_name.at(json::json_pointer(san + "/matcher/exact")) == "control");
  CHECK(by_name.at(json::json_pointer(san + "/san_type")) == "DNS");

  config.whole = true;
  const json by_address = json::parse(bootstrap_file(config, "192.0.2.1", 15012));
  CHECK(by_address.at(json::json_pointer(san + "/san_type")) == "IP_ADDRESS");
  CHECK(by_address.at("/dynamic_resources/ads_config/api_type"_json_pointer) == "GRPC");
}

TEST_CASE("a file is replaced whole, for its owner alone") {
  char folder[] = "/tmp/weft-sds-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/default.json";
  REQUIRE(replace(path, "one"));
  REQUIRE(replace(path, "two"));
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  CHECK(text.str() == "two");
  struct stat s{};
  REQUIRE(::stat(path.c_str(), &s) == 0);
  CHECK((s.st_mode & 0777) == 0600);
  CHECK_FALSE(replace("/nowhere/at/all", "x"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace mesh::sds
