#include "mesh/net/spiffe_id.h"

#include <algorithm>

namespace mesh::net {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::size_t kMaxId = 2048;
constexpr std::size_t kMaxTrustDomain = 255;
constexpr std::size_t kMaxSegment = 253;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_punctuation(char c) { return c == '.' || c == '-' || c == '_'; }

bool is_trust_domain(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTrustDomain && std::ranges::all_of(text, [](char c) {
    return is_lower_or_digit(c) || is_punctuation(c);
  });
}

bool is_segment(std::string_view text) {
  const auto allowed = [](char c) {
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || is_punctuation(c);
  };
  return !text.empty() && text.size() <= kMaxSegment && text != "." && text != ".." &&
         std::ranges::all_of(text, allowed);
}

// Takes `text` up to the next slash off its front.
std::string_view take_segment(std::string_view& text) {
  const std::size_t slash = text.find('/');
  const std::string_view segment = text.substr(0, slash);
  text = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  return segment;
}

}  // namespace

std::optional<SpiffeId> SpiffeId::parse(std::string_view text) {
  if (text.size() > kMaxId || !text.starts_with(kScheme)) return {};
  if (std::ranges::count(text, '/') != 6) return {};
  std::string_view rest = text.substr(kScheme.size());
  const std::string_view trust_domain = take_segment(rest);
  if (take_segment(rest) != "ns") return {};
  const std::string_view ns = take_segment(rest);
  if (take_segment(rest) != "sa") return {};
  return make(trust_domain, ns, rest);
}

std::optional<SpiffeId> SpiffeId::make(std::string_view trust_domain, std::string_view ns,
                                       std::string_view service_account) {
  if (!is_trust_domain(trust_domain) || !is_segment(ns) || !is_segment(service_account)) return {};
  SpiffeId id;
  id.trust_domain_ = trust_domain;
  id.namespace_ = ns;
  id.service_account_ = service_account;
  return id;
}

std::string SpiffeId::to_string() const { return std::string(kScheme) + principal(); }

std::string SpiffeId::principal() const {
  return trust_domain_ + "/ns/" + namespace_ + "/sa/" + service_account_;
}

}  // namespace mesh::net

std::size_t std::hash<mesh::net::SpiffeId>::operator()(
    const mesh::net::SpiffeId& id) const noexcept {
  const std::hash<std::string> hash;
  return (hash(id.trust_domain()) * 31 + hash(id.ns())) * 31 + hash(id.service_account());
}
