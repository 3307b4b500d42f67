#pragma once
// Election: a Lease at work on an Http. Who holds it writes; who lost it stops at once, also when
// its own threads were stopped meanwhile: held() looks at the clock.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "mesh/kube/http.h"
#include "mesh/kube/lease.h"

namespace mesh::kube {

class Election : public std::enable_shared_from_this<Election> {
 public:
  struct Health {
    bool held = false;
    std::string holder;  // as last seen; empty: nobody
    std::string problem;
    std::uint64_t failures = 0;
  };

  // `changed` is called on the thread of `http` when we won or lost it; begin with run(). `http`
  // must outlive this.
  Election(Http& http, Lease::Options options, std::function<void(bool held)> changed);

  // From any thread.
  void run();
  bool held() const;
  Health health() const;
  // From any thread but that of Http: gives it back, and waits for the server's word for 3 s.
  void release();

 private:
  void step();
  void note();

  Http& http_;
  const std::function<void(bool)> changed_;
  std::atomic<std::int64_t> held_until_{0};  // of the steady clock
  mutable std::mutex mutex_;
  Lease lease_;  // under mutex_
  bool told_ = false;
};

// A name that no other process ever has: `base` and 128 random bits.
std::string unique_identity(const std::string& base);

}  // namespace mesh::kube
