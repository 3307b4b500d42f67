// The attack table, asked of what decides.

#include <catch2/catch_test_macros.hpp>
#include <set>

#include "waypoint/http/path.h"
#include "waypoint/jwt/attack_table.h"
#include "waypoint/jwt/authenticate.h"
#include "waypoint/rbac/rbac.h"

namespace mesh::waypoint::jwt {
namespace {

using attacks::Attack;
using attacks::kNow;

const Authenticator& authenticator() {
  static const Authenticator made(attacks::tokens());
  return made;
}

// "" when it got through.
std::string refused_by(const Attack& attack) {
  const http::NormalPath normal = http::normalize(attack.path, attack.method, {});
  if (normal.fault != http::PathFault::kNone) return std::string(path_fault_name(normal.fault));
  http::Request request{.method = attack.method,
                        .authority = attack.authority,
                        .path = normal.path,
                        .headers = attack.headers};
  http::Dice dice(1);
  const Authentication result = authenticator().authenticate(
      request, std::chrono::sys_seconds(std::chrono::seconds(kNow)),
      [](std::string_view) { return KeysPtr(); }, dice);
  if (!result.ok) return std::string(status_text(result.status));
  const auto metadata = http::Value::object({{std::string(kMetadataFilter), result.metadata}});
  const rbac::Subject subject{.request = &request,
                              .destination = *net::SocketAddress::parse("10.96.1.10:80"),
                              .direct_remote = *net::SocketAddress::parse("10.244.1.10:4000"),
                              .remote = *net::IpAddress::parse("10.244.1.10"),
                              .peer_principal = attack.peer,
                              .metadata = &metadata};
  for (const config::RbacFilter& one : attacks::rules()) {
    const rbac::Outcome outcome = rbac::decide(one, subject);
    if (!outcome.enforced.allowed()) return outcome.enforced.detail();
  }
  return {};
}

TEST_CASE("the rules let through who may pass") {
  for (const Attack& good : attacks::all_good()) {
    INFO(good.name);
    CHECK(refused_by(good) == "");
  }
  CHECK(refused_by(attacks::nearly_expired()) == "");
}

TEST_CASE("JWT and RBAC attack table: every row is refused") {
  std::set<std::string> names;
  for (const Attack& attack : attacks::all()) {
    INFO(attack.name);
    CHECK(refused_by(attack) != "");
    CHECK(names.insert(attack.name).second);
  }
  CHECK(names.size() >= 140);
}

TEST_CASE("what a client puts into headers of ours never arrives") {
  http::Request request{.method = "GET",
                        .authority = "web",
                        .path = "/",
                        .headers = {{"x-group", "admin"}, {"authorization", "Bearer x"}}};
  http::Dice dice(1);
  CHECK_FALSE(authenticator()
                  .authenticate(
                      request, std::chrono::sys_seconds(std::chrono::seconds(kNow)),
                      [](std::string_view) { return KeysPtr(); }, dice)
                  .ok);
  CHECK_FALSE(http::header_text(request.headers, "x-group").present());
}

}  // namespace
}  // namespace mesh::waypoint::jwt
