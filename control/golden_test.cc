// What the incumbent control plane sent for small worlds, recorded in test/golden/wds, against what
// ours sends. "resources" and "problems" are ours; "incumbent" holds what differs there, and each
// of those is explained in control/README.md.

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "control/folder.h"
#include "control/translation.h"
#include "control/wire_json.h"
#include "mesh/xds/decode.h"

namespace mesh::control {
namespace {

using nlohmann::json;

std::string read(const std::filesystem::path& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

json all_resources(const Snapshot& snapshot) {
  json all = json::object();
  for (const auto type : {xds::ResourceType::kAddress, xds::ResourceType::kAuthorization}) {
    for (const auto& [name, resource] : snapshot.of(type)) all[name] = to_json(type, *resource);
  }
  return all;
}

// Our own data planes take all of it.
void check_decodes(const Snapshot& snapshot) {
  for (const auto type : {xds::ResourceType::kAddress, xds::ResourceType::kAuthorization}) {
    std::vector<xds::RawResource> raw;
    for (const auto& [name, resource] : snapshot.of(type)) {
      raw.push_back({name, resource->version, std::string(xds::type_url(type)), resource->bytes});
    }
    const xds::Decoded decoded = type == xds::ResourceType::kAddress
                                     ? xds::decode_addresses(raw, {})
                                     : xds::decode_authorizations(raw, {});
    INFO(decoded.nack_message());
    CHECK(decoded.complaints.empty());
  }
}

void check_scenario(const std::filesystem::path& manifests) {
  INFO(manifests.filename());
  const json golden = json::parse(read(std::filesystem::path(manifests).replace_extension("json")));
  Folder folder;
  manifest::Parsed parsed = manifest::parse("m.yaml", read(manifests));
  parsed.broken.clear();  // recorded is a world without them: nothing stands for them here
  folder.put("m.yaml", std::move(parsed));
  const auto world = std::make_shared<const World>(folder.settle());

  json problems = json::array();
  for (const manifest::Problem& problem : folder.problems()) {
    problems.push_back(problem.object + ": " + problem.field);
  }
  CHECK(problems == golden.value("problems", json::array()));

  const auto snapshot = Translation({}, 1).next(world);
  check_decodes(*snapshot);
  const json ours = all_resources(*snapshot);
  const json& expected = golden.at("resources");
  std::set<std::string> names;
  for (const auto& [name, value] : expected.items()) names.insert(name);
  for (const auto& [name, value] : ours.items()) names.insert(name);
  for (const std::string& name : names) {
    INFO(name);
    CHECK(ours.value(name, json()) == expected.value(name, json()));
  }
  // What is listed as a difference is one.
  for (const auto& [name, theirs] : golden.value("incumbent", json::object()).items()) {
    INFO(name);
    CHECK(ours.value(name, json()) != theirs);
  }
}

}  // namespace

TEST_CASE("the recorded worlds are translated as recorded, but for the listed differences") {
  unsigned scenarios = 0;
  for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_FOLDER "/wds")) {
    if (entry.path().extension() != ".yaml") continue;
    ++scenarios;
    check_scenario(entry.path());
  }
  CHECK(scenarios == 68);
}

}  // namespace mesh::control
