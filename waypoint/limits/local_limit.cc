#include "waypoint/limits/local_limit.h"

#include <algorithm>

namespace mesh::waypoint::limits {

namespace {

using config::RateLimitAction;

// None: this action yields nothing, and so its descriptor is not made. An empty pair: it yields
// nothing and is skipped.
std::optional<std::pair<std::string, std::string>> entry(const RateLimitAction& action,
                                                         const DescriptorContext& context) {
  const auto pair = [](std::string_view key, std::string_view value) {
    return std::pair(std::string(key), std::string(value));
  };
  switch (action.kind) {
    case RateLimitAction::Kind::kSourceCluster:
      return pair("source_cluster", context.source_cluster);
    case RateLimitAction::Kind::kDestinationCluster:
      return pair("destination_cluster", context.destination_cluster);
    case RateLimitAction::Kind::kRemoteAddress:
      return pair("remote_address", context.remote.to_string());
    case RateLimitAction::Kind::kGenericKey:
      return pair(action.key.empty() ? "generic_key" : action.key, action.value);
    case RateLimitAction::Kind::kRequestHeader: {
      const auto text = http::header_text(*context.request, action.header);
      if (text.present()) return pair(action.key, text.text());
      return action.skip_if_absent ? std::optional(pair("", "")) : std::nullopt;
    }
    case RateLimitAction::Kind::kHeaderValueMatch: {
      const bool all = std::ranges::all_of(action.headers, [&](const config::HeaderMatch& match) {
        return match.holds_for(http::header_text(*context.request, match.name).value());
      });
      if (all != action.expect_match) return std::nullopt;
      return pair(action.key.empty() ? "header_match" : action.key, action.value);
    }
    case RateLimitAction::Kind::kMaskedRemoteAddress: {
      const unsigned mask = context.remote.is_v4() ? action.mask_v4 : action.mask_v6;
      const auto block = net::Cidr::make(context.remote, mask);
      if (!block) return std::nullopt;
      return pair("masked_remote_address", block->to_string());
    }
    case RateLimitAction::Kind::kMetadata: {
      const http::Value* found =
          context.metadata == nullptr ? nullptr : context.metadata->at(action.metadata);
      const bool text = found != nullptr && found->kind == http::Value::Kind::kString;
      if (text && !found->text.empty()) return pair(action.key, found->text);
      if (!action.value.empty()) return pair(action.key, action.value);
      return action.skip_if_absent ? std::optional(pair("", "")) : std::nullopt;
    }
  }
  return std::nullopt;
}

// Tokens a second.
double rate(const TokenBucket* bucket) {
  const auto& [max, fill, interval] = bucket->settings();
  return fill / std::chrono::duration<double>(interval).count();
}

}  // namespace

TokenBucket::TokenBucket(const config::TokenBucket& settings, Time now)
    : settings_(settings), tokens_(settings.max_tokens), filled_at_(now) {}

void TokenBucket::fill(Time now) {
  const Time interval = settings_.fill_interval;
  if (interval.count() <= 0 || now < filled_at_ + interval) return;
  const auto intervals = static_cast<std::uint64_t>((now - filled_at_) / interval);
  filled_at_ += interval * static_cast<Time::rep>(intervals);
  const std::uint64_t room = settings_.max_tokens - tokens_;
  const std::uint64_t per = std::max<std::uint64_t>(settings_.tokens_per_fill, 1);
  tokens_ += intervals > room / per ? static_cast<std::uint32_t>(room)
                                    : static_cast<std::uint32_t>(intervals * per);
}

bool TokenBucket::take(Time now) {
  fill(now);
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

std::uint32_t TokenBucket::tokens(Time now) {
  fill(now);
  return tokens_;
}

Time TokenBucket::wait(Time now) {
  fill(now);
  return tokens_ > 0 ? Time(0) : filled_at_ + settings_.fill_interval - now;
}

std::vector<Descriptor> descriptors(std::span<const config::RateLimitDescriptor> rules,
                                    std::uint32_t stage, const DescriptorContext& context) {
  std::vector<Descriptor> made;
  for (const config::RateLimitDescriptor& rule : rules) {
    if (rule.stage != stage) continue;
    Descriptor one;
    bool whole = true;
    for (const RateLimitAction& action : rule.actions) {
      auto pair = entry(action, context);
      if (!pair) {
        whole = false;
        break;
      }
      if (!pair->first.empty()) one.push_back(*std::move(pair));
    }
    if (whole && !one.empty()) made.push_back(std::move(one));
  }
  return made;
}

LocalLimiter::LocalLimiter(const config::LocalRateLimit& settings, Time now) : settings_(settings) {
  if (settings_.bucket) whole_.emplace(*settings_.bucket, now);
  for (const auto& descriptor : settings_.descriptors) {
    by_descriptor_.emplace_back(descriptor.bucket, now);
  }
}

LimitResult LocalLimiter::decide(std::span<const Descriptor> asked, Time now, http::Dice& dice) {
  if (!settings_.enabled.hit(dice.roll())) return LimitResult::kOff;
  std::vector<TokenBucket*> taken;
  for (std::size_t i = 0; i < by_descriptor_.size(); ++i) {
    if (std::ranges::find(asked, settings_.descriptors[i].entries) == asked.end()) continue;
    taken.push_back(&by_descriptor_[i]);
  }
  // The slowest first: what it refuses costs the others nothing.
  std::ranges::sort(taken, {}, rate);
  bool within = std::ranges::all_of(taken, [now](TokenBucket* one) { return one->take(now); });
  if (within && whole_) within = whole_->take(now);
  if (within) return LimitResult::kWithin;
  return settings_.enforced.hit(dice.roll()) ? LimitResult::kOver : LimitResult::kOverNoted;
}

}  // namespace mesh::waypoint::limits
