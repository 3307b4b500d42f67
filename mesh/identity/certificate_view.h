#pragma once
// CertificateView: a worker's copy of what the CertificateStore holds. On the worker's ring only.

#include <cstddef>
#include <functional>
#include <memory>
#include <unordered_map>

#include "mesh/base/result.h"
#include "mesh/identity/certificate.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/net/spiffe_id.h"

namespace mesh::identity {

class CertificateView {
 public:
  // Told, on the view's ring, of an identity that somebody begins to wait for, while others wait
  // once a second at most. To be passed on to CertificateStore::wanted_now().
  using Wanted = std::function<void(const net::SpiffeId& id)>;

  explicit CertificateView(io::Ring& ring, Wanted wanted = {});
  ~CertificateView();

  // What the store's `publish` said, posted to this ring. None: dropped; waiters fail.
  void update(const net::SpiffeId& id, std::shared_ptr<const Certificate> certificate);

  // The certificate of `id` if it is valid now; otherwise none: do not speak.
  std::shared_ptr<const Certificate> find(const net::SpiffeId& id) const;

  // Waits for one, for at most `limit`. Errors: kNoIdentity (dropped, or the time is up),
  // kCancelled.
  io::Task<Result<std::shared_ptr<const Certificate>>> wait(net::SpiffeId id, io::Duration limit);

  std::size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::identity
