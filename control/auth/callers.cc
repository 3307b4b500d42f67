#include "control/auth/callers.h"

#include <algorithm>
#include <utility>

#include "mesh/net/spiffe_id.h"

namespace mesh::control::auth {

void Callers::authenticate(const Credentials& credentials, std::function<void(Answer)> then) {
  if (!credentials.authorization.empty() || credentials.certificate.empty()) {
    return ask(0, credentials, std::move(then));
  }
  const auto id = net::SpiffeId::parse(credentials.certificate);
  const bool ours = id && std::find(trust_domains_.begin(), trust_domains_.end(),
                                    id->trust_domain()) != trust_domains_.end();
  if (!ours) {
    return then(std::unexpected(
        RpcError{kUnauthenticated, "the client certificate names nobody of this mesh"}));
  }
  then(Caller{.node = {},
              .ns = std::string(id->ns()),
              .service_account = std::string(id->service_account())});
}

void Callers::ask(std::size_t which, const Credentials& credentials,
                  std::function<void(Answer)> then) {
  if (which + 1 == tokens_.size()) {
    return tokens_[which]->authenticate(credentials, std::move(then));
  }
  tokens_[which]->authenticate(
      credentials, [this, which, credentials, then = std::move(then)](Answer answer) mutable {
        if (!answer && answer.error().code == kUnauthenticated) {
          return ask(which + 1, credentials, std::move(then));
        }
        then(std::move(answer));
      });
}

}  // namespace mesh::control::auth
