#include "waypoint/route/cors.h"

#include <algorithm>

namespace mesh::waypoint::route {

namespace {

void add_if(h2::Headers& headers, std::string_view name, std::string_view value) {
  if (!value.empty()) http::add_header(headers, name, value);
}

}  // namespace

Cors cors(const config::CorsPolicy* policy, const http::Request& request, http::Dice& dice) {
  const auto origin = http::header_text(request.headers, "origin");
  if (policy == nullptr || origin.text().empty() || !policy->enabled.hit(dice.roll())) return {};
  const bool allowed = std::ranges::any_of(policy->origins, [&](const config::StringMatch& match) {
    return match.matches(origin.text());
  });
  const bool preflight =
      request.method == "OPTIONS" &&
      !http::header_text(request.headers, "access-control-request-method").text().empty();
  if (!allowed) {
    if (preflight && !policy->forward_not_matching_preflights)
      return {.kind = Cors::Kind::kPreflight};
    return {.kind = Cors::Kind::kRefused};
  }
  Cors answer{.kind = preflight ? Cors::Kind::kPreflight : Cors::Kind::kForward};
  http::add_header(answer.headers, "access-control-allow-origin", origin.text());
  if (policy->allow_credentials) {
    http::add_header(answer.headers, "access-control-allow-credentials", "true");
  }
  add_if(answer.headers, "access-control-expose-headers", policy->expose_headers);
  if (!preflight) return answer;
  add_if(answer.headers, "access-control-allow-methods", policy->allow_methods);
  add_if(answer.headers, "access-control-allow-headers", policy->allow_headers);
  add_if(answer.headers, "access-control-max-age", policy->max_age);
  if (policy->allow_private_network &&
      http::header_text(request.headers, "access-control-request-private-network").text() ==
          "true") {
    http::add_header(answer.headers, "access-control-allow-private-network", "true");
  }
  return answer;
}

void apply_cors(const Cors& cors, h2::Headers& response) {
  if (cors.kind != Cors::Kind::kForward) return;
  for (const h2::Header& header : cors.headers) {
    http::set_header(response, header.name, header.value);
  }
}

}  // namespace mesh::waypoint::route
