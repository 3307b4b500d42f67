#include "control/config.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "control/state.h"

namespace mesh::control {
namespace {

std::expected<Config, Leave> read(std::vector<const char*> flags) {
  flags.insert(flags.begin(), "weft-control");
  return read_config(static_cast<int>(flags.size()), flags.data());
}

}  // namespace

TEST_CASE("two flags are enough") {
  const auto config = read({"--manifests", "m", "--state", "s"});
  REQUIRE(config);
  CHECK(config->listen.to_string() == "[::]:15012");
  CHECK(config->debug_listen.to_string() == "[::]:15014");
  CHECK(config->tokens == "s/tokens");
  CHECK(config->certificate_lifetime == std::chrono::hours(24));
  CHECK(config->serving_names.size() == 5);
}

TEST_CASE("the API server instead of a folder") {
  const auto config = read({"--kubernetes", "--kubeconfig", "k", "--context", "c", "--state", "s"});
  REQUIRE(config);
  CHECK(config->manifests.empty());
  CHECK(config->kubeconfig == "k");
  CHECK(config->context == "c");
}

TEST_CASE("help and version are no mistakes; a mistake is one line and status 1") {
  CHECK(read({"--help"}).error().status == 0);
  CHECK(read({"--version"}).error().text == "weft-control " WEFT_VERSION "\n");
  for (const std::vector<const char*>& flags : std::vector<std::vector<const char*>>{
           {},
           {"--manifests", "m"},
           {"--manifests", "m", "--kubernetes", "--state", "s"},
           {"--manifests", "m", "--kubeconfig", "k", "--state", "s"},
           {"--manifests", "m", "--mesh-config-map", "istio", "--state", "s"},
           {"--kubernetes", "--mesh-config", "f", "--mesh-config-map", "istio", "--state", "s"},
           {"--manifests", "m", "--state", "s", "--nonsense"},
           {"--manifests", "m", "--state", "s", "--listen", "15012"},
           {"--manifests", "m", "--state", "s", "--listen", "localhost:15012"},
           {"--manifests", "m", "--state", "s", "--certificate-lifetime", "0s"},
           {"--manifests", "m", "--state", "s", "--certificate-lifetime", "soon"},
           {"--manifests", "m", "--state", "s", "--trust-domain", "Not A Domain"},
           {"--manifests", "m", "--state", "s", "--log-level", "loud"},
           {"--manifests", "m", "--state", "s", "--log-format", "xml"}}) {
    const auto config = read(flags);
    REQUIRE_FALSE(config);
    INFO(config.error().text);
    CHECK(config.error().status == 1);
    CHECK(config.error().text.starts_with("weft-control: "));
    CHECK(config.error().text.find('\n') == config.error().text.size() - 1);
  }
}

TEST_CASE("the ConfigMaps of istiod are ours unless somebody says that they are not") {
  CHECK(read({"--kubernetes", "--state", "s"})->istio_root_map);
  CHECK_FALSE(read({"--kubernetes", "--state", "s", "--no-istio-root-map"})->istio_root_map);
}

TEST_CASE("every --san is a further name") {
  const auto config =
      read({"--manifests", "m", "--state", "s", "--san", "a.example", "--san", "192.0.2.1"});
  REQUIRE(config);
  CHECK(config->serving_names.size() == 7);
}

TEST_CASE("durations are a number and a unit") {
  CHECK(parse_duration("30s") == std::chrono::seconds(30));
  CHECK(parse_duration("90") == std::chrono::seconds(90));
  CHECK(parse_duration("5m") == std::chrono::minutes(5));
  CHECK(parse_duration("7d") == std::chrono::hours(168));
  for (const char* text :
       {"", "0", "-1s", "1.5h", "s", "1w", "99999999999h", "9999999999999999999"}) {
    INFO(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("state files are private, replaced whole, and bounded") {
  char path[] = "/tmp/weft-state-test-XXXXXX";
  const std::string folder = ::mkdtemp(path);
  REQUIRE(make_folder(folder + "/a/b"));
  struct stat s{};
  REQUIRE(::stat((folder + "/a/b").c_str(), &s) == 0);
  CHECK((s.st_mode & 0777) == 0700);

  const auto token = token_file(folder + "/token");
  REQUIRE(token);
  CHECK(token->size() == 64);
  CHECK(*token_file(folder + "/token") == *token);
  REQUIRE(::stat((folder + "/token").c_str(), &s) == 0);
  CHECK((s.st_mode & 0777) == 0600);
  std::ofstream(folder + "/token") << "short\n";
  CHECK_FALSE(token_file(folder + "/token"));

  CHECK(read_number(folder + "/version") == 0);
  REQUIRE(replace_file(folder + "/version", "42\n", 0600));
  CHECK(read_number(folder + "/version") == 42);
  std::ofstream(folder + "/big") << std::string(70'000, 'x');
  CHECK_FALSE(read_file(folder + "/big", 69'999));
  CHECK_FALSE(read_file(folder + "/nothing", 10));
  std::filesystem::remove_all(folder);
}

}  // namespace mesh::control
