#include "mesh/tls/certificate.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

#include "mesh/tls/key.h"
#include "test/support/test_ca.h"

namespace mesh::tls {
namespace {

using test::kTestNow;
using test::TestCa;

constexpr const char* kWeb = "spiffe://cluster.local/ns/shop/sa/web";

TEST_CASE("a chain survives being written and read, and names its workload") {
  const TestCa ca;
  test::LeafOptions options;
  options.uris = {kWeb};
  options.through_intermediate = true;
  const Credentials issued = ca.issue(options);
  const auto chain = CertificateChain::parse_pem("# a comment\n" + issued.chain.to_pem() + "\n");
  REQUIRE(chain.has_value());
  REQUIRE(chain->certificates().size() == 2);
  CHECK(chain->leaf().fingerprint() == issued.chain.leaf().fingerprint());
  CHECK(chain->leaf().spiffe_id()->to_string() == kWeb);
  CHECK(chain->leaf().not_after() == kTestNow + std::chrono::hours(24));
  CHECK(!chain->leaf().is_ca());
  CHECK(chain->certificates()[1].is_ca());
  CHECK(!chain->leaf().serial().empty());
}

TEST_CASE("what is not a chain of certificates is refused with a reason") {
  const TestCa ca;
  const Credentials issued = ca.issue(kWeb);
  const std::string pem = issued.chain.to_pem();
  const auto reason = [](const std::string& text) {
    const auto chain = CertificateChain::parse_pem(text);
    return chain ? std::string("fine") : std::string(reason_name(chain.error().reason));
  };
  CHECK(reason("") == "malformed");
  CHECK(reason("hello") == "malformed");
  CHECK(reason(pem) == "fine");
  CHECK(reason(pem + issued.key.to_pem()) == "malformed");
  CHECK(reason(pem.substr(0, pem.size() / 2)) == "malformed");
  CHECK(reason("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") == "malformed");
  CHECK(reason(std::string(kPemBytesMax + 1, '\n')) == "too_large");
  std::string many;
  for (std::size_t i = 0; i <= kChainCertificatesMax; ++i) many += pem;
  CHECK(reason(many) == "too_large");
}

TEST_CASE("only CAs can be roots") {
  const TestCa ca;
  CHECK(TrustBundle::parse_pem(ca.bundle().to_pem()).has_value());
  CHECK(!TrustBundle::parse_pem(ca.issue(kWeb).chain.to_pem()).has_value());
}

TEST_CASE("a key asks for a certificate of its identity, and matches what it gets") {
  const TestCa ca;
  const PrivateKey key = PrivateKey::generate().value();
  const auto again = PrivateKey::parse_pem(key.to_pem());
  REQUIRE(again.has_value());
  const std::string request = again->signing_request(*net::SpiffeId::parse(kWeb)).value();
  const auto answer = ca.sign_request(request, kTestNow, std::chrono::hours(1));
  const auto chain = CertificateChain::parse_pem(answer[0]);
  REQUIRE(chain.has_value());
  CHECK(key.matches(chain->leaf()));
  CHECK(!PrivateKey::generate()->matches(chain->leaf()));
  CHECK(chain->leaf().spiffe_id()->to_string() == kWeb);
  CHECK(!PrivateKey::parse_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
}

}  // namespace
}  // namespace mesh::tls
