#pragma once
// Callers: a bearer token if the call has one, else the certificate of its connection, which our
// own authority has signed. A certificate says a service account and no node: it gives what that
// account may have and never what a ztunnel may.
//
// Several may know tokens: who does not know one leaves it to the next; the last one's word is
// final.

#include <string>
#include <vector>

#include "control/caller.h"

namespace mesh::control::auth {

class Callers final : public Authenticator {
 public:
  // Those who know `tokens`, at least one, must outlive this and every call. The trust domains
  // whose names count as ours.
  Callers(std::vector<Authenticator*> tokens, std::vector<std::string> trust_domains)
      : tokens_(std::move(tokens)), trust_domains_(std::move(trust_domains)) {}

  void authenticate(const Credentials& credentials, std::function<void(Answer)> then) override;

 private:
  void ask(std::size_t which, const Credentials& credentials, std::function<void(Answer)> then);

  const std::vector<Authenticator*> tokens_;
  const std::vector<std::string> trust_domains_;
};

}  // namespace mesh::control::auth
