#pragma once
// Holders: who has a certificate of ours, and what they trust with it. A proxy says nothing about
// its roots; what it trusts for an identity is what came with its last certificate. So a holder has
// acknowledged a set of roots when it was given a certificate with it, or when the one it had has
// ended.
//
// It knows what this process has signed. What others signed, or this one before it was started, is
// covered by the wait of a rotation's step (rotation.h).
//
// Threads: any. Limits: 500 000 certificates; with more, nobody has acknowledged anything.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mesh::control::ca {

struct Bundle {
  std::size_t signer = 0;  // hashes
  std::size_t roots = 0;   // of a set: the order says nothing
  friend bool operator==(const Bundle&, const Bundle&) = default;
};

// Of PEM certificates, the one that signs first.
Bundle bundle_of(std::string_view roots);

class Holders {
 public:
  // `holder`: "node NAME" of a ztunnel, or who else asked. `expires`: seconds since 1970.
  void issued(const std::string& holder, const std::string& identity, const Bundle& bundle,
              std::int64_t expires);

  struct Waiting {
    std::string holder;
    std::vector<std::string> identities;  // the first of them
    std::size_t count = 0;
  };
  // Who holds something of another bundle that is still valid and of use.
  using OfUse = std::function<bool(const std::string& holder, const std::string& identity)>;
  std::vector<Waiting> without(const Bundle& bundle, std::int64_t now, const OfUse& of_use);

 private:
  struct Held {
    Bundle bundle;
    std::int64_t expires = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Held> held_;
  std::int64_t unknown_until_ = 0;  // more than could be kept
};

}  // namespace mesh::control::ca
