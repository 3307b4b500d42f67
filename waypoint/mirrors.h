#pragma once
// Mirrors: copies of requests, sent and forgotten. Whatever becomes of one, the request that it is
// a copy of does not hear of it.

#include <cstdint>
#include <string>
#include <string_view>

#include "mesh/io/task_scope.h"
#include "waypoint/callout.h"

namespace mesh::waypoint {

// "cart-shadow", "cart-shadow:8080"
std::string shadow_of(std::string_view authority);

// Threads: those of its ring. Limits: kUnderWayMax at once; a body that is kept for a copy is as
// long as one that is kept for another try. Beyond either there is no copy, and that is counted.
class Mirrors {
 public:
  static constexpr std::size_t kUnderWayMax = 256;
  struct Counts {
    std::uint64_t sent = 0;     // answered, whatever the answer
    std::uint64_t failed = 0;   // no answer
    std::uint64_t dropped = 0;  // never sent
  };

  explicit Mirrors(RingContext& context) : context_(context) {}

  // `timeout`: zero: the longest that a callout may take.
  void send(config::SnapshotPtr snapshot, const config::Mirror& to, http::Request request,
            std::string body, io::Duration timeout);
  void drop() { ++counts_.dropped; }
  const Counts& counts() const { return counts_; }

  // Ends what is under way and joins it.
  io::Task<void> close();

 private:
  io::Task<void> run(config::SnapshotPtr snapshot, HttpCall call);

  RingContext& context_;
  io::TaskScope scope_;
  std::size_t under_way_ = 0;
  Counts counts_;
};

}  // namespace mesh::waypoint
