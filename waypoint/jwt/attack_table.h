#pragma once
// Attacks on tokens and rules: what a stranger, or an insider with one good token, might try. Every
// row is refused, and its name says how it was meant to get in. Asked of what decides, and of whole
// exchanges.

#include <cstdint>
#include <string>
#include <vector>

#include "mesh/h2/message.h"
#include "waypoint/config/jwt.h"
#include "waypoint/config/rbac.h"

namespace mesh::waypoint::jwt::attacks {

// When the tokens were made: where simulated time begins.
inline constexpr std::int64_t kNow = 1'750'000'000;

// A request as an attacker sends it, and what it would have got.
struct Attack {
  std::string name = {};
  h2::Headers headers = {};
  std::string path = "/admin/users";
  std::string method = "GET";
  std::string peer = "spiffe://cluster.local/ns/shop/sa/web";
  std::string authority = "web.shop";
};

// The rules of a service: tokens of one issuer; nobody reaches /internal or speaks TRACE; /admin
// wants the claim group admin and a caller of the namespace shop.
config::JwtFilter tokens();
std::vector<config::RbacFilter> rules();

std::vector<Attack> all();
// Requests that pass, so that the rows above are not refused for nothing.
std::vector<Attack> all_good();
Attack nearly_expired();  // a second before the skew is used up

}  // namespace mesh::waypoint::jwt::attacks
