#pragma once
// A place for one identity's certificate, and waiting for it to be filled. Internal to
// mesh/identity: the store and each view have a table of these.

#include <memory>
#include <optional>

#include "mesh/base/result.h"
#include "mesh/identity/certificate.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::identity {

// Shared with those who wait, so that dropping it from the table does not pull it from under them.
struct Slot {
  explicit Slot(io::Ring& ring) : changed(ring) {}

  void set(std::shared_ptr<const Certificate> next) {
    certificate = std::move(next);
    changed.set();
  }
  // Its last user left: waiters fail.
  void drop() {
    dropped = true;
    certificate = nullptr;
    changed.set();
  }
  // Null when there is none that may be used.
  std::shared_ptr<const Certificate> valid_at(io::WallTime now) const {
    return certificate && certificate->valid_at(now) ? certificate : nullptr;
  }

  std::shared_ptr<const Certificate> certificate;
  bool dropped = false;
  std::optional<io::TimePoint> wanted;  // when the store was last told so, by a view
  io::Event changed;
};

// Errors: kNoIdentity (dropped, or the time is up), kCancelled.
io::Task<Result<std::shared_ptr<const Certificate>>> wait_for(io::Ring& ring,
                                                              std::shared_ptr<Slot> slot,
                                                              io::Duration limit);

}  // namespace mesh::identity
