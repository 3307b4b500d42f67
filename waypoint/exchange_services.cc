// The part of an exchange that asks services what they think of a request.

#include <utility>

#include "mesh/io/timer.h"
#include "waypoint/exchange.h"
#include "waypoint/extensions/ext_authz.h"
#include "waypoint/extensions/ext_proc.h"
#include "waypoint/extensions/rate_limit.h"

namespace mesh::waypoint {
namespace {

// For a body that somebody is to see first; beyond it: 408.
constexpr io::Duration kReadAheadMax = std::chrono::seconds(60);

LocalReply too_large() {
  return {.status = 413,
          .flags = Flag::kDPE,
          .details = "request_payload_too_large",
          .body = "Payload Too Large"};
}

http::Value& member_of(http::Value& object, std::string_view name) {
  if (object.kind != http::Value::Kind::kObject) object = http::Value::object({});
  for (auto& [known, value] : object.members) {
    if (known == name) return value;
  }
  return object.members.emplace_back(std::string(name), http::Value()).second;
}

}  // namespace

void Exchange::note(std::string_view filter, http::Value metadata) {
  http::Value& known = member_of(metadata_, filter);
  if (metadata.kind != http::Value::Kind::kObject) return;
  for (auto& [name, value] : metadata.members) member_of(known, name) = std::move(value);
}

// But for what a service put in its place.
void Exchange::note_unsent(const Error& error) {
  if (passage_.settled()) return;
  record_.flags.add(error.reason == Reason::kMalformed ? Flag::kUPE : Flag::kDC);
}

// Dry runs, and the question whether an authorizer is to be asked.
void Exchange::note_shadow(const config::RbacFilter& filter, const rbac::Verdict& verdict) {
  context_.dry_runs.note(filter, verdict);
  http::Value said =
      http::Value::object({{filter.shadow_prefix + "shadow_engine_result",
                            http::Value::of_text(verdict.allowed() ? "allowed" : "denied")}});
  if (!verdict.policy().empty()) {
    said.members.emplace_back(filter.shadow_prefix + "shadow_effective_policy_id",
                              http::Value::of_text(verdict.policy()));
  }
  note("envoy.filters.http.rbac", std::move(said));
}

// Reads until more than `most` bytes are there or the body has ended. Held for nobody for long.
io::Task<std::optional<LocalReply>> Exchange::read_ahead(std::size_t most, bool& whole) {
  if (http::header_text(request_.headers, "expect").present()) {
    http::remove_header(request_.headers, "expect");
    (void)co_await stream_.respond_interim({.status = 100, .headers = {}});
  }
  const auto read = co_await io::with_deadline(context_.ring, kReadAheadMax, "request body",
                                               passage_.read_ahead(most));
  if (read) {
    whole = *read && passage_.held().size() <= most;
    co_return std::nullopt;
  }
  if (read.error().reason == Reason::kTimedOut) {
    co_return LocalReply{.status = 408, .flags = Flag::kDT, .details = "request_body_timeout"};
  }
  co_return LocalReply{
      .status = 400, .flags = Flag::kDC, .details = "downstream_remote_disconnect"};
}

// What routes say of it: added up from the table to the target.
config::ExtAuthzOverride Exchange::authz_override() const {
  config::ExtAuthzOverride whole;
  const config::FilterOverrides* const places[] = {
      http_.routes != nullptr ? &http_.routes->overrides : nullptr,
      decision_.host != nullptr ? &decision_.host->overrides : nullptr,
      decision_.route != nullptr ? &decision_.route->overrides : nullptr,
      decision_.target != nullptr ? &decision_.target->overrides : nullptr};
  for (const config::FilterOverrides* place : places) {
    if (place == nullptr || !place->ext_authz) continue;
    whole.disabled = place->ext_authz->disabled;
    if (place->ext_authz->body) whole.body = place->ext_authz->body;
    for (const auto& [name, value] : place->ext_authz->context_extensions) {
      std::erase_if(whole.context_extensions, [&](const auto& pair) { return pair.first == name; });
      whole.context_extensions.emplace_back(name, value);
    }
  }
  return whole;
}

bool Exchange::is_asked(const config::ExtAuthz& filter) {
  if (filter.enabled_by_policy) {
    const http::Value* rules = metadata_.member("envoy.filters.http.rbac");
    const http::Value* policy =
        rules == nullptr ? nullptr
                         : rules->member(filter.enabled_by_prefix + "shadow_effective_policy_id");
    if (policy == nullptr || !filter.enabled_by_policy->matches(policy->text)) return false;
  }
  return filter.enabled.hit(context_.dice.roll());
}

io::Task<std::optional<LocalReply>> Exchange::ask(const config::ExtAuthz& filter) {
  const config::ExtAuthzOverride own = authz_override();
  if (own.disabled) co_return std::nullopt;
  if (!is_asked(filter)) {
    if (!filter.deny_at_disable) co_return std::nullopt;
    co_return LocalReply{
        .status = filter.status_on_error, .flags = Flag::kUAEX, .details = "ext_authz_error"};
  }
  const config::ExtAuthzOverride::Body body = own.body.value_or(config::ExtAuthzOverride::Body{
      filter.max_request_bytes, filter.allow_partial_message, filter.pack_as_bytes});
  extensions::AuthzSubject subject{.request = request_,
                                   .source = caller_.address,
                                   .destination = caller_.target,
                                   .source_principal = caller_.principal,
                                   .destination_principal = caller_.own_principal,
                                   .request_id = record_.request_id,
                                   .protocol = record_.protocol,
                                   .time = record_.wall,
                                   .metadata = metadata_};
  if (body.max_request_bytes > 0 && request_.protocol.empty() && !stream_.request_ended()) {
    bool whole = false;
    if (auto reply = co_await read_ahead(body.max_request_bytes, whole)) co_return reply;
    if (!whole && !body.allow_partial_message) {
      co_return too_large();
    }
    subject.body = std::string(passage_.held().substr(0, body.max_request_bytes));
    subject.body_is_partial = !whole;
  }
  extensions::CheckQuestion question =
      extensions::question_of(filter, own.context_extensions, subject);
  question.raw_body = body.pack_as_bytes;
  extensions::AuthzResult result =
      co_await extensions::authorize(context_, snapshot_, filter, std::move(question));
  if (result.changes.metadata.kind == http::Value::Kind::kObject) {
    note(extensions::kAuthzMetadataFilter, std::move(result.changes.metadata));
  }
  if (result.refusal) co_return result.refusal;
  const bool changed = extensions::apply_to_request(result.changes, request_);
  response_edits_.insert(response_edits_.end(), result.changes.response_headers.begin(),
                         result.changes.response_headers.end());
  co_return changed&& filter.clear_route_cache ? route() : std::nullopt;
}

io::Task<std::optional<LocalReply>> Exchange::ask(const config::RateLimitService& filter) {
  const config::RateLimitOverride* own =
      http_.routes != nullptr
          ? route::override_of(*http_.routes, decision_, &config::FilterOverrides::rate_limit)
          : nullptr;
  const bool named = own != nullptr && !own->domain.empty();
  extensions::LimitQuestion question{.domain = named ? own->domain : filter.domain,
                                     .descriptors = descriptors(filter.stage, own)};
  extensions::LimitResult result =
      co_await extensions::ask_limit(context_, snapshot_, filter, std::move(question));
  if (result.metadata.kind == http::Value::Kind::kObject) {
    note(extensions::kLimitMetadataFilter, std::move(result.metadata));
  }
  if (result.refusal) co_return result.refusal;
  extensions::apply(result.request_headers, request_.headers);
  response_edits_.insert(response_edits_.end(), result.response_headers.begin(),
                         result.response_headers.end());
  co_return std::nullopt;
}

io::Task<std::optional<LocalReply>> Exchange::ask(const config::ExtProc& of_chain) {
  config::ExtProc filter = of_chain;
  if (const auto* own =
          http_.routes != nullptr
              ? route::override_of(*http_.routes, decision_, &config::FilterOverrides::ext_proc)
              : nullptr) {
    if (own->disabled) co_return std::nullopt;
    filter.failure_mode_allow = own->failure_mode_allow.value_or(filter.failure_mode_allow);
    if (own->mode) {
      filter.request_header = own->mode->request_header;
      filter.response_header = own->mode->response_header;
      filter.request_body = own->mode->request_body;
      filter.response_body = own->mode->response_body;
      filter.request_trailer = own->mode->request_trailer;
      filter.response_trailer = own->mode->response_trailer;
    }
  }
  if (passage_.processor() != nullptr) {
    co_return LocalReply{.status = 500,
                         .flags = Flag::kNFCF,
                         .details = "filter_unavailable{ext_proc}",
                         .body = "a second ext_proc of one chain is not available"};
  }
  passage_.process_by(
      std::make_unique<extensions::Processor>(context_, snapshot_, filter, is_grpc_), is_grpc_);
  extensions::Processor& processor = *passage_.processor();
  auto done = co_await processor.request_headers(request_, stream_.request_ended());
  if (done.refusal) co_return done.refusal;
  if (done.changed) {
    // What is asked now has one spelling, too.
    if (wire::check_request(request_) != h1::Fault::kNone) {
      co_return LocalReply{.status = 500, .details = "ext_proc_error{malformed}"};
    }
    if (auto reply = normalise()) co_return reply;
  }
  if (done.body) {
    passage_.replace_request(*std::move(done.body), request_);
  } else if (auto reply = co_await process_body()) {
    co_return reply;
  }
  using RouteCache = config::ExtProc::RouteCache;
  const bool again = filter.route_cache == RouteCache::kClear
                         ? done.changed
                         : filter.route_cache == RouteCache::kDefault && done.clear_route_cache;
  co_return again ? route() : std::nullopt;
}

io::Task<std::optional<LocalReply>> Exchange::process_body() {
  using Body = config::ExtProc::Body;
  extensions::Processor& processor = *passage_.processor();
  if (stream_.request_ended() || !request_.protocol.empty()) co_return std::nullopt;
  if (processor.request_body() == Body::kStreamed) {
    http::remove_header(request_.headers, "content-length");
    passage_.stream_request();
  }
  const bool part_will_do = processor.request_body() == Body::kBufferedPartial;
  if (processor.request_body() != Body::kBuffered && !part_will_do) co_return std::nullopt;
  bool whole = false;
  if (auto reply = co_await read_ahead(extensions::kBufferedMax, whole)) co_return reply;
  if (!whole && !part_will_do) co_return too_large();
  const auto processed =
      co_await (whole ? passage_.process_request(request_) : passage_.process_beginning(request_));
  if (!processed) co_return processor.why();
  co_return std::nullopt;
}

}  // namespace mesh::waypoint
