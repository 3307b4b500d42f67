#include "mesh/identity/certificate_schedule.h"

#include <algorithm>
#include <utility>

namespace mesh::identity {
namespace {

constexpr unsigned kRetryJitterPercent = 20;
constexpr unsigned kRefreshJitterPercent = 10;
// Below this a retry would be a busy loop, however short the certificates live.
constexpr io::Duration kRetryMin = std::chrono::milliseconds(100);
// Somebody waiting for an identity does not shorten the wait between tries below this.
constexpr io::Duration kWantedRetry = std::chrono::seconds(1);

}  // namespace

CertificateSchedule::CertificateSchedule(ScheduleOptions options, Random random)
    : options_(options), random_(std::move(random)) {}

bool CertificateSchedule::add_user(const net::SpiffeId& id, Priority priority) {
  if (const auto known = entries_.find(id); known != entries_.end()) {
    ++known->second.users;
    known->second.priority = std::max(known->second.priority, priority);
    return true;
  }
  if (entries_.size() >= options_.identities_max) return false;
  Entry& entry = entries_[id];
  entry.users = 1;
  entry.priority = priority;
  entry.order = ++arrivals_;
  return true;
}

bool CertificateSchedule::remove_user(const net::SpiffeId& id) {
  const auto known = entries_.find(id);
  if (known == entries_.end() || --known->second.users > 0) return false;
  entries_.erase(known);
  return true;
}

void CertificateSchedule::wanted_now(const net::SpiffeId& id, io::TimePoint now) {
  const auto known = entries_.find(id);
  if (known == entries_.end()) return;
  Entry& entry = known->second;
  entry.priority = Priority::kRealTime;
  if (entry.failures > 0) entry.due = std::min(entry.due, now + kWantedRetry);
}

void CertificateSchedule::observe(const net::SpiffeId& id, io::TimePoint now, io::Duration left) {
  const auto known = entries_.find(id);
  if (known == entries_.end()) return;
  Entry& entry = known->second;
  entry.expires = now + left;
  // The two clocks are not read at the same instant: a little more than half is no jump.
  if (entry.failures == 0 && entry.due > now + left / 2 + left / 8) entry.due = now;
}

std::optional<CertificateSchedule::Fetch> CertificateSchedule::next(io::TimePoint now) {
  if (running_.size() >= options_.concurrent_max) return std::nullopt;
  const net::SpiffeId* best_id = nullptr;
  Entry* best = nullptr;
  for (auto& [id, entry] : entries_) {
    if (entry.fetch != 0 || entry.due > now) continue;
    if (best != nullptr && (entry.priority < best->priority ||
                            (entry.priority == best->priority && entry.order > best->order))) {
      continue;
    }
    best_id = &id;
    best = &entry;
  }
  if (best == nullptr) return std::nullopt;
  best->fetch = ++fetches_;
  running_.insert(best->fetch);
  return Fetch{.number = best->fetch, .id = *best_id};
}

std::optional<io::TimePoint> CertificateSchedule::wake_at() const {
  if (running_.size() >= options_.concurrent_max) return std::nullopt;
  std::optional<io::TimePoint> earliest;
  for (const auto& [id, entry] : entries_) {
    if (entry.fetch == 0 && (!earliest || entry.due < *earliest)) earliest = entry.due;
  }
  return earliest;
}

bool CertificateSchedule::fetched(const Fetch& fetch, io::TimePoint now, io::Duration life) {
  Entry* entry = finish(fetch);
  if (entry == nullptr) return false;
  entry->failures = 0;
  // A refresh is background work, whoever waited for the first one.
  entry->priority = Priority::kBackground;
  entry->order = ++arrivals_;
  entry->expires = now + life;
  const io::Duration half = life / 2;
  // Only earlier: all of a node's pods that started together spread over a tenth of the life.
  const io::Duration spread = half / 100 * (random_() % (kRefreshJitterPercent + 1));
  entry->due = now + std::max(half - spread, kRetryMin);
  return true;
}

bool CertificateSchedule::failed(const Fetch& fetch, io::TimePoint now) {
  Entry* entry = finish(fetch);
  if (entry == nullptr) return false;
  io::Duration wait = options_.retry_first;
  for (unsigned i = 0; i < entry->failures && wait < options_.retry_max; ++i) wait *= 2;
  wait = std::min(wait, options_.retry_max);
  ++entry->failures;
  // With a certificate in hand, several tries must fit into what is left of it.
  if (entry->expires && *entry->expires > now) wait = std::min(wait, (*entry->expires - now) / 4);
  entry->due = now + std::max(jittered(wait), kRetryMin);
  return true;
}

CertificateSchedule::Entry* CertificateSchedule::finish(const Fetch& fetch) {
  running_.erase(fetch.number);
  const auto known = entries_.find(fetch.id);
  // Dropped meanwhile, or dropped and added again: that one has a fetch of its own.
  if (known == entries_.end() || known->second.fetch != fetch.number) return nullptr;
  known->second.fetch = 0;
  return &known->second;
}

io::Duration CertificateSchedule::jittered(io::Duration base) {
  const auto percent = static_cast<std::int64_t>(random_() % (2 * kRetryJitterPercent + 1));
  return base / 100 * (100 - static_cast<std::int64_t>(kRetryJitterPercent) + percent);
}

unsigned CertificateSchedule::failures(const net::SpiffeId& id) const {
  const auto known = entries_.find(id);
  return known == entries_.end() ? 0 : known->second.failures;
}

std::size_t CertificateSchedule::users(const net::SpiffeId& id) const {
  const auto known = entries_.find(id);
  return known == entries_.end() ? 0 : known->second.users;
}

}  // namespace mesh::identity
