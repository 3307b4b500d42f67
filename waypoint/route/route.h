#pragma once
// decide(): what becomes of a request, by a route table. Pure: no waiting, no clock, and the dice
// are a parameter.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "waypoint/config/route.h"
#include "waypoint/http/dice.h"
#include "waypoint/http/request.h"

namespace mesh::waypoint::route {

struct Decision {
  enum class Kind : std::uint8_t {
    kNoRoute,   // 404, flag NR
    kForward,   // to `target`
    kNoTarget,  // a forward to nobody (weights of 0): 500
    kRedirect,
    kDirect,
  };
  Kind kind = Kind::kNoRoute;
  // Borrowed from the table; null as far as nothing was found.
  const config::VirtualHost* host = nullptr;
  const config::Route* route = nullptr;
  const config::WeightedTarget* target = nullptr;

  const config::Forward* forward() const;
};

// Who talks to whom, as the tunnel's certificates say; empty: nobody known.
struct Principals {
  std::string_view peer = {};
  std::string_view own = {};
};

// The virtual host of the longest matching domain (exact, "*.suffix", "prefix.*", "*"), in it the
// first route whose match holds, in it one target by weight. One roll of the dice for each
// fraction that is looked at, and one for the target.
Decision decide(const config::RouteTable& table, const http::Request& request, http::Dice& dice,
                const Principals& who = {});

// For an authority, "host" or "host:port", in any case. Null: none.
const config::VirtualHost* find_host(const config::RouteTable& table, std::string_view authority);

// Does this request match? Used by routes and by rules about tokens.
bool matches(const config::RouteMatch& match, const http::Request& request, http::Dice& dice,
             const Principals& who = {});

// Where a redirect leads: "scheme://host[:port]/path?query".
std::string redirect_location(const config::Redirect& redirect, const config::RouteMatch& match,
                              const http::Request& request);

// Which clusters get a copy of this request: one roll for each mirror.
std::vector<const config::Mirror*> mirrors(const config::Forward& forward, http::Dice& dice);

// The setting of a filter for this request: the target's, else the route's, the host's, the
// table's. Null: nobody has one.
template <class T>
const T* override_of(const config::RouteTable& table, const Decision& decision,
                     std::optional<T> config::FilterOverrides::* which) {
  const config::FilterOverrides* const places[] = {
      decision.target != nullptr ? &decision.target->overrides : nullptr,
      decision.route != nullptr ? &decision.route->overrides : nullptr,
      decision.host != nullptr ? &decision.host->overrides : nullptr, &table.overrides};
  for (const config::FilterOverrides* place : places) {
    if (place != nullptr && (place->*which).has_value()) return &*(place->*which);
  }
  return nullptr;
}

}  // namespace mesh::waypoint::route
