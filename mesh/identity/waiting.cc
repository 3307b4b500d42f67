#include "mesh/identity/waiting.h"

#include "mesh/io/timer.h"

namespace mesh::identity {
namespace {

io::Task<Result<std::shared_ptr<const Certificate>>> wait_without_limit(io::Ring& ring,
                                                                        Slot& slot) {
  for (;;) {
    slot.changed.reset();
    if (slot.dropped) co_return failed(Reason::kNoIdentity, "certificate");
    if (auto valid = slot.valid_at(ring.wall_now())) co_return valid;
    CO_TRY_DO(co_await slot.changed.wait());
  }
}

}  // namespace

io::Task<Result<std::shared_ptr<const Certificate>>> wait_for(io::Ring& ring,
                                                              std::shared_ptr<Slot> slot,
                                                              io::Duration limit) {
  auto got =
      co_await io::with_deadline(ring, limit, "certificate", wait_without_limit(ring, *slot));
  if (!got && got.error().reason == Reason::kTimedOut) {
    co_return failed(Reason::kNoIdentity, "certificate");
  }
  co_return got;
}

}  // namespace mesh::identity
