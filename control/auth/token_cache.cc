#include "control/auth/token_cache.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include <openssl/sha.h>

#include "mesh/base/base64.h"
#include "mesh/manifest/json.h"

namespace mesh::control::auth {
namespace {

constexpr std::size_t kMaxPayload = 8192;

}  // namespace

TokenCache::Entry* TokenCache::Room::find(const Digest& token, Time now) {
  const auto found = entries.find(token);
  if (found == entries.end()) return nullptr;
  if (now >= found->second.until) {
    erase(token);
    return nullptr;
  }
  order.splice(order.begin(), order, found->second.used);
  return &found->second;
}

void TokenCache::Room::put(const Digest& token, Entry entry, std::size_t most) {
  erase(token);
  if (entries.size() >= most) {
    entries.erase(order.back());
    order.pop_back();
  }
  order.push_front(token);
  entry.used = order.begin();
  entries.emplace(token, std::move(entry));
}

void TokenCache::Room::erase(const Digest& token) {
  const auto found = entries.find(token);
  if (found == entries.end()) return;
  order.erase(found->second.used);
  entries.erase(found);
}

std::optional<TokenCache::Known> TokenCache::find(const Digest& token, Time now) {
  if (const Entry* refused = refused_.find(token, now)) {
    return Known{.identity = {}, .why = refused->why, .fresh = true};
  }
  if (const Entry* accepted = accepted_.find(token, now)) {
    return Known{.identity = accepted->identity, .why = {}, .fresh = now < accepted->fresh_until};
  }
  return {};
}

void TokenCache::accept(const Digest& token, TokenIdentity identity, std::chrono::seconds life,
                        Time now) {
  refused_.erase(token);
  const Time until = now + (life.count() > 0 ? life : limits_.fresh);
  Entry entry{.identity = std::move(identity),
              .why = {},
              .fresh_until = std::min(now + limits_.fresh, until),
              .until = until,
              .used = {}};
  accepted_.put(token, std::move(entry), limits_.accepted);
}

void TokenCache::refuse(const Digest& token, std::string why, Time now) {
  accepted_.erase(token);
  Entry entry{.identity = {},
              .why = std::move(why),
              .fresh_until = now + limits_.refusal,
              .until = now + limits_.refusal,
              .used = {}};
  refused_.put(token, std::move(entry), limits_.refused);
}

TokenCache::Digest digest_of_token(std::string_view token) {
  TokenCache::Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return digest;
}

std::optional<std::int64_t> token_end(std::string_view token) {
  const auto first = token.find('.');
  if (first == std::string_view::npos) return {};
  const auto second = token.find('.', first + 1);
  if (second == std::string_view::npos || second - first > kMaxPayload) return {};
  const auto payload = base64url_decode(token.substr(first + 1, second - first - 1));
  if (!payload) return {};
  const auto claims = manifest::read_json(*payload);
  if (!claims || claims->type != manifest::Value::Type::kMap) return {};
  const manifest::Value* exp = claims->find("exp");
  if (exp == nullptr || exp->quoted) return {};
  std::int64_t seconds = 0;
  const char* end = exp->text.data() + exp->text.size();
  const auto [at, error] = std::from_chars(exp->text.data(), end, seconds);
  if (error != std::errc() || at != end) return {};
  return seconds;
}

}  // namespace mesh::control::auth
