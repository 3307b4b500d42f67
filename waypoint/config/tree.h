#pragma once
// Tree: a resource as canonical protobuf JSON, that remembers what of it was read. What a decoder
// did not read, it did not honour: so nothing is forgotten by forgetting it.
//
// Input: the decoding of one resource. Problems stick: the first one is kept with its path, and
// decoding goes on to no effect.

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "waypoint/config/model.h"

namespace mesh::waypoint::config {

class Tree {
 public:
  enum class Kind : std::uint8_t { kNull, kBool, kNumber, kText, kList, kObject };

  // Null: not JSON, or nested deeper than kMaxDepth, or more than kMaxNodes values.
  static std::unique_ptr<Tree> parse(std::string_view json);
  static constexpr int kMaxDepth = 256;
  static constexpr std::size_t kMaxNodes = 4'000'000;

  Kind kind = Kind::kNull;
  bool boolean = false;
  std::string text = {};   // kText; kNumber: as written
  std::string label = {};  // its name or index in `parent`
  const Tree* parent = nullptr;
  std::vector<std::unique_ptr<Tree>> children = {};

  // Null: absent. Marks it as read.
  const Tree* find(std::string_view name) const;
  bool has(std::string_view name) const;
  // "filterChains[0].filters[1].typedConfig"
  std::string path() const;
  // Of an Any: the message's full name, "envoy.extensions.filters.http.rbac.v3.RBAC".
  std::string_view any_type() const;

  mutable bool read = false;
  mutable bool whole = false;   // everything in it counts as read
  mutable bool secure = false;  // what is not read in it is a problem

 private:
  const Tree* peek(std::string_view name) const;
};

class Input {
 public:
  // Keeps the first problem.
  void refuse(const Tree& at, std::string_view what);
  bool ok() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  // Takes the problem, and is ok() again: what had it is refused by itself.
  std::string take_problem();

  // Not honoured, and told so, though it was read.
  void note(const Tree& at, std::string_view what);
  // All of it is looked at, or means nothing here.
  static void overlook(const Tree* at);
  static void overlook(const Tree& at, std::initializer_list<std::string_view> names);
  // From here down everything must be honoured.
  static void secure(const Tree& at) { at.secure = true; }

  // Absent is the default of each. The wrong kind, or more than the limit, is refused.
  std::string text(const Tree& at, std::string_view name, std::size_t limit = kMaxText);
  bool flag(const Tree& at, std::string_view name, bool otherwise = false);
  std::uint64_t number(const Tree& at, std::string_view name, std::uint64_t otherwise = 0,
                       std::uint64_t most = 0xffff'ffff);
  std::int64_t signed_number(const Tree& at, std::string_view name);
  double real(const Tree& at, std::string_view name, double otherwise = 0);
  std::optional<std::chrono::milliseconds> duration(const Tree& at, std::string_view name);
  std::chrono::milliseconds duration(const Tree& at, std::string_view name,
                                     std::chrono::milliseconds otherwise);
  const Tree* object(const Tree& at, std::string_view name);
  std::vector<const Tree*> list(const Tree& at, std::string_view name);
  std::vector<std::string> texts(const Tree& at, std::string_view name);
  // Children with their labels as keys.
  std::vector<const Tree*> map(const Tree& at, std::string_view name);
  // Which of these is there. Empty: none. Several: refused.
  std::string_view one_of(const Tree& at, std::initializer_list<std::string_view> names);
  // A value by its name in `names`, else refused; absent is the first.
  std::size_t choice(const Tree& at, std::string_view name,
                     std::initializer_list<std::string_view> names);

  // The same for a part, now: what is left of it is noted, and it is done with.
  void settle(const Tree& part);
  // Everything below `root` that nobody read: secure places become the problem, others a list.
  std::vector<NotHonoured> leftovers(const Tree& root, std::string_view resource);

  static constexpr std::size_t kMaxText = 65'536;
  static constexpr std::size_t kMaxLeftovers = 256;

 private:
  void walk(const Tree& at, bool secure, std::string_view resource,
            std::vector<NotHonoured>& found);
  std::optional<std::string> scalar(const Tree& at, std::string_view name);

  std::string problem_;
  std::vector<std::string> notes_;
};

}  // namespace mesh::waypoint::config
