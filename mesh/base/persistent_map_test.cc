#include "mesh/base/persistent_map.h"

#include <map>
#include <random>
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh {
namespace {

// Few different hashes, so that collisions and deep branches are met.
struct PoorHash {
  std::size_t operator()(int key) const { return static_cast<std::size_t>(key % 13); }
};

template <class Map>
std::map<int, int> contents(const Map& map) {
  std::map<int, int> result;
  map.for_each([&](int key, int value) { CHECK(result.emplace(key, value).second); });
  return result;
}

TEST_CASE("a persistent map is a map") {
  PersistentMap<int, int> map;
  CHECK(map.find(1) == nullptr);
  CHECK_FALSE(map.erase(1));
  map.set(1, 10);
  map.set(1, 11);
  map.set(2, 20);
  CHECK(map.size() == 2);
  CHECK(*map.find(1) == 11);
  CHECK(map.erase(1));
  CHECK(map.find(1) == nullptr);
  CHECK(*map.find(2) == 20);
  CHECK(map.erase(2));
  CHECK(map.empty());
}

// Random changes, compared with std::map after each; copies are taken on the way and must stay as
// they were.
template <class Map>
void compare_with_std_map(unsigned seed, int keys, int steps) {
  INFO("seed " << seed);
  std::mt19937 random(seed);
  Map map;
  std::map<int, int> expected;
  std::vector<std::pair<Map, std::map<int, int>>> copies;
  for (int step = 0; step < steps; ++step) {
    const int key = static_cast<int>(random() % static_cast<unsigned>(keys));
    if (random() % 3 != 0) {
      map.set(key, step);
      expected[key] = step;
    } else {
      CHECK(map.erase(key) == (expected.erase(key) == 1));
    }
    REQUIRE(map.size() == expected.size());
    if (step % (steps / 8) == 0) copies.emplace_back(map, expected);
  }
  CHECK(contents(map) == expected);
  for (int key = 0; key < keys; ++key) {
    const int* found = map.find(key);
    const auto wanted = expected.find(key);
    REQUIRE((found != nullptr) == (wanted != expected.end()));
    if (found != nullptr) CHECK(*found == wanted->second);
  }
  for (const auto& [copy, then] : copies) CHECK(contents(copy) == then);
}

TEST_CASE("a persistent map equals std::map, and its copies never change") {
  const unsigned seed = GENERATE(1u, 2u, 3u, 4u);
  compare_with_std_map<PersistentMap<int, int>>(seed, 50, 2'000);
  compare_with_std_map<PersistentMap<int, int>>(seed, 5'000, 20'000);
}

TEST_CASE("keys of equal hashes live side by side") {
  const unsigned seed = GENERATE(5u, 6u, 7u);
  compare_with_std_map<PersistentMap<int, int, PoorHash>>(seed, 200, 5'000);
}

TEST_CASE("a key may be looked up by another type") {
  struct TextHash {
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  PersistentMap<std::string, int, TextHash> map;
  map.set("one", 1);
  CHECK(*map.find(std::string_view("one")) == 1);
  CHECK(map.erase(std::string_view("one")));
}

}  // namespace
}  // namespace mesh
