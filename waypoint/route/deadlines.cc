#include "waypoint/route/deadlines.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include "waypoint/http/xxhash.h"

namespace mesh::waypoint::route {

namespace {

using std::chrono::milliseconds;

std::string hex(std::uint64_t number) {
  char text[16];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number, 16);
  return {text, end};
}

std::optional<std::uint64_t> hash_header(const config::HashPolicy& policy,
                                         const http::Request& request) {
  const auto text = http::header_text(request, policy.name);
  if (!text.present()) return std::nullopt;
  if (policy.rewrite_regex == nullptr) return http::xxhash64(text.text());
  return http::xxhash64(
      policy.rewrite_regex->replace_all(text.text(), policy.rewrite_substitution));
}

std::optional<std::uint64_t> hash_cookie(const config::HashPolicy& policy,
                                         const http::Request& request, std::uint64_t fresh,
                                         std::string& set_cookie) {
  if (const auto value = http::cookie(request.headers, policy.name); value && !value->empty()) {
    return http::xxhash64(*value);
  }
  if (!policy.cookie_ttl) return std::nullopt;
  const std::string value = hex(fresh);
  set_cookie = policy.name + "=\"" + value + "\"";
  if (policy.cookie_ttl->count() > 0) {
    set_cookie += "; Max-Age=" + std::to_string(policy.cookie_ttl->count());
  }
  if (!policy.cookie_path.empty()) set_cookie += "; Path=" + policy.cookie_path;
  set_cookie += "; HttpOnly";
  return http::xxhash64(value);
}

}  // namespace

std::optional<milliseconds> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  std::uint64_t number = 0;
  const char* const last = text.data() + text.size() - 1;
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc() || end != last) return std::nullopt;
  switch (*last) {
    case 'H':
      return std::chrono::hours(number);
    case 'M':
      return std::chrono::minutes(number);
    case 'S':
      return std::chrono::seconds(number);
    case 'm':
      return milliseconds(number);
    // Rounded up: a microsecond is not "no limit".
    case 'u':
      return milliseconds((number + 999) / 1'000);
    case 'n':
      return milliseconds((number + 999'999) / 1'000'000);
    default:
      return std::nullopt;
  }
}

Deadlines deadlines(const config::Forward& forward, const http::Request& request) {
  Deadlines found{.whole = forward.timeout};
  if (forward.grpc_timeout_max && http::is_grpc(request.headers)) {
    const auto asked =
        parse_grpc_timeout(http::header_text(request.headers, "grpc-timeout").text());
    found.whole = asked.value_or(milliseconds(0));
    if (forward.grpc_timeout_offset && found.whole > *forward.grpc_timeout_offset) {
      found.whole -= *forward.grpc_timeout_offset;
    }
    found.of_caller = asked.has_value();
    const milliseconds most = *forward.grpc_timeout_max;
    if (most.count() > 0 && (found.whole.count() == 0 || found.whole > most)) {
      found.whole = most;
      found.of_caller = false;
    }
    if (asked && asked->count() == 0) found.whole = milliseconds(1);  // over before it began
  }
  if (forward.retry) {
    found.per_try = forward.retry->per_try_timeout;
    found.per_try_idle = forward.retry->per_try_idle_timeout;
  }
  if (found.whole.count() > 0 && found.per_try >= found.whole) found.per_try = milliseconds(0);
  found.expected = found.per_try.count() > 0 ? found.per_try : found.whole;
  return found;
}

std::uint64_t hash_of(const net::IpAddress& source) { return http::xxhash64(source.to_string()); }

Hash hash_of(std::span<const config::HashPolicy> policies, const http::Request& request,
             const net::IpAddress& source, std::uint64_t fresh) {
  Hash hash;
  for (const config::HashPolicy& policy : policies) {
    std::optional<std::uint64_t> one;
    switch (policy.kind) {
      case config::HashPolicy::Kind::kHeader:
        one = hash_header(policy, request);
        break;
      case config::HashPolicy::Kind::kCookie:
        one = hash_cookie(policy, request, fresh, hash.set_cookie);
        break;
      case config::HashPolicy::Kind::kSourceIp:
        one = hash_of(source);
        break;
      case config::HashPolicy::Kind::kQuery:
        if (const auto value = http::query_parameter(request.query(), policy.name)) {
          one = http::xxhash64(*value);
        }
        break;
    }
    if (one) hash.value = std::rotl(hash.value.value_or(0), 1) ^ *one;
    if (policy.terminal && hash.value) break;
  }
  return hash;
}

}  // namespace mesh::waypoint::route
