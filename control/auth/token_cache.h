#pragma once
// TokenCache: what is known about bearer tokens, by their hash. No I/O, no clock.
//
// What was accepted is fresh for a while, then is to be asked again; should nobody answer, it
// stands until the token's own end. What was refused is forgotten soon. Each kind has a room of its
// own, so that a flood of bad tokens drives out no good one; the one unused longest makes place.

#include <array>
#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace mesh::control::auth {

// What the API server says about a token: whose it is.
struct TokenIdentity {
  std::string ns, service_account;
  std::string pod, pod_uid, node;  // of the pod the token is bound to; empty when not said
};

class TokenCache {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Digest = std::array<unsigned char, 32>;

  struct Limits {
    std::size_t accepted = 20'000, refused = 4'096;
    std::chrono::seconds fresh{300}, refusal{10};
  };

  struct Known {
    std::optional<TokenIdentity> identity;  // none: refused, and `why`
    std::string why;
    bool fresh = true;  // false: ask again; stands if nobody answers
  };

  explicit TokenCache(Limits limits) : limits_(limits) {}

  std::optional<Known> find(const Digest& token, Time now);
  // `life`: what is left of the token's own; zero when it does not say: it ends with its freshness.
  void accept(const Digest& token, TokenIdentity identity, std::chrono::seconds life, Time now);
  void refuse(const Digest& token, std::string why, Time now);

  std::size_t size() const { return accepted_.size() + refused_.size(); }

 private:
  struct Entry {
    TokenIdentity identity;
    std::string why;
    Time fresh_until, until;
    std::list<Digest>::iterator used;
  };
  // Entries with the order of their use, the latest first.
  struct Room {
    std::map<Digest, Entry> entries;
    std::list<Digest> order;

    std::size_t size() const { return entries.size(); }
    Entry* find(const Digest& token, Time now);
    void put(const Digest& token, Entry entry, std::size_t most);
    void erase(const Digest& token);
  };

  const Limits limits_;
  Room accepted_, refused_;
};

// SHA-256 of the token.
TokenCache::Digest digest_of_token(std::string_view token);

// The "exp" of a JSON web token, in seconds since 1970, unverified; none when it is no such token.
std::optional<std::int64_t> token_end(std::string_view token);

}  // namespace mesh::control::auth
