#pragma once
// CertificateSchedule: which certificate to ask for next, and when. Pure: times and events in, the
// next step out. certificate_store.h does what it says.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "mesh/io/ring.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::identity {

enum class Priority : std::uint8_t { kBackground, kWarmup, kRealTime };

struct ScheduleOptions {
  std::size_t concurrent_max = 8;
  io::Duration retry_first = std::chrono::seconds(1);
  io::Duration retry_max = std::chrono::seconds(150);
  std::size_t identities_max = 65536;
};

// Validity as received, and on which clock the life left is counted.
struct Lifetime {
  io::Duration total;  // not_after - not_before
  io::Duration left;   // not_after - now, at the time it was received
};

class CertificateSchedule {
 public:
  using Random = std::function<std::uint64_t()>;
  CertificateSchedule(ScheduleOptions options, Random random);

  // A local user more of this identity. False: beyond identities_max. An identity that is new is due
  // at once; a higher priority overtakes in the queue.
  bool add_user(const net::SpiffeId& id, Priority priority);
  // A user less; true when it was the last one, and the identity is forgotten. A fetch under way for
  // it still reports fetched() or failed(), which are then ignored.
  bool remove_user(const net::SpiffeId& id);
  // Somebody waits for it now: overtakes in the queue, and shortens a long wait between retries.
  void wanted_now(const net::SpiffeId& id, io::TimePoint now);

  // The next fetch to begin at `now`: highest priority first, then first come. None when nothing is
  // due or concurrent_max run. Counts as begun.
  std::optional<net::SpiffeId> next(io::TimePoint now);
  // When to call next() again, if nothing else happens. None: nothing is planned.
  std::optional<io::TimePoint> wake_at() const;

  // How a fetch ended. A refresh is planned for half of the life, earlier by up to a tenth at random;
  // a retry after retry_first, doubled each time up to retry_max, but never later than a quarter of
  // what is left of the certificate in hand; ±20 % at random.
  void fetched(const net::SpiffeId& id, io::TimePoint now, Lifetime lifetime);
  void failed(const net::SpiffeId& id, io::TimePoint now);

  std::size_t size() const { return entries_.size(); }
  std::size_t running() const { return running_; }

 private:
  struct Entry {
    std::size_t users = 0;
    Priority priority = Priority::kBackground;
    std::uint64_t order = 0;
    bool running = false;
    io::TimePoint due;
    unsigned failures = 0;
    std::optional<io::TimePoint> expires;
    bool expires_soon = false;
  };
  io::Duration jittered(io::Duration base, unsigned percent);

  ScheduleOptions options_;
  Random random_;
  std::map<net::SpiffeId, Entry> entries_;
  std::size_t running_ = 0;
  std::uint64_t arrivals_ = 0;
};

}  // namespace mesh::identity
