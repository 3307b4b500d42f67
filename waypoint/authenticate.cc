// Exchange: tokens.

#include <algorithm>
#include <chrono>

#include "waypoint/exchange.h"

namespace mesh::waypoint {

std::optional<LocalReply> Exchange::ask(const config::HttpFilter& named,
                                        const config::JwtFilter& filter) {
  const config::FilterOverrides* const places[] = {
      decision_.target != nullptr ? &decision_.target->overrides : nullptr,
      decision_.route != nullptr ? &decision_.route->overrides : nullptr,
      decision_.host != nullptr ? &decision_.host->overrides : nullptr,
      http_.routes != nullptr ? &http_.routes->overrides : nullptr};
  for (const config::FilterOverrides* place : places) {
    if (place == nullptr) continue;
    // Another requirement by its name: the names are not kept.
    if (place->jwt_requirement) return refuse_unavailable(named);
    if (place->jwt_disabled) return std::nullopt;
  }
  const auto authenticator = context_.authenticators.of(chain_, filter);
  const auto now = std::chrono::floor<std::chrono::seconds>(context_.ring.wall_now());
  // Keys that are to be fetched are not: their tokens are refused, by name.
  const auto none = [](std::string_view) { return jwt::KeysPtr(); };
  jwt::Authentication result = authenticator->authenticate(request_, now, none, context_.dice);
  if (result.ok) {
    note(jwt::kMetadataFilter, std::move(result.metadata));
    // Claims that have become headers may lead elsewhere.
    return result.clear_route_cache ? route() : std::nullopt;
  }
  std::string why(jwt::status_text(result.status));
  LocalReply reply{.status = result.http_status,
                   .body = why,
                   .headers = {{"www-authenticate", result.www_authenticate}}};
  std::ranges::replace(why, ' ', '_');
  reply.details = "jwt_authn_access_denied{" + why + "}";
  return reply;
}

}  // namespace mesh::waypoint
