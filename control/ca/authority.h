#pragma once
// Authority: the certificate authority that signs now. Replaced as a whole while others use it.

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "control/ca/holders.h"
#include "control/certificates.h"

namespace mesh::control::ca {

// Threads: any.
class Authority {
 public:
  // Null before there is one.
  std::shared_ptr<const CertificateAuthority> now() const {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  void set(std::shared_ptr<const CertificateAuthority> next) {
    const std::lock_guard lock(mutex_);
    now_ = std::move(next);
  }
  // Whom it has given certificates.
  Holders& holders() { return holders_; }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const CertificateAuthority> now_;
  Holders holders_;
};

}  // namespace mesh::control::ca
