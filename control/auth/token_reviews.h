#pragma once
// TokenReviews: whose a bearer token is, as the API server says it.
//
// A token counts when the API server vouches for it with one of our audiences and it is that of a
// service account. One of a ztunnel's account is that of a node: the node of the pod that the token
// is bound to. Without such a pod it is refused: nothing says which node it speaks for.
//
// While the API server is away, what is known stands until the token's own end, and what is not
// known is refused as UNAVAILABLE, by name.
//
// Limits: tokens of 16 KiB; those of TokenCache; 32 questions at once, 1 024 callers waiting;
// 5 s a question.

#include <chrono>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/auth/token_cache.h"
#include "control/caller.h"
#include "control/hub.h"
#include "mesh/kube/http.h"

namespace mesh::control::auth {

struct ReviewOptions {
  std::vector<std::string> audiences = {"istio-ca", "weft-ca"};
  std::set<std::string, std::less<>> node_accounts;  // "NAMESPACE/NAME"
  TokenCache::Limits limits = {};
};

// A TokenReview to ask, and what its answer says. Pure. Errors: `accepted` false: the token is no
// good; true: the answer is.
std::string review_request(std::string_view token, const std::vector<std::string>& audiences);
struct ReviewError {
  bool about_token = false;
  std::string text;
};
std::expected<TokenIdentity, ReviewError> read_review(std::string_view answer,
                                                      const std::vector<std::string>& audiences);

// The caller that a token's identity is. `world` may be null. Pure.
Authenticator::Answer caller_of(const TokenIdentity& identity, const ReviewOptions& options,
                                const World* world);

class TokenReviews final : public Authenticator {
 public:
  // All must outlive this; `http` is stopped before this ends.
  TokenReviews(kube::Http& http, const Hub& hub, ReviewOptions options);

  void authenticate(const Credentials& credentials, std::function<void(Answer)> then) override;

  struct Counters {
    std::uint64_t asked = 0, refused = 0, failed = 0, cached = 0;
  };
  Counters counters() const;
  // Of the last question; empty once one was answered.
  std::string problem() const;

 private:
  using Then = std::function<void(Answer)>;
  struct Question {
    std::string token;
    std::vector<Then> waiting;
    bool asked = false;
  };

  void ask_next();
  void answered(const TokenCache::Digest& digest, const kube::Http::Answer& answer);

  kube::Http& http_;
  const Hub& hub_;
  const ReviewOptions options_;
  mutable std::mutex mutex_;
  TokenCache cache_;
  std::map<TokenCache::Digest, Question> questions_;
  std::size_t open_ = 0, waiting_ = 0;
  Counters counters_;
  std::string problem_;
};

}  // namespace mesh::control::auth
