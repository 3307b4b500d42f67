#include "mesh/hbone/authority.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::hbone {
namespace {

TEST_CASE("what an authority means") {
  struct Row {
    const char* text;
    const char* means;  // "" = none
  };
  const auto row = GENERATE(values<Row>({
      {"10.78.0.2:7000", "10.78.0.2:7000"},
      {"10.78.0.2:07000", "10.78.0.2:7000"},
      {"10.78.0.2:0", "10.78.0.2:0"},
      {"[fd00:78::2]:7000", "[fd00:78::2]:7000"},
      {"[fd00:0078:0:0:0:0:0:0002]:7000", "[fd00:78::2]:7000"},
      {"srv.app.svc.cluster.local:80", "srv.app.svc.cluster.local:80"},
      {"SRV.app:80", "SRV.app:80"},
      {"srv.app.svc.:80", "srv.app.svc.:80"},
      {"", ""},
      {"10.78.0.2", ""},
      {"10.78.0.2:", ""},
      {"10.78.0.2:65536", ""},
      {"10.78.0.2:99999999999999999999", ""},
      {"10.78.0:80", ""},
      {"fd00:78::2:7000", ""},
      {"[10.0.0.1]:80", ""},
      {"[fd00::1]80", ""},
      {"[fd00::1", ""},
      {"user@host:80", ""},
      {"ho st:80", ""},
      {"%%%:7000", ""},
  }));
  INFO(row.text);
  const auto parsed = parse_authority(row.text);
  CHECK((parsed ? to_string(*parsed) : std::string()) == row.means);
}

TEST_CASE("an authority beyond its limit is none") {
  CHECK(!parse_authority(std::string(260, 'a') + ":80").has_value());
}

}  // namespace
}  // namespace mesh::hbone
