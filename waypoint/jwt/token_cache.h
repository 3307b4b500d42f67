#pragma once
// TokenCache: tokens whose signature was found good, by their whole text, and the keys it was found
// good with. What time, audience and issuer have to say is asked again for each request: nothing
// outlives its expiry here, and nothing outlives its keys.
//
// Limits: kMaxTokens and kMaxBytes of text; beyond them the one that was asked for least lately
// goes. Only good tokens come in, so strangers push nobody out.

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "waypoint/jwt/keys.h"
#include "waypoint/jwt/token.h"

namespace mesh::waypoint::jwt {

class TokenCache {
 public:
  static constexpr std::size_t kMaxTokens = 1024;
  static constexpr std::size_t kMaxBytes = 1 << 20;

  struct Known {
    std::shared_ptr<const Token> token = {};
    KeysPtr keys = {};  // held: another set never has the same address
  };
  // No token: not known.
  Known find(std::string_view text);
  void remember(std::string_view text, Known known);
  void forget(std::string_view text);

  std::size_t size() const { return by_text_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string text;
    Known known;
  };
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_text_;
  std::size_t bytes_ = 0;
};

}  // namespace mesh::waypoint::jwt
