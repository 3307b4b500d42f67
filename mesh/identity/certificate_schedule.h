#pragma once
// CertificateSchedule: which certificate to ask for next, and when. Pure: times and events in, the
// next step out. certificate_store.h does what it says.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>

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

class CertificateSchedule {
 public:
  using Random = std::function<std::uint64_t()>;
  CertificateSchedule(ScheduleOptions options, Random random);

  // A local user more of this identity. False: beyond identities_max. An identity that is new is
  // due at once; a higher priority overtakes in the queue.
  bool add_user(const net::SpiffeId& id, Priority priority);
  // A user less; true when it was the last one, and the identity is forgotten.
  bool remove_user(const net::SpiffeId& id);
  // Somebody waits for it now: overtakes in the queue, and shortens a long wait between retries.
  void wanted_now(const net::SpiffeId& id, io::TimePoint now);

  // What the certificate of `id` has left by the wall clock, looked at again: when that clock was
  // set forward, a refresh planned for well beyond half of what is left is due at once.
  void observe(const net::SpiffeId& id, io::TimePoint now, io::Duration left);

  // One request that was begun. The number tells it from a later one for the same identity.
  struct Fetch {
    std::uint64_t number = 0;
    net::SpiffeId id;
  };
  // The next fetch to begin at `now`: highest priority first, then first come. None when nothing is
  // due or concurrent_max run. Counts as begun until fetched() or failed().
  std::optional<Fetch> next(io::TimePoint now);
  // When to call next() again, if nothing else happens. None: nothing is planned before a fetch
  // ends or a user comes.
  std::optional<io::TimePoint> wake_at() const;

  // How a fetch ended. False: nobody wants it any more (its last user left). `life` is what
  // the certificate has left now (not since its notBefore, which CAs put into the past). A refresh
  // is planned for half of it, earlier by up to a tenth at random; a retry after retry_first,
  // doubled each time up to retry_max, ±20 % at random, and never later than a quarter of what is
  // left of the certificate in hand.
  bool fetched(const Fetch& fetch, io::TimePoint now, io::Duration life);
  bool failed(const Fetch& fetch, io::TimePoint now);

  std::size_t size() const { return entries_.size(); }
  std::size_t running() const { return running_.size(); }
  bool known(const net::SpiffeId& id) const { return entries_.contains(id); }
  std::size_t users(const net::SpiffeId& id) const;
  unsigned failures(const net::SpiffeId& id) const;  // in a row

 private:
  struct Entry {
    std::size_t users = 0;
    Priority priority = Priority::kBackground;
    std::uint64_t order = 0;
    std::uint64_t fetch = 0;  // the one that runs, or 0
    io::TimePoint due{};
    unsigned failures = 0;
    std::optional<io::TimePoint> expires;
  };
  Entry* finish(const Fetch& fetch);
  io::Duration jittered(io::Duration base);

  ScheduleOptions options_;
  Random random_;
  std::map<net::SpiffeId, Entry> entries_;
  std::set<std::uint64_t> running_;
  std::uint64_t fetches_ = 0;
  std::uint64_t arrivals_ = 0;
};

}  // namespace mesh::identity
