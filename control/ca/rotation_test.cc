#include "control/ca/rotation.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/base/base64.h"
#include "mesh/manifest/json.h"

namespace mesh::control::ca {
namespace {

constexpr std::int64_t kWait = 1000;

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++found;
  return found;
}

RootSecret fresh(std::int64_t since = 0) {
  RootSecret secret;
  secret.signing = make_root("cluster.local");
  secret.since = since;
  return secret;
}

// The Secret as the server gives it back.
RootSecret through_the_server(const RootSecret& secret) {
  const auto value = manifest::read_json(root_secret_json(secret, "weft-system", "weft-ca"));
  REQUIRE(value);
  const auto read = read_root_secret(*value);
  REQUIRE(read);
  return *read;
}

std::optional<RootSecret> step(const RootSecret& secret, std::int64_t now, bool everybody = true) {
  return next_state(secret, now, kWait, everybody, "cluster.local");
}

manifest::Value secret_with(const std::string& data) {
  const auto value = manifest::read_json(R"({"metadata":{"name":"x"},"data":{)" + data + "}}");
  REQUIRE(value);
  return *value;
}

}  // namespace

TEST_CASE("a Secret is read as it was written, in every state") {
  RootSecret secret = fresh(7);
  secret.next = make_root("cluster.local");
  secret.previous = make_root("cluster.local").certificate_pem;
  secret.rotate = true;
  const RootSecret read = through_the_server(secret);
  CHECK(read.signing.certificate_pem == secret.signing.certificate_pem);
  CHECK(read.signing.key_pem == secret.signing.key_pem);
  CHECK(read.next->key_pem == secret.next->key_pem);
  CHECK(read.previous == secret.previous);
  CHECK(read.since == 7);
  CHECK(read.rotate);
}

TEST_CASE(
    "a rotation trusts the next root before it signs, and the previous one while it is used") {
  const RootSecret settled = fresh();
  CHECK_FALSE(step(settled, 1'000'000));
  RootSecret asked = settled;
  asked.rotate = true;
  const auto trusting = step(asked, 100);
  REQUIRE(trusting);
  CHECK_FALSE(trusting->rotate);
  CHECK(trusting->signing.key_pem == settled.signing.key_pem);
  CHECK(count(material_of(*trusting).roots, "BEGIN CERTIFICATE") == 2);
  CHECK(CertificateAuthority::from(material_of(*trusting)));
  // Not before everybody who has a certificate has both roots.
  CHECK_FALSE(step(*trusting, 100 + kWait - 1));
  CHECK_FALSE(step(*trusting, 100 + kWait, false));
  const auto retiring = step(*trusting, 100 + kWait);
  REQUIRE(retiring);
  CHECK(retiring->signing.key_pem == trusting->next->key_pem);
  CHECK(material_of(*retiring).roots.find(settled.signing.certificate_pem) != std::string::npos);
  CHECK(CertificateAuthority::from(material_of(*retiring)));
  CHECK_FALSE(step(*retiring, 100 + 2 * kWait - 1));
  const auto over = step(*retiring, 100 + 2 * kWait);
  REQUIRE(over);
  CHECK(over->settled());
  CHECK(material_of(*over).roots == retiring->signing.certificate_pem);
  CHECK(through_the_server(*over).settled());
}

TEST_CASE("a rotation that is asked for while one is under way waits for its end") {
  RootSecret asked = fresh();
  asked.rotate = true;
  auto trusting = *step(asked, 0);
  trusting.rotate = true;
  const auto retiring = step(trusting, kWait);
  REQUIRE(retiring);
  CHECK(retiring->rotate);
  const auto over = step(*retiring, 2 * kWait);
  REQUIRE(over);
  CHECK(step(*over, 2 * kWait)->next);
}

TEST_CASE("a patch removes what the next state does not have") {
  RootSecret secret = fresh();
  secret.resource_version = "42";
  const std::string patch = root_secret_patch(secret);
  CHECK(patch.find(R"("next-key.pem":null)") != std::string::npos);
  CHECK(patch.find(R"("previous-cert.pem":null)") != std::string::npos);
  CHECK(patch.find(R"("resourceVersion":"42")") != std::string::npos);
}

TEST_CASE("a Secret that is not one of ours is refused, by what is wrong with it") {
  for (const char* data :
       {"", R"("ca-cert.pem":"eA==")", R"("ca-cert.pem":"*","ca-key.pem":"eA==")",
        R"("ca-cert.pem":"eA==","ca-key.pem":"eA==","next-key.pem":"eA==")"}) {
    CHECK_FALSE(read_root_secret(secret_with(data)));
  }
  const auto plugged = read_plugged_in(secret_with(R"("ca-cert.pem":"eA==","ca-key.pem":"eA==")"));
  REQUIRE_FALSE(plugged);
  CHECK(plugged.error() == "root-cert.pem is missing");
}

TEST_CASE("an authority must lead to a root, with its own key") {
  const KeyPair a = make_root("cluster.local");
  const KeyPair b = make_root("cluster.local");
  const auto reason = [](const AuthorityMaterial& material) {
    const auto authority = CertificateAuthority::from(material);
    return authority ? std::optional<Reason>() : authority.error().reason;
  };
  CHECK_FALSE(reason({.certificate = a.certificate_pem,
                      .key = a.key_pem,
                      .chain = {},
                      .roots = b.certificate_pem + a.certificate_pem}));
  CHECK(reason({.certificate = a.certificate_pem,
                .key = b.key_pem,
                .chain = {},
                .roots = a.certificate_pem}) == Reason::kMalformed);
  CHECK(reason({.certificate = a.certificate_pem,
                .key = a.key_pem,
                .chain = {},
                .roots = b.certificate_pem}) == Reason::kUntrusted);
  CHECK(reason({.certificate = "x", .key = a.key_pem, .chain = {}, .roots = a.certificate_pem}) ==
        Reason::kMalformed);
  CHECK(reason({.certificate = a.certificate_pem, .key = a.key_pem, .chain = {}, .roots = {}}) ==
        Reason::kUntrusted);
}

}  // namespace mesh::control::ca
