#include "waypoint/extensions/ext_proc.h"

#include <algorithm>
#include <utility>

#include "mesh/io/timer.h"

namespace mesh::waypoint::extensions {
namespace {

using config::ExtProc;

bool is_routing(std::string_view name) {
  return name == "host" || name == ":authority" || name == ":scheme" || name == ":method";
}

std::string text_of(const h2::Headers& headers, std::string_view name) {
  return std::string(h2::find_header(headers, name).value_or(""));
}

// Pseudo-headers out of a head and back.
h2::Headers head_of(const http::Request& request) {
  h2::Headers headers = {{":method", request.method},
                         {":scheme", request.scheme},
                         {":authority", request.authority},
                         {":path", request.path}};
  headers.insert(headers.end(), request.headers.begin(), request.headers.end());
  return headers;
}

void take_head(h2::Headers headers, http::Request& request) {
  request.method = text_of(headers, ":method");
  request.scheme = text_of(headers, ":scheme");
  request.authority = text_of(headers, ":authority");
  request.path = text_of(headers, ":path");
  std::erase_if(headers, [](const h2::Header& header) { return header.name.starts_with(':'); });
  request.headers = std::move(headers);
}

int status_in(const h2::Headers& headers) {
  const std::string text = text_of(headers, ":status");
  int status = 0;
  for (const char c : text)
    status = c >= '0' && c <= '9' && status < 1000 ? status * 10 + c - '0' : 0;
  return text.size() == 3 && status >= 200 && status <= 599 ? status : 0;
}

}  // namespace

// ---- what may be changed ----

Allowed may_change(const config::MutationRules& rules, std::string_view name, bool removal) {
  const Allowed no = rules.disallow_is_error ? Allowed::kError : Allowed::kIgnored;
  if (removal && (name.starts_with(':') || name == "host")) return no;
  if (rules.disallow_expression && rules.disallow_expression->matches(name)) return no;
  const bool system = name.starts_with(':');
  // What frames a message is ours in any case, and so is who the caller is.
  const bool ours =
      (!system && name != "host" && is_protected_header(name)) || name == "x-forwarded-client-cert";
  if (ours) return no;
  if (rules.allow_expression && rules.allow_expression->matches(name)) return Allowed::kYes;
  if (rules.disallow_all) return no;
  if (rules.disallow_system && system) return no;
  if (!rules.allow_routing && is_routing(name)) return no;
  if (!rules.allow_envoy && name.starts_with("x-envoy")) return no;
  return Allowed::kYes;
}

bool apply(const config::MutationRules& rules, const ProcessMutation& mutation,
           h2::Headers& headers) {
  for (const std::string& name : mutation.removed) {
    const Allowed allowed = may_change(rules, name, true);
    if (allowed == Allowed::kError) return false;
    if (allowed == Allowed::kYes) http::remove_header(headers, name);
  }
  for (HeaderEdit edit : mutation.set) {
    const Allowed allowed = may_change(rules, edit.name, false);
    if (allowed == Allowed::kError) return false;
    if (allowed == Allowed::kIgnored) continue;
    if (edit.name == "host") edit.name = ":authority";
    const bool system = edit.name.starts_with(':');
    // One value each, and only those that this kind of head has.
    if (system && !h2::find_header(headers, edit.name)) return false;
    if (system) edit.action = HeaderEdit::Action::kSet;
    if (!http::is_header_value(edit.value) || (system && edit.value.empty())) return false;
    if (!system && !http::is_header_name(edit.name)) return false;
    extensions::apply(edit, headers);
  }
  return true;
}

// ---- parts ----

Processor::Processor(RingContext& context, config::SnapshotPtr snapshot, const ExtProc& filter,
                     bool is_grpc)
    : context_(context),
      snapshot_(std::move(snapshot)),
      filter_(filter),
      is_grpc_(is_grpc),
      free_(context.ring) {}

bool Processor::sees_response_headers() const {
  // What cannot be asked about any more is refused, not left out.
  return given_up_ || (!over_ && filter_.response_header != ExtProc::Send::kSkip);
}

bool Processor::sees_trailers(ProcessPart part) const {
  const auto send =
      part == ProcessPart::kRequestTrailers ? filter_.request_trailer : filter_.response_trailer;
  return !over_ && send == ExtProc::Send::kSend;
}

h2::Headers Processor::told(const h2::Headers& headers) const {
  const auto any = [](const std::vector<config::StringMatch>& matches, std::string_view name) {
    return std::ranges::any_of(matches, [&](const auto& match) { return match.matches(name); });
  };
  h2::Headers told = headers;
  std::erase_if(told, [&](const h2::Header& header) {
    return any(filter_.disallowed_headers, header.name) ||
           (!filter_.allowed_headers.empty() && !any(filter_.allowed_headers, header.name));
  });
  return told;
}

io::Task<Processor::HeadersDone> Processor::request_headers(http::Request& request, bool end) {
  HeadersDone done;
  if (filter_.request_header == ExtProc::Send::kSkip) co_return done;
  h2::Headers headers = head_of(request);
  ProcessQuestion question{
      .part = ProcessPart::kRequestHeaders, .headers = told(headers), .end = end};
  auto answer = co_await ask(std::move(question));
  if (!answer) done.refusal = why();
  if (!answer || !*answer) co_return done;
  const ProcessAnswer& said = **answer;
  if (!apply(filter_.rules, said.headers, headers)) {
    if (!fail({.reason = Reason::kMalformed, .during = "ext_proc"})) done.refusal = why();
    co_return done;
  }
  take_head(std::move(headers), request);
  done.changed = !said.headers.empty();
  done.clear_route_cache = said.clear_route_cache;
  if (said.replaces) {
    done.body = said.body.value_or("");
    filter_.request_body = kNothing;
    filter_.request_trailer = ExtProc::Send::kSkip;
  }
  co_return done;
}

io::Task<Processor::HeadersDone> Processor::response_headers(wire::Response& response, bool end) {
  HeadersDone done;
  h2::Headers headers = {{":status", std::to_string(response.status)}};
  headers.insert(headers.end(), response.headers.begin(), response.headers.end());
  ProcessQuestion question{
      .part = ProcessPart::kResponseHeaders, .headers = told(headers), .end = end};
  auto answer = co_await ask(std::move(question));
  if (!answer) done.refusal = why();
  if (!answer || !*answer) co_return done;
  const ProcessAnswer& said = **answer;
  const bool applied = apply(filter_.rules, said.headers, headers);
  if (!applied || status_in(headers) == 0) {
    if (!fail({.reason = Reason::kMalformed, .during = "ext_proc"})) done.refusal = why();
    co_return done;
  }
  response.status = status_in(headers);
  std::erase_if(headers, [](const h2::Header& header) { return header.name.starts_with(':'); });
  response.headers = std::move(headers);
  done.changed = !said.headers.empty();
  if (said.replaces) {
    done.body = said.body.value_or("");
    filter_.response_body = kNothing;
    filter_.response_trailer = ExtProc::Send::kSkip;
  }
  co_return done;
}

io::Task<Result<std::string>> Processor::body(ProcessPart part, std::string bytes, bool end,
                                              h2::Headers* headers) {
  ProcessQuestion question{.part = part, .body = bytes, .end = end};
  auto answer = co_await ask(std::move(question));
  if (!answer) co_return std::unexpected(answer.error());
  if (!*answer) co_return bytes;
  const ProcessAnswer& said = **answer;
  if (headers != nullptr && !apply(filter_.rules, said.headers, *headers)) {
    const auto failure = fail({.reason = Reason::kMalformed, .during = "ext_proc"});
    if (!failure) co_return std::unexpected(failure.error());
    co_return bytes;
  }
  co_return said.body ? *said.body : bytes;
}

io::Task<Result<Done>> Processor::trailers(ProcessPart part, h2::Headers& trailers) {
  ProcessQuestion question{.part = part, .headers = told(trailers)};
  auto answer = co_await ask(std::move(question));
  if (!answer) co_return std::unexpected(answer.error());
  if (!*answer) co_return Done{};
  if (!apply(filter_.rules, (*answer)->headers, trailers)) {
    const auto failure = fail({.reason = Reason::kMalformed, .during = "ext_proc"});
    if (!failure) co_return std::unexpected(failure.error());
  }
  co_return Done{};
}

LocalReply Processor::why() const {
  return refusal_ ? *refusal_ : LocalReply{.status = 500, .details = "ext_proc_error{cancelled}"};
}

// ---- the conversation ----

io::Task<Result<std::optional<ProcessAnswer>>> Processor::ask(ProcessQuestion question) {
  while (busy_) {
    CO_TRY_DO(co_await free_.wait());
  }
  if (refusal_ || given_up_) co_return failed(Reason::kDenied, "ext_proc");
  if (over_) co_return std::nullopt;
  busy_ = true;
  auto answer = co_await ask_now(std::move(question));
  busy_ = false;
  free_.set();
  free_.reset();
  co_return answer;
}

io::Task<Result<std::optional<ProcessAnswer>>> Processor::ask_now(ProcessQuestion question) {
  if (!std::exchange(begun_, true)) {
    question.request_body = filter_.request_body;
    question.response_body = filter_.response_body;
    GrpcCall call{.cluster = filter_.cluster,
                  .authority = filter_.authority,
                  .path = "/envoy.service.ext_proc.v3.ExternalProcessor/Process",
                  .timeout = filter_.message_timeout,
                  .message_max = kProcessAnswerMax};
    auto opened = co_await GrpcStream::open(context_, snapshot_, std::move(call));
    if (!opened) co_return fail(opened.error());
    stream_ = *std::move(opened);
  }
  const ProcessPart part = question.part;
  const std::string message = encode(question);
  const auto sent = co_await io::with_deadline(context_.ring, filter_.message_timeout, "ext_proc",
                                               stream_->send(message));
  if (!sent) co_return fail(sent.error());
  co_return co_await answer_to(part);
}

io::Task<Result<std::optional<ProcessAnswer>>> Processor::answer_to(ProcessPart part) {
  io::Duration limit = filter_.message_timeout;
  bool more_time = false;
  for (;;) {
    auto message = co_await receive(limit);
    if (!message) co_return fail(message.error());
    if (!*message) {
      if (!stream_->status().ok()) co_return fail(stream_->status().error("ext_proc"));
      end();  // it has no more to say
      co_return std::nullopt;
    }
    auto answer = decode_process_answer(**message);
    if (!answer) co_return fail(answer.error());
    if (answer->kind == ProcessAnswer::Kind::kMoreTime) {
      // Once for each question, and only as far as it was allowed; else it says nothing.
      const bool good = !more_time && answer->more_time.count() >= 1 &&
                        answer->more_time <= filter_.max_message_timeout;
      if (good) limit = answer->more_time;
      if (std::exchange(more_time, true)) {
        co_return fail({.reason = Reason::kProtocol, .during = "ext_proc"});
      }
      continue;
    }
    if (answer->kind == ProcessAnswer::Kind::kReply) co_return reply(*answer);
    if (answer->part != part) co_return fail({.reason = Reason::kProtocol, .during = "ext_proc"});
    take(*answer);
    co_return std::optional(*std::move(answer));
  }
}

io::Task<Result<std::optional<std::string>>> Processor::receive(io::Duration limit) {
  co_return co_await io::with_deadline(context_.ring, limit, "ext_proc", stream_->receive());
}

void Processor::take(const ProcessAnswer& answer) {
  const bool heads =
      answer.part == ProcessPart::kRequestHeaders || answer.part == ProcessPart::kResponseHeaders;
  if (!heads || !answer.mode || !filter_.allow_mode_override) return;
  if (answer.part == ProcessPart::kRequestHeaders) {
    filter_.request_body = answer.mode->request_body;
    filter_.request_trailer = answer.mode->request_trailer;
    filter_.response_header = answer.mode->response_header;
  }
  filter_.response_body = answer.mode->response_body;
  filter_.response_trailer = answer.mode->response_trailer;
}

Result<std::optional<ProcessAnswer>> Processor::reply(const ProcessAnswer& answer) {
  if (filter_.disable_immediate_response) {
    return fail({.reason = Reason::kProtocol, .during = "ext_proc"});
  }
  LocalReply made{.status = answer.status == 0 ? 200 : answer.status,
                  .details = answer.details.empty() ? "ext_proc" : answer.details,
                  .body = answer.body.value_or("")};
  std::ranges::replace_if(made.details, [](char c) { return c <= ' ' || c >= 0x7f; }, '_');
  if (made.status < 200 || made.status > 599) {
    return fail({.reason = Reason::kMalformed, .during = "ext_proc"});
  }
  h2::Headers headers;
  for (const HeaderEdit& edit : answer.headers.set) {
    if (may_change(filter_.rules, edit.name, false) != Allowed::kYes) continue;
    if (!is_good_edit(edit)) return fail({.reason = Reason::kMalformed, .during = "ext_proc"});
    extensions::apply(edit, headers);
  }
  made.headers = std::move(headers);
  if (is_grpc_ && answer.grpc_status) {
    made.status = 200;
    http::set_header(made.headers, "content-type", "application/grpc");
    http::set_header(made.headers, "grpc-status", std::to_string(*answer.grpc_status));
    if (!made.body.empty()) {
      http::set_header(made.headers, "grpc-message", grpc_message(std::exchange(made.body, {})));
    }
  }
  refusal_ = std::move(made);
  end();
  return failed(Reason::kDenied, "ext_proc");
}

Result<std::optional<ProcessAnswer>> Processor::fail(const Error& error) {
  end();
  if (error.reason == Reason::kCancelled) {
    // Half a question may have been asked: what comes after it is refused.
    given_up_ = true;
    return std::unexpected(error);
  }
  if (filter_.failure_mode_allow) return std::nullopt;
  const bool late = error.reason == Reason::kTimedOut;
  refusal_ =
      LocalReply{.status = late ? 504 : 500,
                 .details = "ext_proc_error{" + std::string(reason_name(error.reason)) + "}"};
  return failed(Reason::kDenied, "ext_proc");
}

void Processor::end() {
  over_ = true;
  stream_.reset();
}

io::Task<void> Processor::finish() {
  if (stream_) (void)co_await stream_->finish_sending();
}

}  // namespace mesh::waypoint::extensions
