#pragma once
// WriteQueue: what one replica has to write, for as long as it holds the Lease. The rest of control
// says over and over what should be different; the queue sees to it that each thing is written
// once, not too often, and not at all when the Lease is gone.
//
//   - one write of a key at a time; what is put meanwhile takes the place of what waits
//   - the same text is not written twice within 5 s: the copy that it was derived from may be older
//     than the write. Afterwards it is: somebody else has changed the object
//   - a key that is written again and again waits longer each time, up to 8 s; one that fails, up
//     to 60 s. Two who disagree about an object do not keep the server busy
//   - 8 writes at once, 50 a second
//
// Threads: that of Http only, but for counters() and problems().

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "mesh/kube/backoff.h"
#include "mesh/kube/http.h"
#include "mesh/kube/write.h"
#include "mesh/telemetry/log.h"

namespace mesh::control::kubernetes {

struct Write {
  std::string verb;  // as RBAC calls it
  kube::Target target;
  std::string subresource = {};  // in logs: "status"
  kube::HttpRequest request = {};

  std::string key() const { return target.to_string() + "/" + subresource; }
};

class WriteQueue : public std::enable_shared_from_this<WriteQueue> {
 public:
  using Clock = std::chrono::steady_clock;

  // `may_write` is asked before every single write. `again` is called when something that failed
  // may be tried again: whoever put it looks whether it is still to be written, and how.
  WriteQueue(kube::Http& http, telemetry::Log& log, std::function<bool()> may_write,
             std::function<void()> again);

  void put(Write write);
  // Forgets what waits.
  void clear();

  struct Counters {
    std::uint64_t written = 0, conflicts = 0, failed = 0;
  };
  Counters counters() const;
  // The last failure of each key that fails now.
  std::vector<std::string> problems() const;

 private:
  struct Key {
    kube::Backoff success{std::chrono::milliseconds(500), std::chrono::seconds(8), 1};
    kube::Backoff failure{std::chrono::seconds(1), std::chrono::seconds(60), 1};
    Clock::time_point not_before{};
    Clock::time_point written_at{};
    std::size_t written = 0;  // a hash of the last text that the server took
    std::unique_ptr<Write> waiting;
    bool open = false;
  };

  void run();
  void start(const std::string& name, Key& key);
  void done(const std::string& name, const Write& write, const kube::Http::Answer& answer);
  void wake(Clock::time_point when);
  void forget_old(Clock::time_point now);

  kube::Http& http_;
  telemetry::Log& log_;
  const std::function<bool()> may_write_;
  const std::function<void()> again_;
  std::map<std::string, Key> keys_;
  std::set<std::string> waiting_;  // the names of those that have something to write
  Clock::time_point wake_ = Clock::time_point::max();
  std::size_t open_ = 0;
  Clock::time_point second_{};
  unsigned this_second_ = 0;
  mutable std::mutex mutex_;  // of what others look at
  Counters counters_;
  std::map<std::string, std::string> problems_;
};

}  // namespace mesh::control::kubernetes
