#include "mesh/identity/certificate_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/identity/waiting.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"
#include "mesh/tls/key.h"

namespace mesh::identity {
namespace {

// The wall clock may be set: however far away the next step is, look at it again this often.
constexpr io::Duration kLookAgain = std::chrono::seconds(30);

}  // namespace

std::string_view certificate_state_name(CertificateState state) {
  switch (state) {
    case CertificateState::kInitializing:
      return "Initializing";
    case CertificateState::kAvailable:
      return "Available";
    case CertificateState::kUnavailable:
      return "Unavailable";
  }
  return "";
}

struct CertificateStore::Impl {
  struct Entry {
    std::shared_ptr<Slot> slot;
    std::string last_error{};
    bool expiry_seen = false;
  };

  Impl(io::Ring& r, Issuer& i, StoreOptions o, Publish p, Log l)
      : ring(r),
        issuer(i),
        options(o),
        publish(std::move(p)),
        log(std::move(l)),
        schedule(o.schedule, [&r] { return r.random(); }),
        work(r) {}

  io::Task<void> fetch(CertificateSchedule::Fetch fetch);
  io::Task<Result<std::shared_ptr<const Certificate>>> request(net::SpiffeId id);
  void fetched(const CertificateSchedule::Fetch& fetch, std::shared_ptr<const Certificate> got);
  void failed_to_fetch(const CertificateSchedule::Fetch& fetch, const Error& error);
  io::Duration look_at_clock();

  io::Ring& ring;
  Issuer& issuer;
  StoreOptions options;
  Publish publish;
  Log log;
  CertificateSchedule schedule;
  std::map<net::SpiffeId, Entry> entries;
  io::Event work;
  CertificateCounters counters;
};

CertificateStore::CertificateStore(io::Ring& ring, Issuer& issuer, StoreOptions options,
                                   Publish publish, Log log)
    : impl_(std::make_unique<Impl>(ring, issuer, options, std::move(publish), std::move(log))) {}

CertificateStore::~CertificateStore() {
  for (auto& [id, entry] : impl_->entries) entry.slot->drop();
}

io::Task<void> CertificateStore::run() {
  Impl& self = *impl_;
  io::TaskScope scope(co_await io::current_cancel());
  for (;;) {
    self.work.reset();
    const io::Duration look_again = self.look_at_clock();
    const io::TimePoint now = self.ring.now();
    while (auto fetch = self.schedule.next(now)) scope.spawn(self.fetch(*std::move(fetch)));
    io::Duration wait = look_again;
    if (const auto wake = self.schedule.wake_at()) wait = std::min(wait, *wake - now);
    const auto woken = co_await io::with_deadline(self.ring, std::max(wait, io::Duration(1)),
                                                  "certificate store", self.work.wait());
    if (!woken && woken.error().reason == Reason::kCancelled) break;
  }
  scope.cancel();
  co_await scope.join();
}

// Compares what is in hand with the wall clock; how long until that must be done again.
io::Duration CertificateStore::Impl::look_at_clock() {
  io::Duration again = kLookAgain;
  const io::WallTime wall = ring.wall_now();
  for (auto& [id, entry] : entries) {
    const auto& certificate = entry.slot->certificate;
    if (!certificate) continue;
    const io::Duration left = certificate->not_after - wall;
    if (left > io::Duration::zero()) {
      again = std::min(again, left);
      schedule.observe(id, ring.now(), left);
    } else if (!std::exchange(entry.expiry_seen, true)) {
      ++counters.expired;
      log("certificate of " + id.to_string() + " has expired: new connections of it fail");
    }
  }
  return again;
}

io::Task<void> CertificateStore::Impl::fetch(CertificateSchedule::Fetch fetch) {
  auto got = co_await io::with_deadline(ring, options.fetch_deadline, "certificate request",
                                        request(fetch.id));
  if (got) {
    fetched(fetch, *std::move(got));
  } else {
    failed_to_fetch(fetch, got.error());
  }
  work.set();
}

// A fresh key for each certificate: what a worker's memory once held is worth nothing later.
io::Task<Result<std::shared_ptr<const Certificate>>> CertificateStore::Impl::request(
    net::SpiffeId id) {
  CO_TRY(const tls::PrivateKey key, tls::PrivateKey::generate());
  CO_TRY(std::string csr, key.signing_request(id));
  CO_TRY(const Issued issued, co_await issuer.issue(id, std::move(csr)));
  co_return make_certificate(id, key, issued, ring.wall_now());
}

void CertificateStore::Impl::fetched(const CertificateSchedule::Fetch& fetch,
                                     std::shared_ptr<const Certificate> got) {
  if (!schedule.fetched(fetch, ring.now(), got->not_after - ring.wall_now())) return;
  ++counters.issued;
  Entry& entry = entries.at(fetch.id);
  entry.last_error.clear();
  entry.expiry_seen = false;
  entry.slot->set(got);
  publish(fetch.id, std::move(got));
}

void CertificateStore::Impl::failed_to_fetch(const CertificateSchedule::Fetch& fetch,
                                             const Error& error) {
  ++counters.failures;
  if (!schedule.failed(fetch, ring.now())) return;
  Entry& entry = entries.at(fetch.id);
  entry.last_error = std::string(reason_name(error.reason)) + " during " + error.during;
  log("certificate of " + fetch.id.to_string() + ": " + entry.last_error);
}

Result<Done> CertificateStore::add_user(const net::SpiffeId& id, Priority priority) {
  Impl& self = *impl_;
  if (!self.schedule.add_user(id, priority)) return failed(Reason::kExhausted, "identities");
  auto [entry, is_new] = self.entries.try_emplace(id);
  if (is_new) entry->second.slot = std::make_shared<Slot>(self.ring);
  self.work.set();
  return Done{};
}

void CertificateStore::remove_user(const net::SpiffeId& id) {
  Impl& self = *impl_;
  if (!self.schedule.remove_user(id)) return;
  const auto entry = self.entries.find(id);
  MESH_CHECK(entry != self.entries.end());
  entry->second.slot->drop();
  self.entries.erase(entry);
  self.publish(id, nullptr);
}

std::shared_ptr<const Certificate> CertificateStore::find(const net::SpiffeId& id) const {
  const auto entry = impl_->entries.find(id);
  if (entry == impl_->entries.end()) return nullptr;
  return entry->second.slot->valid_at(impl_->ring.wall_now());
}

void CertificateStore::wanted_now(const net::SpiffeId& id) {
  const auto entry = impl_->entries.find(id);
  if (entry == impl_->entries.end() || entry->second.slot->valid_at(impl_->ring.wall_now())) return;
  impl_->schedule.wanted_now(id, impl_->ring.now());
  impl_->work.set();
}

std::vector<CertificateInfo> CertificateStore::list() const {
  std::vector<CertificateInfo> rows;
  const io::WallTime now = impl_->ring.wall_now();
  for (const auto& [id, entry] : impl_->entries) {
    CertificateInfo row{.id = id, .certificate = entry.slot->certificate};
    row.users = impl_->schedule.users(id);
    row.failures = impl_->schedule.failures(id);
    row.last_error = entry.last_error;
    if (row.certificate && row.certificate->valid_at(now)) {
      row.state = CertificateState::kAvailable;
    } else if (row.certificate || row.failures > 0) {
      row.state = CertificateState::kUnavailable;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

const CertificateCounters& CertificateStore::counters() const { return impl_->counters; }

}  // namespace mesh::identity
