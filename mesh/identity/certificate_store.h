#pragma once
// CertificateStore: one certificate for each identity that lives on this node, fetched, refreshed
// and dropped. Lives on the main ring; workers hold a CertificateView each (certificate_view.h),
// which the store's `publish` feeds.
//
// An identity is one (trust domain, namespace, service account), however many pods have it. Its
// certificate is asked for when its first pod comes and dropped when its last one leaves. When a
// refresh fails the old certificate is used until it expires, and then nothing is: connections that
// need it fail with kNoIdentity.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/identity/certificate.h"
#include "mesh/identity/certificate_schedule.h"
#include "mesh/identity/issuer.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::identity {

enum class CertificateState : std::uint8_t {
  kInitializing,  // asked for, never had
  kAvailable,     // in use
  kUnavailable,   // had none when the last request failed, or the one it had has expired
};
std::string_view certificate_state_name(CertificateState state);  // "Initializing", …

// One row of /config_dump's certificates.
struct CertificateInfo {
  net::SpiffeId id;
  CertificateState state = CertificateState::kInitializing;
  std::shared_ptr<const Certificate> certificate;  // or none
  std::size_t users = 0;
  unsigned failures = 0;  // in a row
  std::string last_error{};
};

struct CertificateCounters {
  std::uint64_t issued = 0;
  std::uint64_t failures = 0;
  std::uint64_t expired = 0;  // ran out while still in use
};

struct StoreOptions {
  ScheduleOptions schedule;
  io::Duration fetch_deadline = std::chrono::seconds(10);
};

class CertificateStore {
 public:
  // Called on the main ring when the certificate of `id` is new or replaced; with none when `id`
  // was dropped. Post it to every worker's CertificateView.
  using Publish =
      std::function<void(const net::SpiffeId& id, std::shared_ptr<const Certificate> certificate)>;
  using Log = std::function<void(std::string_view line)>;

  CertificateStore(io::Ring& ring, Issuer& issuer, StoreOptions options, Publish publish, Log log);
  ~CertificateStore();  // after run() has ended

  // Fetches and refreshes until cancelled.
  io::Task<void> run();

  // A local pod has this identity, or no longer has. Errors: kExhausted.
  Result<Done> add_user(const net::SpiffeId& id, Priority priority = Priority::kWarmup);
  void remove_user(const net::SpiffeId& id);

  // The certificate, when there is a valid one.
  std::shared_ptr<const Certificate> find(const net::SpiffeId& id) const;
  // Somebody waits for one in a worker's view: it overtakes others, and a long wait between tries
  // becomes a second.
  void wanted_now(const net::SpiffeId& id);

  std::vector<CertificateInfo> list() const;
  const CertificateCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::identity
