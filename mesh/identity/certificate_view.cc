#include "mesh/identity/certificate_view.h"

#include <utility>

#include "mesh/identity/waiting.h"

namespace mesh::identity {

constexpr io::Duration kWantedInterval = std::chrono::seconds(1);

struct CertificateView::Impl {
  Impl(io::Ring& r, Wanted told) : ring(r), wanted(std::move(told)) {}
  void want(const net::SpiffeId& id, Slot& slot) {
    const io::TimePoint now = ring.now();
    if (!wanted || (slot.wanted && now - *slot.wanted < kWantedInterval)) return;
    slot.wanted = now;
    wanted(id);
  }

  io::Ring& ring;
  Wanted wanted;
  std::unordered_map<net::SpiffeId, std::shared_ptr<Slot>> slots;
};

CertificateView::CertificateView(io::Ring& ring, Wanted wanted)
    : impl_(std::make_unique<Impl>(ring, std::move(wanted))) {}

CertificateView::~CertificateView() {
  for (auto& [id, slot] : impl_->slots) slot->drop();
}

void CertificateView::update(const net::SpiffeId& id,
                             std::shared_ptr<const Certificate> certificate) {
  const auto known = impl_->slots.find(id);
  if (!certificate) {
    if (known == impl_->slots.end()) return;
    known->second->drop();
    impl_->slots.erase(known);
    return;
  }
  if (known != impl_->slots.end()) return known->second->set(std::move(certificate));
  auto slot = std::make_shared<Slot>(impl_->ring);
  slot->set(std::move(certificate));
  impl_->slots.emplace(id, std::move(slot));
}

std::shared_ptr<const Certificate> CertificateView::find(const net::SpiffeId& id) const {
  const auto known = impl_->slots.find(id);
  return known == impl_->slots.end() ? nullptr : known->second->valid_at(impl_->ring.wall_now());
}

io::Task<Result<std::shared_ptr<const Certificate>>> CertificateView::wait(net::SpiffeId id,
                                                                           io::Duration limit) {
  // The slot is made for the waiter when the store has not spoken of this identity yet: a pod's
  // first connection may be faster than its first certificate.
  std::shared_ptr<Slot>& place = impl_->slots[id];
  if (!place) place = std::make_shared<Slot>(impl_->ring);
  std::shared_ptr<Slot> slot = place;
  if (auto valid = slot->valid_at(impl_->ring.wall_now())) co_return valid;
  impl_->want(id, *slot);
  auto got = co_await wait_for(impl_->ring, slot, limit);
  // The last waiter for something that never came leaves no trace.
  const auto known = impl_->slots.find(id);
  if (known != impl_->slots.end() && known->second == slot && !slot->certificate &&
      slot.use_count() == 2) {
    impl_->slots.erase(known);
  }
  co_return got;
}

std::size_t CertificateView::size() const { return impl_->slots.size(); }

}  // namespace mesh::identity
