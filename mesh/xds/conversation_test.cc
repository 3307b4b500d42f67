// Replays the recorded discovery conversation of test/golden/xds against AdsState, through the
// bytes of the wire.

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <catch2/catch_test_macros.hpp>

#include "mesh/xds/ads_codec.h"
#include "mesh/xds/ads_state.h"

namespace mesh::xds {
namespace {

class Taker final : public ResourceSink {
 public:
  std::vector<Rejection> take(ResourceType type, std::span<const RawResource> resources,
                              std::span<const std::string>) override {
    std::vector<Rejection> rejections;
    for (const RawResource& resource : resources) {
      if (resource.bytes == "bad") rejections.push_back({type, resource.name, "undecodable"});
    }
    return rejections;
  }
};

ResourceType type_named(const std::string& name) {
  for (const ResourceType type : {ResourceType::kAddress, ResourceType::kAuthorization}) {
    if (type_name(type) == name) return type;
  }
  FAIL("no such type: " << name);
  return ResourceType::kAddress;
}

std::string unquoted(const std::string& name) { return name == "\"\"" ? std::string() : name; }
std::string quoted(const std::string& name) { return name.empty() ? "\"\"" : name; }

DeltaResponse response_of(std::istringstream& words) {
  DeltaResponse response{.system_version = "1"};
  std::string word;
  words >> word;
  response.type_url = type_url(type_named(word));
  words >> response.nonce;
  while (words >> word) {
    if (word[0] == '-') {
      response.removed.push_back(unquoted(word.substr(1)));
      continue;
    }
    const std::size_t mark = word.find_last_of("=!");
    response.resources.push_back({.name = unquoted(word.substr(1, mark - 1)),
                                  .version = word.substr(mark + 1),
                                  .type_url = response.type_url,
                                  .bytes = word[mark] == '!' ? "bad" : "good"});
  }
  return response;
}

// What the state machine says next, in the words of the file.
std::string said(AdsState& state) {
  const auto request = state.next_request();
  if (!request) return "nothing";
  const auto decoded = decode_request(encode(*request));
  REQUIRE(decoded);
  CHECK(*decoded == *request);
  std::string text(type_name(*type_of_url(decoded->type_url)));
  if (decoded->node) {
    text += " first";
    for (const auto& [name, version] : decoded->initial_versions) {
      text.append(" ").append(name).append("=").append(version);
    }
  } else if (decoded->error) {
    text += " nack " + decoded->response_nonce;
    const std::string name = decoded->error->substr(0, decoded->error->find(':'));
    text += " " + (name == "(no name)" ? quoted("") : name);
  } else {
    text += " ack " + decoded->response_nonce;
  }
  return text;
}

TEST_CASE("the recorded discovery conversation, as we hold it", "[golden]") {
  const char* root = std::getenv("WEFT_GOLDEN");
  REQUIRE(root != nullptr);
  std::ifstream file(std::string(root) + "/xds/conversation.txt");
  REQUIRE(file);

  AdsState state({.node = {.id = "ztunnel~10.78.0.2~z.istio-system~istio-system.svc.cluster.local",
                           .metadata = {{"NAME", "z"}, {"NODE_NAME", "node-1"}}}});
  Taker sink;
  int messages = 0;
  for (std::string line; std::getline(file, line);) {
    INFO(line);
    std::istringstream words(line);
    std::string word;
    if (line.empty() || line[0] == '#' || !(words >> word) || word == "theirs") continue;
    if (word == "ours") words >> word;
    ++messages;
    if (word == "open") {
      state.connected();
    } else if (word == "end") {
      state.disconnected();
    } else if (word == "<") {
      const DeltaResponse response = response_of(words);
      const auto decoded = decode_response(encode(response));
      REQUIRE(decoded);
      REQUIRE(*decoded == response);
      CHECK(said(state) == "nothing");
      const auto update = state.receive(*decoded, sink);
      REQUIRE(update);
      REQUIRE(*update);
      CHECK(said(state) == "nothing");
      state.applied((*update)->sequence);
    } else {
      REQUIRE(word == ">");
      CHECK(said(state) == line.substr(line.find('>') + 2));
    }
  }
  CHECK(said(state) == "nothing");
  CHECK(messages > 30);
}

}  // namespace
}  // namespace mesh::xds
