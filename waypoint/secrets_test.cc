#include "waypoint/secrets.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint {
namespace {

config::Secret certificate(std::string pem) {
  return {.part = {.certificate_pem = std::move(pem), .key_pem = "key"}};
}
config::Secret roots(std::string pem) {
  config::Secret secret{.part = {.trusted_ca = std::move(pem)}};
  secret.part.dns_names = {config::StringMatch::exact("b.example")};
  return secret;
}

config::ClusterPtr cluster() {
  config::Cluster made{.name = "a"};
  made.tls = config::UpstreamTls{.certificate_secret = "own", .roots_secret = "theirs"};
  made.tls->dns_names = {config::StringMatch::exact("a.example")};
  return std::make_shared<const config::Cluster>(std::move(made));
}

TEST_CASE("a cluster is filled in when all its secrets have come, and anew as they change") {
  Secrets secrets;
  const config::ClusterPtr asked = cluster();
  CHECK(Secrets::names_of({{"a", asked}}) == Secrets::Names{"own", "theirs"});
  CHECK(secrets.any_due(*asked));
  secrets.take("own", certificate("one"));
  CHECK(secrets.fill_in(asked) == nullptr);
  CHECK(secrets.any_due(*asked));
  secrets.take("theirs", roots("ca"));
  const config::ClusterPtr whole = secrets.fill_in(asked);
  REQUIRE(whole != nullptr);
  CHECK_FALSE(secrets.any_due(*asked));
  CHECK(whole->tls->certificate_pem == "one");
  CHECK(whole->tls->key_pem == "key");
  CHECK(whole->tls->trusted_ca == "ca");
  CHECK(whole->tls->dns_names.size() == 2);
  CHECK((whole->tls->certificate_secret + whole->tls->roots_secret).empty());
  CHECK(secrets.fill_in(asked) == whole);
  secrets.take("own", certificate("two"));
  CHECK(secrets.fill_in(asked)->tls->certificate_pem == "two");
  CHECK(whole->tls->certificate_pem == "one");
}

TEST_CASE("a secret of the other kind is none") {
  Secrets secrets;
  secrets.take("own", roots("ca"));
  secrets.take("theirs", roots("ca"));
  CHECK(secrets.fill_in(cluster()) == nullptr);
  secrets.take("own", certificate("one"));
  secrets.take("theirs", certificate("one"));
  CHECK(secrets.fill_in(cluster()) == nullptr);
}

TEST_CASE("what is given up is used when it comes, and what nobody names is forgotten") {
  Secrets secrets;
  const config::ClusterPtr asked = cluster();
  secrets.take("own", certificate("one"));
  secrets.give_up("own");  // there: it stays
  secrets.give_up("theirs");
  CHECK_FALSE(secrets.any_due(*asked));
  secrets.take("theirs", roots("ca"));
  CHECK(secrets.fill_in(asked) != nullptr);
  secrets.keep_only({{"a", asked}});
  CHECK(secrets.fill_in(asked) != nullptr);
  secrets.keep_only({});
  CHECK(secrets.fill_in(asked) == nullptr);
  CHECK(secrets.any_due(*asked));
}

TEST_CASE("a cluster that names no secret is itself") {
  Secrets secrets;
  const auto plain = std::make_shared<const config::Cluster>();
  CHECK(secrets.fill_in(plain) == plain);
}

}  // namespace
}  // namespace mesh::waypoint
