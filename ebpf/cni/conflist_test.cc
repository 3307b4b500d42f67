#include "ebpf/cni/conflist.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::ebpf::cni {
namespace {

const PluginEntry kEntry{.socket = "/run/weft/agent.sock", .excluded_namespaces = {"kube-system"}};

constexpr std::string_view kPlain =
    R"({"cniVersion": "0.3.1", "name": "k8s", "zebra": {"b": 1, "a": 2},
  "plugins": [{"type": "calico"}, {"type": "portmap", "capabilities": {"portMappings": true}}]})";

TEST_CASE("conflist: ours comes last, and everything else stays") {
  const auto chained = with_plugin(kPlain, kEntry);
  REQUIRE(chained);
  REQUIRE(*chained);
  CHECK(**chained == R"({
  "cniVersion": "0.3.1",
  "name": "k8s",
  "zebra": {
    "b": 1,
    "a": 2
  },
  "plugins": [
    {
      "type": "calico"
    },
    {
      "type": "portmap",
      "capabilities": {
        "portMappings": true
      }
    },
    {
      "type": "weft-cni",
      "agentSocket": "/run/weft/agent.sock",
      "excludeNamespaces": [
        "kube-system"
      ]
    }
  ]
}
)");
  CHECK(!with_plugin(**chained, kEntry).value());  // nothing more to do
  const auto back = without_plugin(**chained);
  REQUIRE(back);
  REQUIRE(*back);
  CHECK(back->value().find("weft") == std::string::npos);
  CHECK(!without_plugin(**back).value());
}

TEST_CASE(
    "conflist: an old entry, a double one and one at the front are put right; a later plugin "
    "stays") {
  const std::string old_entry =
      R"({"plugins":[{"type":"a"},{"type":"weft-cni","agentSocket":"/x"}]})";
  const std::string in_front = R"({"plugins":[{"type":"weft-cni"},{"type":"a"}]})";
  for (const std::string& text : {old_entry, in_front}) {
    const auto chained = with_plugin(text, kEntry);
    REQUIRE(chained);
    REQUIRE(*chained);
    CHECK(chained->value().find("weft-cni") == chained->value().rfind("weft-cni"));
    CHECK(chained->value().find("\"a\"") < chained->value().find("weft-cni"));
    CHECK(!with_plugin(**chained, kEntry).value());
  }
  const std::string later =
      R"({"plugins":[{"type":"a"},{"type":"weft-cni","agentSocket":"/run/weft/agent.sock",)"
      R"("excludeNamespaces":["kube-system"]},{"type":"b"}]})";
  CHECK(!with_plugin(later, kEntry).value());
}

TEST_CASE("conflist: what is none is refused, in words") {
  for (const char* text : {"", "[]", "{", R"({"type":"bridge"})", R"({"plugins":{}})",
                           R"({"plugins":[]})", R"({"plugins":[{"type":"weft-cni"}]})"})
    CHECK(!with_plugin(text, kEntry));
  CHECK(with_plugin(R"({"type":"bridge"})", kEntry).error().find("only a conflist") !=
        std::string::npos);
  CHECK(!with_plugin(std::string(kConflistBytesMax + 1, ' '), kEntry));
  CHECK(with_plugin(R"({"plugins":[1,null,{"type":7}]})", kEntry));  // not ours to judge
}

}  // namespace
}  // namespace mesh::ebpf::cni
