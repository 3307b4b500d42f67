#include "control/ca/holders.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::control::ca {
namespace {

std::string pem(const std::string& body) {
  return "-----BEGIN CERTIFICATE-----\n" + body + "\n-----END CERTIFICATE-----\n";
}

bool all_of_use(const std::string&, const std::string&) { return true; }

}  // namespace

TEST_CASE("a bundle is who signs and a set of roots, in whatever order the others are written") {
  const std::string a = pem("A");
  const std::string b = pem("B");
  const std::string c = pem("C");
  CHECK(bundle_of(a + b + c) == bundle_of(a + "\n" + c + b));
  CHECK(bundle_of(a + b + a) == bundle_of(a + b));
  CHECK_FALSE(bundle_of(a + b) == bundle_of(b + a));
  CHECK(bundle_of(a + b).roots == bundle_of(b + a).roots);
  CHECK_FALSE(bundle_of(a + b) == bundle_of(a));
  CHECK_FALSE(bundle_of(a) == bundle_of(b));
}

TEST_CASE(
    "a holder has acknowledged roots when it got a certificate with them, or its old one ended") {
  const Bundle old = bundle_of(pem("A"));
  const Bundle next = bundle_of(pem("A") + pem("B"));
  Holders holders;
  CHECK(holders.without(next, 100, all_of_use).empty());
  holders.issued("node n1", "spiffe://x/ns/a/sa/b", old, 1000);
  holders.issued("node n1", "spiffe://x/ns/a/sa/c", old, 2000);
  holders.issued("node n2", "spiffe://x/ns/a/sa/b", old, 3000);
  CHECK(holders.without(old, 100, all_of_use).empty());

  auto waiting = holders.without(next, 100, all_of_use);
  REQUIRE(waiting.size() == 2);
  CHECK(waiting[0].holder == "node n1");
  CHECK(waiting[0].count == 2);
  CHECK(waiting[0].identities[1] == "spiffe://x/ns/a/sa/c");
  CHECK(waiting[1].holder == "node n2");

  holders.issued("node n2", "spiffe://x/ns/a/sa/b", next, 4000);
  waiting = holders.without(next, 1000, all_of_use);  // one has ended
  REQUIRE(waiting.size() == 1);
  CHECK(waiting[0].count == 1);
  CHECK(waiting[0].identities == std::vector<std::string>{"spiffe://x/ns/a/sa/c"});

  // Its pod is gone: nobody has use of it.
  CHECK(holders
            .without(next, 1000,
                     [](const std::string&, const std::string& identity) {
                       return !identity.ends_with("/c");
                     })
            .empty());
  CHECK(holders.without(next, 1000, all_of_use).empty());
}

TEST_CASE("beyond the limit nobody has acknowledged, until what was not kept has ended") {
  const Bundle bundle = bundle_of(pem("A"));
  Holders holders;
  for (int i = 0; i < 500'000; ++i) {
    holders.issued("n", std::to_string(i), bundle, i == 0 ? 10 : 100);
  }
  CHECK(holders.without(bundle, 1, all_of_use).empty());
  holders.issued("n", "one more", bundle, 50);
  CHECK(holders.without(bundle, 49, all_of_use).size() == 1);
  CHECK(holders.without(bundle, 50, all_of_use).empty());
}

}  // namespace mesh::control::ca
