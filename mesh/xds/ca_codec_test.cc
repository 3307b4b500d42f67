#include "mesh/xds/ca_codec.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::xds {
namespace {

TEST_CASE("a request says for whom the node asks") {
  const auto request = decode_certificate_request(
      encode(CertificateRequest{.csr_pem = "CSR",
                                .validity_seconds = 86400,
                                .impersonated_identity = "spiffe://cluster.local/ns/a/sa/b"}));
  REQUIRE(request);
  CHECK(request->csr_pem == "CSR");
  CHECK(request->validity_seconds == 86400);
  CHECK(request->impersonated_identity == "spiffe://cluster.local/ns/a/sa/b");
}

TEST_CASE("the last element of an answer is the roots, the others the chain") {
  const auto issued = decode_certificates(encode_certificates({"leaf", "between\n", "roots"}));
  REQUIRE(issued);
  CHECK(issued->chain_pem == "leaf\nbetween\n");
  CHECK(issued->roots_pem == "roots\n");
}

TEST_CASE("an answer without a root, or beyond the limits, is refused") {
  const auto reason = [](const std::string& bytes) {
    return decode_certificates(bytes).error().reason;
  };
  CHECK(reason(encode_certificates({})) == Reason::kMalformed);
  CHECK(reason(encode_certificates({"leaf"})) == Reason::kMalformed);
  CHECK(reason("\x0a\xff") == Reason::kMalformed);
  CHECK(reason(encode_certificates(std::vector<std::string>(17, "x"))) == Reason::kTooLarge);
  CHECK(reason(encode_certificates({std::string(65537, 'x'), "root"})) == Reason::kTooLarge);
}

}  // namespace
}  // namespace mesh::xds
