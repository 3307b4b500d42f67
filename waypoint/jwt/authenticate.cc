#include "waypoint/jwt/authenticate.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "waypoint/jwt/json.h"
#include "waypoint/route/route.h"

namespace mesh::waypoint::jwt {

namespace {

using config::JwtProvider;
using config::JwtRequirement;
using http::Value;

constexpr std::string_view kBearer = "bearer ";

bool is_default_location(const JwtProvider& provider) {
  return provider.from_headers.empty() && provider.from_params.empty() &&
         provider.from_cookies.empty();
}

// After the prefix, without the spaces around it.
std::optional<std::string> after_prefix(std::string_view value, std::string_view prefix,
                                        bool fold) {
  if (value.size() < prefix.size()) return std::nullopt;
  const std::string_view start = value.substr(0, prefix.size());
  if (fold ? !config::equals_ignoring_case(start, prefix) : start != prefix) return std::nullopt;
  value.remove_prefix(prefix.size());
  const auto first = std::min(value.find_first_not_of(' '), value.size());
  const auto last = value.find_last_not_of(' ');
  if (first == value.size()) return std::nullopt;
  return std::string(value.substr(first, last - first + 1));
}

void add_header_tokens(const http::Request& request, std::string_view name, std::string_view prefix,
                       bool fold, std::vector<std::string>& into) {
  for (const h2::Header& header : request.headers) {
    if (header.name != name) continue;
    if (auto token = after_prefix(header.value, prefix, fold)) into.push_back(*std::move(token));
  }
}

// Every occurrence of a parameter: which one the application reads, nobody knows.
void add_parameter_tokens(std::string_view query, std::string_view name,
                          std::vector<std::string>& into) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    const auto equals = one.find('=');
    if (one.substr(0, equals) == name && equals != std::string_view::npos &&
        equals + 1 < one.size()) {
      into.emplace_back(one.substr(equals + 1));
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

std::string without_parameter(std::string_view path, std::string_view name) {
  const auto mark = path.find('?');
  if (mark == std::string_view::npos) return std::string(path);
  std::string kept;
  std::string_view query = path.substr(mark + 1);
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    if (one.substr(0, one.find('=')) != name) {
      kept += kept.empty() ? '?' : '&';
      kept += one;
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return std::string(path.substr(0, mark)) + kept;
}

const Value* claim_at(const Value& claims, std::string_view path) {
  if (const Value* direct = claims.member(path)) return direct;
  const Value* at = &claims;
  while (at != nullptr && !path.empty()) {
    const auto dot = std::min(path.find('.'), path.size());
    at = at->member(path.substr(0, dot));
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return at;
}

// "a.b" is nested. A text, a whole number, a bool; anything else is nothing we pass on.
std::optional<std::string> claim_text(const Value& claims, std::string_view path) {
  constexpr double kExact = 9e15;  // whole numbers that a double holds
  const Value* at = claim_at(claims, path);
  if (at == nullptr) return std::nullopt;
  if (at->kind == Value::Kind::kString) return at->text;
  if (at->kind == Value::Kind::kBool) return at->boolean ? "true" : "false";
  if (at->kind == Value::Kind::kNumber && at->number > -kExact && at->number < kExact) {
    const auto whole = static_cast<std::int64_t>(at->number);
    if (static_cast<double>(whole) == at->number) return std::to_string(whole);
  }
  return std::nullopt;
}

// "a b" becomes ["a", "b"] where the provider says so.
Value normalized(const JwtProvider& provider, Value claims) {
  for (auto& [name, value] : claims.members) {
    const auto& listed = provider.space_delimited_claims;
    if (value.kind != Value::Kind::kString || std::ranges::find(listed, name) == listed.end()) {
      continue;
    }
    std::vector<Value> words;
    for (std::string_view rest = value.text; !rest.empty();) {
      const auto end = std::min(rest.find(' '), rest.size());
      if (end > 0) words.push_back(Value::of_text(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    value = Value::of_list(std::move(words));
  }
  return claims;
}

bool is_preflight(const http::Request& request) {
  return request.method == "OPTIONS" && http::header_text(request.headers, "origin").present() &&
         http::header_text(request.headers, "access-control-request-method").present();
}

// A token that failed tells more than one that is missing, and than one of another issuer.
Status more_telling(Status a, Status b) {
  if (a == Status::kMissing || a == Status::kOk) return b;
  return a == Status::kUnknownIssuer && b != Status::kMissing && b != Status::kOk ? b : a;
}

// A header of ours by any name that a backend might read as it: some take '_' for '-'.
void remove_spellings(h2::Headers& headers, std::string_view name) {
  const auto fold = [](char c) { return c == '_' ? '-' : c; };
  if (name.empty()) return;
  std::erase_if(headers, [&](const h2::Header& header) {
    return std::ranges::equal(header.name, name, {}, fold, fold);
  });
}

std::string challenge(const http::Request& request, Status status) {
  std::string realm = request.scheme + "://" + request.authority + std::string(request.path_only());
  std::erase(realm, '"');
  std::erase(realm, '\\');
  return "Bearer realm=\"" + realm + "\"" +
         (status == Status::kMissing ? "" : ", error=\"invalid_token\"");
}

}  // namespace

// One request: what each provider found, judged at most once.
struct Authenticator::Session {
  const http::Request& request;
  std::chrono::sys_seconds now;
  const FetchedKeys& fetched;
  TokenCache* cache = nullptr;
  std::map<std::size_t, Found> found = {};
  std::vector<std::size_t> order = {};  // as the rule names them
  bool allow_failed = false;
};

Authenticator::Authenticator(config::JwtFilter filter) : filter_(std::move(filter)) {
  for (const JwtProvider& provider : filter_.providers) {
    KeysPtr keys;
    if (!provider.inline_jwks.empty()) {
      auto parsed = Keys::parse(provider.inline_jwks);
      if (parsed) keys = *std::move(parsed);
      if (!keys) problems_.push_back("jwt provider " + provider.name + ": no key can be used");
    }
    inline_keys_.push_back(std::move(keys));
  }
}

const JwtRequirement* Authenticator::required_of(const http::Request& request, const Asked& asked,
                                                 http::Dice& dice) const {
  if (asked.requirement != nullptr) {
    const auto found = filter_.named.find(*asked.requirement);
    return found == filter_.named.end() ? nullptr : &found->second;
  }
  for (const config::JwtRule& rule : filter_.rules) {
    if (route::matches(rule.match, request, dice)) return &rule.required;
  }
  static const JwtRequirement kNothing{.kind = JwtRequirement::Kind::kNone};
  return &kNothing;
}

std::vector<std::string> Authenticator::tokens_of(const JwtProvider& provider,
                                                  const http::Request& request) const {
  std::vector<std::string> tokens;
  if (is_default_location(provider)) {
    add_header_tokens(request, "authorization", kBearer, true, tokens);
    add_parameter_tokens(request.query(), "access_token", tokens);
    return tokens;
  }
  for (const config::JwtHeaderLocation& location : provider.from_headers) {
    add_header_tokens(request, location.name, location.value_prefix, false, tokens);
  }
  for (const std::string& name : provider.from_params) {
    add_parameter_tokens(request.query(), name, tokens);
  }
  for (const std::string& name : provider.from_cookies) {
    if (auto token = http::cookie(request.headers, name); token && !token->empty()) {
      tokens.push_back(*std::move(token));
    }
  }
  return tokens;
}

Authenticator::Found Authenticator::judge(std::size_t index,
                                          const std::vector<std::string>& audiences,
                                          const Session& session) const {
  Found found{.texts = tokens_of(filter_.providers[index], session.request)};
  if (found.texts.size() > 1) found.status = Status::kSeveral;
  if (found.texts.size() == 1) found.status = judge_one(index, audiences, session, found);
  if (found.status != Status::kOk) found.token.reset();
  return found;
}

Status Authenticator::judge_one(std::size_t index, const std::vector<std::string>& audiences,
                                const Session& session, Found& found) const {
  const JwtProvider& provider = filter_.providers[index];
  const std::string& text = found.texts[0];
  const auto known = session.cache != nullptr ? session.cache->find(text) : TokenCache::Known();
  found.token = known.token;
  if (found.token == nullptr) {
    Status status = Status::kMalformed;
    auto token = parse_token(text, status);
    if (!token) return status;
    found.token = std::make_shared<const Token>(*std::move(token));
  }
  const Token& token = *found.token;
  const Status claimed = judge_claims(
      token, provider, audiences.empty() ? provider.audiences : audiences, session.now);
  if (claimed == Status::kExpired && known.token) session.cache->forget(text);
  if (claimed != Status::kOk) return claimed;
  const bool remote = provider.inline_jwks.empty();
  const KeysPtr keys = remote ? session.fetched(provider.name) : inline_keys_[index];
  if (keys == nullptr) return Status::kNoKeys;
  if (known.token && known.keys == keys) return Status::kOk;
  const Status status = judge_signature(token, *keys);
  found.outdated_keys = remote && status == Status::kUnknownKey;
  if (status == Status::kOk && session.cache != nullptr) {
    session.cache->remember(text, {.token = found.token, .keys = keys});
  }
  return status;
}

Status Authenticator::eval(const JwtRequirement& required, Session& session) const {
  using Kind = JwtRequirement::Kind;
  switch (required.kind) {
    case Kind::kNone:
      return Status::kOk;
    case Kind::kAllowMissingOrFailed:
      session.allow_failed = true;
      return Status::kOk;
    case Kind::kAllowMissing:
      return eval_missing({}, session);
    case Kind::kProvider: {
      const auto provider =
          std::ranges::find(filter_.providers, required.provider, &JwtProvider::name);
      if (provider == filter_.providers.end()) return Status::kUnknownIssuer;
      const auto index = static_cast<std::size_t>(provider - filter_.providers.begin());
      if (!session.found.contains(index)) {
        session.order.push_back(index);
        session.found[index] = judge(index, required.audiences, session);
      }
      return session.found[index].status;
    }
    case Kind::kAll: {
      for (const JwtRequirement& child : required.children) {
        const Status status = eval(child, session);
        if (status != Status::kOk) return status;
      }
      return Status::kOk;
    }
    case Kind::kAny:
      break;
  }
  // Every child is looked at: each good token's claims count, and each bad one is found.
  bool any = false;
  bool missing_allowed = false;
  std::vector<std::size_t> named;
  Status worst = Status::kMissing;
  for (const JwtRequirement& child : required.children) {
    if (child.kind == Kind::kAllowMissing) {
      missing_allowed = true;
      continue;
    }
    const Status status = eval(child, session);
    if (child.kind == Kind::kProvider) {
      const auto at = std::ranges::find(filter_.providers, child.provider, &JwtProvider::name);
      named.push_back(static_cast<std::size_t>(at - filter_.providers.begin()));
    }
    if (status == Status::kOk) any = true;
    worst = more_telling(worst, status);
  }
  if (!any && missing_allowed) {
    const Status status = eval_missing(named, session);
    if (status == Status::kOk) return status;
    worst = more_telling(worst, status);
  }
  return any ? Status::kOk : worst;
}

// No token where these providers look (none named: where any does), or only such as are good for
// somebody.
Status Authenticator::eval_missing(const std::vector<std::size_t>& providers,
                                   Session& session) const {
  std::vector<std::size_t> asked = providers;
  if (asked.empty()) {
    for (std::size_t i = 0; i < filter_.providers.size(); ++i) asked.push_back(i);
  }
  for (const std::size_t index : asked) {
    if (index >= filter_.providers.size()) return Status::kUnknownIssuer;
    if (!session.found.contains(index)) {
      session.order.push_back(index);
      session.found[index] = judge(index, {}, session);
    }
  }
  return check_strays(session);
}

// A token that is good for nobody who looks where it stands.
Status Authenticator::check_strays(const Session& session) const {
  std::set<std::string_view> good;
  for (const auto& [index, found] : session.found) {
    if (found.status == Status::kOk) good.insert(found.texts[0]);
  }
  for (const std::size_t index : session.order) {
    const Found& found = session.found.at(index);
    for (const std::string& text : found.texts) {
      if (!good.contains(text)) return found.status;
    }
  }
  return Status::kOk;
}

void Authenticator::take_out(const JwtProvider& provider, http::Request& request) const {
  if (provider.forward) return;
  if (is_default_location(provider)) {
    std::erase_if(request.headers, [](const h2::Header& header) {
      return header.name == "authorization" &&
             after_prefix(header.value, kBearer, true).has_value();
    });
    request.path = without_parameter(request.path, "access_token");
    return;
  }
  for (const config::JwtHeaderLocation& location : provider.from_headers) {
    http::remove_header(request.headers, location.name);
  }
  for (const std::string& name : provider.from_params) {
    request.path = without_parameter(request.path, name);
  }
}

void Authenticator::accept(const Session& session, http::Request& request,
                           Authentication& result) const {
  result.ok = true;
  result.status = Status::kOk;
  result.http_status = 200;
  result.metadata = Value::object({});
  for (const std::size_t index : session.order) {
    const Found& found = session.found.at(index);
    if (found.status != Status::kOk) continue;
    const JwtProvider& provider = filter_.providers[index];
    take_out(provider, request);
    if (!provider.forward_payload_header.empty()) {
      http::set_header(request.headers, provider.forward_payload_header,
                       encode_base64url(found.token->payload, provider.pad_forward_payload));
    }
    for (const config::ClaimToHeader& claim : provider.claim_to_headers) {
      const auto text = claim_text(found.token->claims, claim.claim);
      if (text && http::is_header_value(*text))
        http::set_header(request.headers, claim.header, *text);
    }
    result.clear_route_cache = result.clear_route_cache || provider.clear_route_cache;
    // Of several under one key the first in the rule's order counts.
    if (!provider.payload_in_metadata.empty() &&
        result.metadata.member(provider.payload_in_metadata) == nullptr) {
      result.metadata.members.emplace_back(provider.payload_in_metadata,
                                           normalized(provider, found.token->claims));
    }
  }
}

Authentication Authenticator::authenticate(http::Request& request, std::chrono::sys_seconds now,
                                           const FetchedKeys& fetched, http::Dice& dice,
                                           const Asked& how) const {
  Authentication result;
  // What we put there must not come from a client, whatever the rule says.
  for (const JwtProvider& provider : filter_.providers) {
    remove_spellings(request.headers, provider.forward_payload_header);
    for (const config::ClaimToHeader& claim : provider.claim_to_headers) {
      remove_spellings(request.headers, claim.header);
    }
  }
  Session session{.request = request, .now = now, .fetched = fetched, .cache = how.cache};
  const JwtRequirement* required = required_of(request, how, dice);
  const bool asked = !(filter_.bypass_cors_preflight && is_preflight(request));
  Status status = Status::kOk;
  if (required == nullptr) {
    status = Status::kUnknownRequirement;
  } else if (asked) {
    status = eval(*required, session);
    if (status == Status::kOk && !session.allow_failed) status = check_strays(session);
  }
  for (const auto& [index, found] : session.found) {
    if (found.outdated_keys) result.unknown_key_at.push_back(filter_.providers[index].name);
  }
  if (status == Status::kOk) {
    accept(session, request, result);
    return result;
  }
  result.status = status;
  result.http_status = http_status(status);
  result.www_authenticate = challenge(request, status);
  return result;
}

}  // namespace mesh::waypoint::jwt
