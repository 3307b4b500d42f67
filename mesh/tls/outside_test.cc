// Whom a context towards the outside trusts, and what it refuses to be made of.

#include "mesh/tls/outside.h"

#include <catch2/catch_test_macros.hpp>

#include "test/support/test_ca.h"

namespace mesh::tls {
namespace {

TEST_CASE("a context towards the outside needs roots, a name, and protocols that are some") {
  const mesh::test::TestCa ca;
  const std::string root = ca.bundle().to_pem();
  const struct {
    const char* what;
    OutsideServer server;
    bool good;
  } rows[] = {
      {"whole", {.name = "api.example", .alpn = {"http/1.1"}, .roots = root}, true},
      {"no protocols", {.name = "api.example", .alpn = {}, .roots = root}, true},
      {"roots twice", {.name = "api.example", .alpn = {"h2"}, .roots = root + "\n" + root}, true},
      {"no roots", {.name = "api.example", .alpn = {"h2"}, .roots = ""}, false},
      {"no name", {.name = "", .alpn = {"h2"}, .roots = root}, false},
      {"an empty protocol", {.name = "api.example", .alpn = {""}, .roots = root}, false},
      {"a certificate without a key",
       {.name = "api.example", .alpn = {"h2"}, .roots = root, .certificate = root},
       false},
      {"garbage among the roots",
       {.name = "api.example",
        .alpn = {"h2"},
        .roots = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + root},
       false},
      {"garbage in a system's",
       {.name = "api.example",
        .alpn = {"h2"},
        .roots = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + root,
        .lenient_roots = true},
       true},
      {"too long",
       {.name = "api.example",
        .alpn = {"h2"},
        .roots = std::string(kOutsideRootsBytesMax, ' ') + root},
       false},
  };
  for (const auto& row : rows) {
    INFO(row.what);
    CHECK(context_for_outside(row.server).has_value() == row.good);
  }
}

}  // namespace
}  // namespace mesh::tls
