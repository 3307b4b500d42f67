#pragma once
// Ways to choose one of several hosts of the same standing. Values in, index out.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "waypoint/http/dice.h"

namespace mesh::waypoint::balance {

// Earliest deadline first: each host as often as its weight says, evenly spread (Envoy's weighted
// round robin). Cost: logarithmic.
class Edf {
 public:
  // A weight of 0 counts as the smallest there is.
  void add(std::uint32_t host, double weight);
  // The next host, which is put back with the weight that it has by now. Not when empty().
  std::uint32_t next(const std::function<double(std::uint32_t)>& weight_now);
  bool empty() const { return heap_.empty(); }
  void clear();

 private:
  struct Entry {
    double deadline = 0;
    std::uint64_t order = 0;  // ties: first come, first served
    std::uint32_t host = 0;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline > b.deadline : a.order > b.order;
  }
  void push(std::uint32_t host, double weight);

  std::vector<Entry> heap_;
  double now_ = 0;
  std::uint64_t order_ = 0;
};

struct WeightedKey {
  std::uint32_t host = 0;
  std::uint32_t weight = 1;
  std::string key = {};
};

// Consistent hashing on a ring (ketama, as Envoy builds it): a host that goes or comes moves only
// its own share of the hashes.
class Ring {
 public:
  Ring() = default;
  // Every host has entries in proportion to its weight, the smallest at least one; `min` entries in
  // all, or more where weights need them, `max` at most.
  Ring(std::span<const WeightedKey> hosts, std::uint64_t min, std::uint64_t max);
  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  // `attempt`: how many hosts were passed over before.
  std::uint32_t choose(std::uint64_t hash, std::uint32_t attempt) const;

 private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t host = 0;
  };
  std::vector<Entry> entries_;
};

// Consistent hashing by a table (Maglev, section 3.4 of the paper, weights as Envoy does it).
class Maglev {
 public:
  Maglev() = default;
  // `size`: a prime.
  Maglev(std::span<const WeightedKey> hosts, std::uint64_t size);
  bool empty() const { return table_.empty(); }
  std::uint32_t choose(std::uint64_t hash, std::uint32_t attempt) const;

 private:
  std::vector<std::uint32_t> table_;
};

bool is_prime(std::uint64_t number);

}  // namespace mesh::waypoint::balance
