#include "control/auth/token_reviews.h"

#include <algorithm>
#include <utility>

#include "mesh/kube/write.h"
#include "mesh/manifest/json.h"
#include "mesh/telemetry/log.h"

namespace mesh::control::auth {
namespace {

using manifest::Value;

constexpr std::size_t kMaxToken = 16u << 10;
constexpr std::size_t kMaxOpen = 32;
constexpr std::size_t kMaxWaiting = 1024;
constexpr std::chrono::seconds kPatience{5};
constexpr std::string_view kBearer = "Bearer ";
constexpr std::string_view kAccountUser = "system:serviceaccount:";
constexpr std::string_view kExtra = "authentication.kubernetes.io/";

const kube::ResourceType kReviews{.group = "authentication.k8s.io",
                                  .version = "v1",
                                  .plural = "tokenreviews",
                                  .namespaced = false};

std::string text_of(const Value* value) {
  return value == nullptr || value->type != Value::Type::kScalar ? std::string() : value->text;
}

// user.extra[KEY][0]
std::string extra(const Value* user, std::string_view key) {
  const Value* list = member(member(user, "extra"), std::string(kExtra) + std::string(key));
  if (list == nullptr || list->type != Value::Type::kList || list->items.size() != 1) return {};
  return text_of(&list->items.front());
}

std::unexpected<RpcError> refuse(int code, std::string message) {
  return std::unexpected(RpcError{code, std::move(message)});
}

std::chrono::seconds life_of(std::string_view token) {
  const auto end = token_end(token);
  if (!end) return {};
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  return std::max(std::chrono::seconds(*end) - now, std::chrono::seconds(0));
}

}  // namespace

std::string review_request(std::string_view token, const std::vector<std::string>& audiences) {
  std::string body =
      R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":)";
  telemetry::append_quoted_json(body, token);
  body += R"(,"audiences":[)";
  for (const std::string& audience : audiences) {
    if (body.back() != '[') body += ",";
    telemetry::append_quoted_json(body, audience);
  }
  return body + "]}}";
}

std::expected<TokenIdentity, ReviewError> read_review(std::string_view answer,
                                                      const std::vector<std::string>& audiences) {
  const auto wrong = [](bool about_token, std::string text) {
    return std::unexpected(ReviewError{about_token, std::move(text)});
  };
  const auto review = manifest::read_json(answer);
  const Value* status = review ? member(&*review, "status") : nullptr;
  if (status == nullptr) return wrong(false, "the answer is not a TokenReview");
  if (text_of(member(status, "authenticated")) != "true") {
    const std::string why = text_of(member(status, "error")).substr(0, 256);
    return wrong(true,
                 "the API server does not accept the token" + (why.empty() ? "" : ": " + why));
  }
  // A server that knows nothing of audiences would accept a token that is meant for somebody else.
  const Value* granted = member(status, "audiences");
  const bool ours =
      granted != nullptr && granted->type == Value::Type::kList &&
      std::any_of(granted->items.begin(), granted->items.end(), [&](const Value& one) {
        return std::find(audiences.begin(), audiences.end(), text_of(&one)) != audiences.end();
      });
  if (!ours) return wrong(true, "the token is for another audience");
  const Value* user = member(status, "user");
  const std::string name = text_of(member(user, "username"));
  const auto colon = name.find(':', kAccountUser.size());
  if (!name.starts_with(kAccountUser) || colon == std::string::npos) {
    return wrong(true, "the token is not that of a service account");
  }
  TokenIdentity identity;
  identity.ns = name.substr(kAccountUser.size(), colon - kAccountUser.size());
  identity.service_account = name.substr(colon + 1);
  identity.pod = extra(user, "pod-name");
  identity.pod_uid = extra(user, "pod-uid");
  identity.node = extra(user, "node-name");
  if (identity.ns.empty() || identity.service_account.empty()) {
    return wrong(true, "the token is not that of a service account");
  }
  return identity;
}

Authenticator::Answer caller_of(const TokenIdentity& identity, const ReviewOptions& options,
                                const World* world) {
  Caller caller{.node = {},
                .ns = identity.ns,
                .service_account = identity.service_account,
                .pod = identity.pod};
  if (!options.node_accounts.contains(identity.ns + "/" + identity.service_account)) return caller;
  const std::string who = identity.ns + "/" + identity.service_account;
  if (identity.pod.empty()) {
    return refuse(
        kPermissionDenied,
        "the token of " + who + " is not bound to a pod: it does not say which node it is of");
  }
  const auto* pod =
      world == nullptr ? nullptr : world->find<manifest::Pod>(identity.ns, identity.pod);
  if (pod != nullptr && pod->metadata.uid != identity.pod_uid) pod = nullptr;  // of the same name
  const std::string seen = pod == nullptr ? std::string() : pod->node_name;
  if (!seen.empty() && !identity.node.empty() && seen != identity.node) {
    return refuse(kPermissionDenied, "the token of " + who + " says node " + identity.node +
                                         ", but its pod " + identity.pod + " is on " + seen);
  }
  caller.node = identity.node.empty() ? seen : identity.node;
  if (caller.node.empty()) {
    return refuse(kUnavailable, "the pod " + identity.ns + "/" + identity.pod +
                                    " of the token is not known here (yet)");
  }
  return caller;
}

TokenReviews::TokenReviews(kube::Http& http, const Hub& hub, ReviewOptions options)
    : http_(http), hub_(hub), options_(std::move(options)), cache_(options_.limits) {}

void TokenReviews::authenticate(const Credentials& credentials, Then then) {
  std::string_view token = credentials.authorization;
  if (!token.starts_with(kBearer)) return then(refuse(kUnauthenticated, "no bearer token"));
  token.remove_prefix(kBearer.size());
  if (token.empty() || token.size() > kMaxToken) {
    return then(refuse(kUnauthenticated, "the bearer token is empty or over 16 KiB"));
  }
  // Whatever else the API server knows, it is not asked about what a service account cannot have.
  if (!token_end(token)) {
    return then(refuse(kUnauthenticated, "the bearer token is not that of a service account"));
  }
  const TokenCache::Digest digest = digest_of_token(token);
  std::optional<TokenCache::Known> known;
  bool busy = false;
  {
    const std::lock_guard lock(mutex_);
    known = cache_.find(digest, std::chrono::steady_clock::now());
    if (known) ++counters_.cached;
    if (!known || !known->fresh) {
      // What is known but not fresh answers now; the question is for the next time.
      busy = waiting_ >= kMaxWaiting;
      if (!busy) {
        Question& question = questions_[digest];
        question.token = token;
        if (!known) {
          question.waiting.push_back(std::move(then));
          ++waiting_;
        }
      }
    }
  }
  if (known) {
    const auto snapshot = hub_.snapshot();
    if (known->fresh == false) ask_next();
    if (!known->identity) return then(refuse(kUnauthenticated, known->why));
    return then(caller_of(*known->identity, options_,
                          snapshot == nullptr ? nullptr : snapshot->world.get()));
  }
  if (busy) return then(refuse(kUnavailable, "too many tokens wait for a TokenReview"));
  ask_next();
}

void TokenReviews::ask_next() {
  std::vector<std::pair<TokenCache::Digest, kube::HttpRequest>> ask;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [digest, question] : questions_) {
      if (open_ >= kMaxOpen) break;
      if (std::exchange(question.asked, true)) continue;
      ++open_;
      ++counters_.asked;
      auto request =
          kube::ask_request(kReviews, review_request(question.token, options_.audiences));
      request.timeout = kPatience;
      ask.emplace_back(digest, std::move(request));
    }
  }
  for (auto& [digest, request] : ask) {
    http_.send(std::move(request),
               [this, digest](const kube::Http::Answer& answer) { answered(digest, answer); });
  }
}

void TokenReviews::answered(const TokenCache::Digest& digest, const kube::Http::Answer& answer) {
  std::vector<Then> waiting;
  std::expected<TokenIdentity, RpcError> result;
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const auto found = questions_.find(digest);
    const Question question = std::move(found->second);
    questions_.erase(found);
    --open_;
    waiting_ -= question.waiting.size();
    waiting = question.waiting;
    const auto fail = [&](const std::string& text) {
      ++counters_.failed;
      problem_ = text;
      result = refuse(kUnavailable, "the token cannot be checked now: " + text);
    };
    if (!answer) {
      fail(kube::write_error("create", {.type = kReviews}, answer.error()).text);
    } else if (auto identity = read_review(*answer, options_.audiences)) {
      problem_.clear();
      cache_.accept(digest, *identity, life_of(question.token), now);
      result = *std::move(identity);
    } else if (identity.error().about_token) {
      problem_.clear();
      ++counters_.refused;
      cache_.refuse(digest, identity.error().text, now);
      result = refuse(kUnauthenticated, identity.error().text);
    } else {
      fail(identity.error().text);
    }
  }
  const auto snapshot = hub_.snapshot();
  const World* world = snapshot == nullptr ? nullptr : snapshot->world.get();
  for (const Then& then : waiting) {
    if (result) {
      then(caller_of(*result, options_, world));
    } else {
      then(std::unexpected(result.error()));
    }
  }
  ask_next();
}

TokenReviews::Counters TokenReviews::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::string TokenReviews::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace mesh::control::auth
