#include "waypoint/jwt/token_cache.h"

#include <utility>

namespace mesh::waypoint::jwt {

TokenCache::Known TokenCache::find(std::string_view text) {
  const auto found = by_text_.find(text);
  if (found == by_text_.end()) return {};
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->known;
}

void TokenCache::remember(std::string_view text, Known known) {
  forget(text);
  if (text.size() > kMaxBytes) return;
  while (!entries_.empty() && (entries_.size() >= kMaxTokens || bytes_ + text.size() > kMaxBytes)) {
    forget(entries_.back().text);
  }
  entries_.push_front({.text = std::string(text), .known = std::move(known)});
  by_text_.emplace(entries_.front().text, entries_.begin());
  bytes_ += text.size();
}

void TokenCache::forget(std::string_view text) {
  const auto found = by_text_.find(text);
  if (found == by_text_.end()) return;
  const auto entry = found->second;
  bytes_ -= entry->text.size();
  by_text_.erase(found);  // its key is the entry's text
  entries_.erase(entry);
}

}  // namespace mesh::waypoint::jwt
