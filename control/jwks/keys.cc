#include "control/jwks/keys.h"

#include <algorithm>
#include <set>
#include <utility>

#include "mesh/manifest/json.h"

namespace mesh::control::jwks {
namespace {

using manifest::Kind;
using manifest::RequestAuthentication;
using namespace std::chrono_literals;

constexpr std::size_t kMostSets = 1'000;
constexpr std::size_t kMostUriBytes = 2'048;
constexpr std::size_t kMostBytes = 256u << 10;
constexpr std::size_t kMostKeys = 100;
constexpr std::chrono::milliseconds kMostTimeout = 10s;
constexpr auto kRefresh = 20min;
constexpr auto kGood = 24h;
constexpr std::chrono::milliseconds kMostWait = 5min;

bool is_fetched(const manifest::JwtRule& rule) {
  const std::string& uri = rule.jwks_uri;
  const bool http = uri.starts_with("https://") || uri.starts_with("http://");
  const bool plain =
      std::all_of(uri.begin(), uri.end(), [](char c) { return c > ' ' && c <= '~'; });
  return rule.jwks.empty() && http && plain && uri.size() <= kMostUriBytes;
}

}  // namespace

std::expected<std::string, std::string> read_key_set(std::string_view text) {
  if (text.size() > kMostBytes) return std::unexpected("the answer is too long");
  const auto value = manifest::read_json(text);
  if (!value) return std::unexpected("the answer is not JSON: " + value.error());
  const manifest::Value* keys =
      value->type == manifest::Value::Type::kMap ? value->find("keys") : nullptr;
  if (keys == nullptr || keys->type != manifest::Value::Type::kList || keys->items.empty()) {
    return std::unexpected("the answer is not a set of keys");
  }
  if (keys->items.size() > kMostKeys) return std::unexpected("too many keys");
  return std::string(text);
}

void Keys::want(const World& world) {
  std::set<std::string> wanted;
  for (const RequestAuthentication* object : world.all<RequestAuthentication>()) {
    for (const manifest::JwtRule& rule : object->rules) {
      if (!is_fetched(rule)) continue;
      if (wanted.size() >= kMostSets && !wanted.contains(rule.jwks_uri)) continue;
      wanted.insert(rule.jwks_uri);
      Set& set = sets_[rule.jwks_uri];
      const auto asked = rule.timeout ? std::chrono::milliseconds(*rule.timeout) : 5000ms;
      set.timeout = std::clamp<std::chrono::milliseconds>(asked, 1ms, kMostTimeout);
    }
  }
  std::erase_if(sets_, [&](const auto& set) { return !wanted.contains(set.first); });
}

std::optional<Keys::Fetch> Keys::next(Time now) {
  for (auto& [uri, set] : sets_) {
    if (set.under_way || set.due > now) continue;
    set.under_way = true;
    return Fetch{uri, set.timeout};
  }
  return {};
}

Time Keys::wake() const {
  Time wake = Time::max();
  for (const auto& [uri, set] : sets_) {
    if (!set.under_way) wake = std::min(wake, set.due);
  }
  return wake;
}

bool Keys::done(const std::string& uri, std::expected<std::string, std::string> answer, Time now) {
  const auto found = sets_.find(uri);
  if (found == sets_.end()) return false;  // nobody asks any more
  Set& set = found->second;
  set.under_way = false;
  if (answer) answer = read_key_set(*answer);
  if (answer) {
    set.failures = 0;
    set.problem.clear();
    set.due = now + kRefresh;
    set.good_until = now + kGood;
    return std::exchange(set.keys, *std::move(answer)) != set.keys;
  }
  set.problem = answer.error();
  const std::chrono::milliseconds wait = 1000ms * (1u << std::min(set.failures, 10u));
  set.due = now + std::min(wait, kMostWait);
  ++set.failures;
  if (set.keys.empty() || now < set.good_until) return false;
  set.keys.clear();
  return true;
}

std::shared_ptr<const World> Keys::fill(const std::shared_ptr<const World>& world) const {
  if (sets_.empty()) return world;
  Objects objects = world->objects();
  bool filled = false;
  for (const RequestAuthentication* object : world->all<RequestAuthentication>()) {
    auto copy = std::make_shared<manifest::Object>(*object);
    bool news = false;
    for (manifest::JwtRule& rule : std::get<RequestAuthentication>(*copy).rules) {
      const auto set = is_fetched(rule) ? sets_.find(rule.jwks_uri) : sets_.end();
      if (set == sets_.end() || set->second.keys.empty()) continue;
      rule.jwks = set->second.keys;
      news = true;
    }
    if (!news) continue;
    filled = true;
    objects.set({Kind::kRequestAuthentication, object->metadata.ns, object->metadata.name},
                std::move(copy));
  }
  return filled ? std::make_shared<const World>(world->with(std::move(objects))) : world;
}

std::vector<Keys::Status> Keys::statuses() const {
  std::vector<Status> all;
  for (const auto& [uri, set] : sets_) all.push_back({uri, !set.keys.empty(), set.problem});
  return all;
}

}  // namespace mesh::control::jwks
