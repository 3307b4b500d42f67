// Exchange: tokens.

#include <algorithm>
#include <chrono>

#include "waypoint/exchange.h"
#include "waypoint/remote_keys.h"

namespace mesh::waypoint {
namespace {

LocalReply refusal(const jwt::Authentication& result) {
  std::string why(jwt::status_text(result.status));
  LocalReply reply{.status = result.http_status,
                   .body = why,
                   .headers = {{"www-authenticate", result.www_authenticate}}};
  std::ranges::replace(why, ' ', '_');
  reply.details = "jwt_authn_access_denied{" + why + "}";
  return reply;
}

}  // namespace

io::Task<std::optional<LocalReply>> Exchange::ask(const config::JwtFilter& filter) {
  jwt::Authenticator::Asked asked{.cache = &context_.authenticators.tokens()};
  const config::FilterOverrides* const places[] = {
      decision_.target != nullptr ? &decision_.target->overrides : nullptr,
      decision_.route != nullptr ? &decision_.route->overrides : nullptr,
      decision_.host != nullptr ? &decision_.host->overrides : nullptr,
      http_.routes != nullptr ? &http_.routes->overrides : nullptr};
  for (const config::FilterOverrides* place : places) {
    if (place == nullptr) continue;
    if (place->jwt_disabled) co_return std::nullopt;
    if (place->jwt_requirement) asked.requirement = &*place->jwt_requirement;
    if (asked.requirement != nullptr) break;
  }
  const auto authenticator = context_.authenticators.of(chain_, filter);
  jwt::Authentication result = co_await authenticate(*authenticator, asked);
  if (!result.ok) co_return refusal(result);
  note(jwt::kMetadataFilter, std::move(result.metadata));
  // Claims that have become headers may lead elsewhere.
  co_return result.clear_route_cache ? route() : std::nullopt;
}

// Keys that are not there yet, or that a token names in vain, are waited for: once.
io::Task<jwt::Authentication> Exchange::authenticate(const jwt::Authenticator& by,
                                                     const jwt::Authenticator::Asked& asked) {
  std::vector<const config::RemoteJwks*> wanted;
  const auto from = [&](std::string_view provider) -> const config::RemoteJwks* {
    const auto& all = by.filter().providers;
    const auto found = std::ranges::find(all, provider, &config::JwtProvider::name);
    return found == all.end() || context_.remote_keys == nullptr ? nullptr : &found->remote;
  };
  const auto fetched = [&](std::string_view provider) -> jwt::KeysPtr {
    const config::RemoteJwks* remote = from(provider);
    if (remote == nullptr) return nullptr;
    jwt::KeysPtr keys = context_.remote_keys->keys(*remote);
    if (!keys) wanted.push_back(remote);
    return keys;
  };
  const auto judge = [&] {
    const auto now = std::chrono::floor<std::chrono::seconds>(context_.ring.wall_now());
    return by.authenticate(request_, now, fetched, context_.dice, asked);
  };
  jwt::Authentication result = judge();
  if (result.ok) co_return result;
  for (const std::string& provider : result.unknown_key_at) {
    if (const config::RemoteJwks* remote = from(provider)) {
      context_.remote_keys->unknown_key(*remote);
      wanted.push_back(remote);
    }
  }
  if (wanted.empty()) co_return result;
  for (const config::RemoteJwks* remote : std::exchange(wanted, {})) {
    co_await context_.remote_keys->settled(*remote);
  }
  co_return judge();
}

}  // namespace mesh::waypoint
