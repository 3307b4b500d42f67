#pragma once
// Dice: the randomness that decisions are given. Seeded, so that tests and simulations repeat
// themselves; not for secrets.

#include <cstdint>

namespace mesh::waypoint::http {

// splitmix64 (Steele, Lea and Flood, 2014).
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  // Uniform over all of uint64.
  std::uint64_t roll() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Uniform over [0, n); 0 for n of 0. (The bias of multiplication is below 2^-32 for every n
  // here.)
  std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(roll()) * n) >> 64);
  }
  // Uniform over [0, 1).
  double unit() { return static_cast<double>(roll() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace mesh::waypoint::http
