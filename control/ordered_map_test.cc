#include "control/ordered_map.h"

#include <map>
#include <random>
#include <string>

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

using Map = OrderedMap<std::string, int>;
using Plain = std::map<std::string, int>;

Plain plain(const Map& map) {
  Plain all;
  for (const auto& [key, value] : map) {
    if (!all.empty()) CHECK(all.rbegin()->first < key);
    all.emplace(key, value);
  }
  CHECK(all.size() == map.size());
  return all;
}

struct Change {
  bool before = false, after = false;
};

}  // namespace

TEST_CASE("an OrderedMap does what std::map does, and its copies stay as they were") {
  std::mt19937 random(7);
  Map map;
  Plain model;
  std::vector<std::pair<Map, Plain>> copies;
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = std::to_string(random() % 3'000);
    // Grows, then shrinks to nothing much.
    if (random() % 10 < (i < 10'000 ? 8u : 2u)) {
      map.set(key, i);
      model[key] = i;
    } else {
      CHECK(map.erase(key) == (model.erase(key) == 1));
    }
    if (i % 2'500 == 0) copies.emplace_back(map, model);
  }
  CHECK(plain(map) == model);
  for (const auto& [copy, then] : copies) CHECK(plain(copy) == then);
  for (int i = 0; i < 3'000; ++i) {
    const std::string key = std::to_string(i);
    const auto found = map.find(key);
    CHECK((found == map.end()) == !model.contains(key));
    const auto bound = map.lower_bound(key);
    const auto expected = model.lower_bound(key);
    REQUIRE((bound == map.end()) == (expected == model.end()));
    if (bound != map.end()) CHECK(bound->first == expected->first);
  }
}

TEST_CASE("what differs between two OrderedMaps is found, whatever was between them") {
  std::mt19937 random(11);
  Map map;
  std::vector<Map> states{map};
  for (int i = 0; i < 6'000; ++i) {
    const std::string key = std::to_string(random() % 2'000);
    if (random() % 3 != 0) {
      map.set(key, static_cast<int>(random() % 4));
    } else {
      map.erase(key);
    }
    if (random() % 300 == 0) states.push_back(map);
  }
  for (const Map& before : states) {
    for (const Map& after : states) {
      Plain made = plain(before);
      Map::diff(before, after, [&](const std::string& key, const int* old, const int* now) {
        CHECK((old != nullptr) == made.contains(key));
        if (old != nullptr && now != nullptr) CHECK(*old != *now);
        if (now == nullptr) made.erase(key);
        if (now != nullptr) made[key] = *now;
      });
      CHECK(made == plain(after));
    }
  }
}

namespace {

struct Counted {  // compared: counted
  int value = 0;
  static inline int compared = 0;
  friend bool operator==(const Counted& a, const Counted& b) {
    ++compared;
    return a.value == b.value;
  }
};

}  // namespace

TEST_CASE("one change of 100 000 is found by looking at its neighbours only") {
  OrderedMap<int, Counted> before;
  for (int i = 0; i < 100'000; ++i) before.set(i, {i});
  auto after = before;
  after.set(50'000, {1});
  after.erase(70'000);
  after.set(200'000, {1});
  Counted::compared = 0;
  int changes = 0;
  OrderedMap<int, Counted>::diff(before, after,
                                 [&](int, const Counted*, const Counted*) { ++changes; });
  CHECK(changes == 3);
  CHECK(Counted::compared <= 3 * 128);
}

}  // namespace mesh::control
