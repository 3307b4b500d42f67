#pragma once
// RemoteKeys: key sets of token issuers that are fetched over HTTP, of one ring. When to fetch is
// jwt::FetchedKeys' business; here it is done, once at a time for each place, through the cluster
// that the configuration names.
//
// Limits: kMax places (those that were asked for least lately go, or nothing is fetched);
// jwt::kMaxKeySetBytes an answer; kTimeoutMax for it.

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "mesh/io/event.h"
#include "mesh/io/task_scope.h"
#include "waypoint/config/model.h"
#include "waypoint/jwt/fetched_keys.h"

namespace mesh::waypoint {

struct RingContext;

// Threads: those of its ring. Borrows `context`. close() before it goes.
class RemoteKeys {
 public:
  static constexpr std::size_t kMax = 256;
  static constexpr io::Duration kTimeoutMax = std::chrono::seconds(30);

  explicit RemoteKeys(RingContext& context);
  ~RemoteKeys();

  // What is known now; begins a fetch where one is due. Null: nothing that may still be used.
  jwt::KeysPtr keys(const config::RemoteJwks& from);
  // Waits for the fetch under way, if there is one.
  io::Task<void> settled(const config::RemoteJwks& from);
  // A token named a key that is not there: fetches again, not too often.
  void unknown_key(const config::RemoteJwks& from);
  // Begins to fetch what the snapshot wants ahead of use.
  void prepare(const config::Snapshot& snapshot);
  io::Task<void> close();

  struct Counts {
    std::uint64_t fetched = 0, failed = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Place;
  using PlacePtr = std::shared_ptr<Place>;

  PlacePtr place(const config::RemoteJwks& from);  // null: too many
  void begin(const PlacePtr& place);
  io::Task<void> fetch(PlacePtr place);
  jwt::FetchedKeys::Time now() const;

  RingContext& context_;
  std::map<std::string, PlacePtr, std::less<>> places_;
  io::TaskScope fetching_;
  Counts counts_;
};

}  // namespace mesh::waypoint
