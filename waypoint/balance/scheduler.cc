#include "waypoint/balance/scheduler.h"

#include <algorithm>
#include <cmath>

#include "waypoint/http/xxhash.h"

namespace mesh::waypoint::balance {

void Edf::push(std::uint32_t host, double weight) {
  constexpr double kSmallest = 1e-6;
  heap_.push_back(
      {.deadline = now_ + 1.0 / std::max(weight, kSmallest), .order = order_++, .host = host});
  std::ranges::push_heap(heap_, later);
}

void Edf::add(std::uint32_t host, double weight) { push(host, weight); }

std::uint32_t Edf::next(const std::function<double(std::uint32_t)>& weight_now) {
  std::ranges::pop_heap(heap_, later);
  const Entry entry = heap_.back();
  heap_.pop_back();
  now_ = entry.deadline;
  push(entry.host, weight_now(entry.host));
  return entry.host;
}

void Edf::clear() {
  heap_.clear();
  now_ = 0;
}

Ring::Ring(std::span<const WeightedKey> hosts, std::uint64_t min, std::uint64_t max) {
  double total = 0;
  double least = 0;
  for (const WeightedKey& host : hosts) {
    if (host.weight == 0) continue;
    total += host.weight;
    least = least == 0 ? host.weight : std::min(least, static_cast<double>(host.weight));
  }
  if (total == 0) return;
  // The smallest host gets a whole number of entries.
  const double least_share = least / total;
  const double scale = std::min(std::ceil(least_share * static_cast<double>(min)) / least_share,
                                static_cast<double>(max));
  entries_.reserve(static_cast<std::size_t>(std::ceil(scale)));
  double target = 0;
  double made = 0;
  for (const WeightedKey& host : hosts) {
    if (host.weight == 0) continue;
    target += scale * host.weight / total;
    std::string name = host.key + "_";
    const std::size_t stem = name.size();
    for (std::uint64_t i = 0; made < target; ++i, ++made) {
      name.resize(stem);
      name += std::to_string(i);
      entries_.push_back({.hash = http::xxhash64(name), .host = host.host});
    }
  }
  std::ranges::sort(entries_, {},
                    [](const Entry& entry) { return std::pair(entry.hash, entry.host); });
}

std::uint32_t Ring::choose(std::uint64_t hash, std::uint32_t attempt) const {
  const auto found = std::ranges::lower_bound(entries_, hash, {}, &Entry::hash);
  auto index = static_cast<std::size_t>(found - entries_.begin());
  if (index == entries_.size()) index = 0;
  return entries_[(index + attempt) % entries_.size()].host;
}

Maglev::Maglev(std::span<const WeightedKey> hosts, std::uint64_t size) {
  constexpr std::uint32_t kFree = 0xffffffff;
  struct Builder {
    const WeightedKey* host = nullptr;
    std::uint64_t offset = 0;
    std::uint64_t skip = 1;
    std::uint64_t next = 0;
    double target = 0;
  };
  std::vector<Builder> builders;
  double most = 0;
  for (const WeightedKey& host : hosts) {
    if (host.weight == 0) continue;
    most = std::max(most, static_cast<double>(host.weight));
    builders.push_back({.host = &host,
                        .offset = http::xxhash64(host.key) % size,
                        .skip = http::xxhash64(host.key, 1) % (size - 1) + 1});
  }
  if (builders.empty()) return;
  table_.assign(size, kFree);
  std::uint64_t filled = 0;
  for (double round = 1; filled < size; ++round) {
    for (Builder& builder : builders) {
      // A host of half the weight takes a turn every other round.
      if (round * builder.host->weight < builder.target) continue;
      builder.target += most;
      std::uint64_t slot = 0;
      do {
        slot = (builder.offset + builder.skip * builder.next++) % size;
      } while (table_[slot] != kFree);
      table_[slot] = builder.host->host;
      if (++filled == size) break;
    }
  }
}

std::uint32_t Maglev::choose(std::uint64_t hash, std::uint32_t attempt) const {
  if (attempt > 0) hash ^= ~std::uint64_t{0} - attempt + 1;
  return table_[hash % table_.size()];
}

bool is_prime(std::uint64_t number) {
  if (number < 2) return false;
  for (std::uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return true;
}

}  // namespace mesh::waypoint::balance
