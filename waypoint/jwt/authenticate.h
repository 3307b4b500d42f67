#pragma once
// Authenticator: who a request's tokens say it is for, and whether that is enough. One per
// JwtFilter of a snapshot; immutable. Pure: the time and the fetched keys are parameters.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "waypoint/config/jwt.h"
#include "waypoint/http/dice.h"
#include "waypoint/http/request.h"
#include "waypoint/http/value.h"
#include "waypoint/jwt/keys.h"
#include "waypoint/jwt/token.h"
#include "waypoint/jwt/token_cache.h"

namespace mesh::waypoint::jwt {

// The metadata that rules about claims look into.
inline constexpr std::string_view kMetadataFilter = "envoy.filters.http.jwt_authn";

struct Authentication {
  bool ok = false;
  Status status = Status::kMissing;  // of a no
  int http_status = 401;
  std::string www_authenticate = {};
  // Of a yes: {"payload": claims} of the providers whose tokens are good, for
  // rbac::Subject::metadata under kMetadataFilter.
  http::Value metadata = {};
  std::vector<std::string> unknown_key_at = {};  // providers whose fetched keys may be outdated
  bool clear_route_cache = false;                // headers changed: route again
};

class Authenticator {
 public:
  // Keys of a provider that has none inline; null: not fetched (yet).
  using FetchedKeys = std::function<KeysPtr(std::string_view provider)>;

  // Inline keys that cannot be used make every token of their provider fail, by name in problems().
  explicit Authenticator(config::JwtFilter filter);

  // What is not the request's own. `requirement`: one of JwtFilter::named, asked for by the route,
  // instead of the rules'. Without a cache every signature is checked again.
  struct Asked {
    TokenCache* cache = nullptr;
    const std::string* requirement = nullptr;
  };

  // Judges, and changes the request: headers that only we may set are taken out whatever they say,
  // tokens that are not to be forwarded are taken out when they are good, and claims are put into
  // headers.
  //
  // Every token that is there must be good for one of the providers that look where it stands,
  // unless the rule allows failed ones; more than one for a provider is refused. (Envoy stops at
  // the first that is good, and forwards the others unseen.)
  Authentication authenticate(http::Request& request, std::chrono::sys_seconds now,
                              const FetchedKeys& fetched, http::Dice& dice,
                              const Asked& asked) const;
  Authentication authenticate(http::Request& request, std::chrono::sys_seconds now,
                              const FetchedKeys& fetched, http::Dice& dice) const {
    return authenticate(request, now, fetched, dice, {});
  }

  const config::JwtFilter& filter() const { return filter_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  struct Found {  // what one provider found in the request
    Status status = Status::kMissing;
    std::vector<std::string> texts = {};
    std::shared_ptr<const Token> token = {};
    bool outdated_keys = false;
  };

  std::vector<std::string> tokens_of(const config::JwtProvider& provider,
                                     const http::Request& request) const;
  struct Session;
  Found judge(std::size_t provider, const std::vector<std::string>& audiences,
              const Session& session) const;
  Status judge_one(std::size_t provider, const std::vector<std::string>& audiences,
                   const Session& session, Found& found) const;
  const config::JwtRequirement* required_of(const http::Request& request, const Asked& asked,
                                            http::Dice& dice) const;
  Status eval(const config::JwtRequirement& required, Session& session) const;
  Status eval_missing(const std::vector<std::size_t>& providers, Session& session) const;
  Status check_strays(const Session& session) const;
  void accept(const Session& session, http::Request& request, Authentication& result) const;
  void take_out(const config::JwtProvider& provider, http::Request& request) const;

  config::JwtFilter filter_;
  std::vector<KeysPtr> inline_keys_;  // by provider
  std::vector<std::string> problems_;
};

}  // namespace mesh::waypoint::jwt
