#include "sds/config.h"

#include <map>

#include <catch2/catch_test_macros.hpp>

namespace mesh::sds {
namespace {

std::expected<Config, ConfigError> parse(std::vector<const char*> words,
                                         std::map<std::string, std::string> environment = {}) {
  words.insert(words.begin(), "weft-sds");
  return read_config(static_cast<int>(words.size()), words.data(),
                     [&environment](const char* name) -> const char* {
                       const auto found = environment.find(name);
                       return found == environment.end() ? nullptr : found->second.c_str();
                     });
}

TEST_CASE("the environment says it, and flags win") {
  const auto config = parse({"--namespace", "shop", "--folder", "/s", "--", "envoy", "-c", "x"},
                            {{"POD_NAME", "waypoint-0"},
                             {"POD_NAMESPACE", "other"},
                             {"SERVICE_ACCOUNT", "waypoint"},
                             {"AUTH_TOKEN", "/t"}});
  REQUIRE(config);
  CHECK(config->pod_name == "waypoint-0");
  CHECK(config->pod_namespace == "shop");
  CHECK(config->token == "/t");
  CHECK(config->command == std::vector<std::string>{"envoy", "-c", "x"});
}

TEST_CASE("what is missing is named") {
  const auto config = parse({"--pod", "p", "--namespace", "n"});
  REQUIRE_FALSE(config);
  CHECK(config.error().status == 1);
  CHECK(config.error().text == "weft-sds: --service-account is required\n");
  CHECK_FALSE(parse({"--pod", "p", "--namespace", "n", "--service-account", "s", "--folder", "x"}));
}

TEST_CASE("whether it is ready is asked with no more than the folder") {
  const auto config = parse({"--is-ready"}, {{"WEFT_SDS_FOLDER", "/s"}});
  REQUIRE(config);
  CHECK(config->ask_ready);
  CHECK(config->folder == "/s");
}

TEST_CASE("help is no error") {
  const auto config = parse({"--help"});
  REQUIRE_FALSE(config);
  CHECK(config.error().status == 0);
}

}  // namespace
}  // namespace mesh::sds
