#include "waypoint/extensions/ext_authz.h"

#include <algorithm>
#include <utility>

namespace mesh::waypoint::extensions {
namespace {

constexpr std::string_view kPartialBody = "x-envoy-auth-partial-body";
constexpr std::string_view kToRemove = "x-envoy-auth-headers-to-remove";

bool any(const std::vector<config::StringMatch>& matches, std::string_view text) {
  return std::ranges::any_of(matches, [&](const auto& match) { return match.matches(text); });
}

// May a header of the request be told to the service?
bool is_told(const config::ExtAuthz& filter, std::string_view name) {
  if (any(filter.disallowed_headers, name)) return false;
  if (any(filter.allowed_headers, name)) return true;
  if (filter.grpc) return filter.allowed_headers.empty();
  return name.starts_with(':') || name == "authorization";
}

std::int64_t length_of(const http::Request& request) {
  const auto length = wire::content_length(request.headers);
  return length && *length ? static_cast<std::int64_t>(**length) : -1;
}

// Of a refusal over HTTP: what its client is told. Framing is ours.
bool is_passed_on(const config::ExtAuthz& filter, std::string_view name) {
  if (is_protected_header(name)) return false;
  if (filter.allowed_client_headers.empty()) return true;
  return name == "www-authenticate" || name == "location" ||
         any(filter.allowed_client_headers, name);
}

std::vector<std::string> listed(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view name = text.substr(0, comma);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty()) names.push_back(config::to_lower(name));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return names;
}

LocalReply refusal(int status, std::string_view details) {
  return {.status = status, .flags = Flag::kUAEX, .details = std::string(details)};
}

LocalReply reply_of(const CheckAnswer& answer, int otherwise, std::string_view details) {
  LocalReply reply = refusal(answer.status != 0 ? answer.status : otherwise, details);
  reply.body = answer.body;
  for (const HeaderEdit& edit : answer.reply_headers) {
    // Its length is that of the body; what frames it is not for others to say.
    if (is_protected_header(edit.name)) continue;
    apply(edit, reply.headers);
  }
  return reply;
}

bool is_sound(const std::vector<HeaderEdit>& edits) {
  return std::ranges::all_of(edits, is_good_edit);
}

// Can it be done as it is said? Nothing of what cannot is done.
bool is_sound(const CheckAnswer& answer) {
  const auto is_text = [](const HeaderEdit& edit) {
    return is_protected_header(edit.name) || is_good_edit(edit);
  };
  const auto is_parameter = [](std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '#'; });
  };
  const bool status = answer.status == 0 || (answer.status >= 200 && answer.status <= 599);
  return status && is_sound(answer.request_headers) && is_sound(answer.response_headers) &&
         std::ranges::all_of(answer.reply_headers, is_text) &&
         std::ranges::all_of(answer.set_query, [&](const auto& pair) {
           return is_parameter(pair.first) && is_parameter(pair.second);
         });
}

void change_query(const CheckAnswer& changes, http::Request& request) {
  std::vector<std::string> kept;
  const auto named = [](std::string_view parameter) {
    return parameter.substr(0, parameter.find('='));
  };
  const auto is_changed = [&](std::string_view name) {
    return std::ranges::find(changes.removed_query, name) != changes.removed_query.end() ||
           std::ranges::any_of(changes.set_query,
                               [&](const auto& pair) { return pair.first == name; });
  };
  std::string_view rest = request.query();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view parameter = rest.substr(0, end);
    if (!parameter.empty() && !is_changed(named(parameter))) kept.emplace_back(parameter);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (const auto& [name, value] : changes.set_query) {
    const bool removed =
        std::ranges::find(changes.removed_query, name) != changes.removed_query.end();
    if (!removed) kept.push_back(name + "=" + value);
  }
  std::string path(request.path_only());
  for (std::size_t i = 0; i < kept.size(); ++i) path.append(i == 0 ? "?" : "&").append(kept[i]);
  request.path = std::move(path);
}

}  // namespace

CheckQuestion question_of(const config::ExtAuthz& filter, const Pairs& context_extensions,
                          const AuthzSubject& subject) {
  const http::Request& request = subject.request;
  CheckQuestion question{.source = subject.source,
                         .source_principal = std::string(subject.source_principal),
                         .destination = subject.destination,
                         .destination_principal = std::string(subject.destination_principal),
                         .time = subject.time,
                         .id = std::string(subject.request_id),
                         .method = request.method,
                         .path = request.path,
                         .host = request.authority,
                         .scheme = request.scheme,
                         .protocol = std::string(subject.protocol),
                         .size = length_of(request),
                         .raw_body = filter.pack_as_bytes,
                         .context_extensions = context_extensions};
  const auto tell = [&](std::string_view name, std::string_view value) {
    if (is_told(filter, name)) question.headers.emplace_back(name, value);
  };
  tell(":authority", request.authority);
  tell(":method", request.method);
  tell(":path", request.path);
  tell(":scheme", request.scheme);
  for (const h2::Header& header : request.headers) {
    const bool seen = std::ranges::any_of(
        question.headers, [&](const auto& pair) { return pair.first == header.name; });
    if (!seen) tell(header.name, http::header_text(request.headers, header.name).text());
  }
  if (subject.body) {
    question.body = *subject.body;
    question.headers.emplace_back(kPartialBody, subject.body_is_partial ? "true" : "false");
  }
  for (const std::string& filter_name : filter.metadata_namespaces) {
    const http::Value* found = subject.metadata.member(filter_name);
    if (found != nullptr) question.metadata.members.emplace_back(filter_name, *found);
  }
  return question;
}

HttpCall http_call_of(const config::ExtAuthz& filter, const CheckQuestion& question) {
  HttpCall call{.cluster = filter.cluster,
                .request = {.method = question.method,
                            .scheme = question.scheme,
                            .authority = question.host,
                            .path = filter.path_prefix + question.path},
                .body = question.body,
                .timeout = filter.timeout,
                .response_max = kAuthzAnswerMax};
  for (const auto& [name, value] : question.headers) {
    if (!is_protected_header(name)) call.request.headers.push_back({name, value});
  }
  for (const auto& [name, value] : filter.headers_to_add) {
    http::set_header(call.request.headers, name, value);
  }
  if (call.body.empty()) http::set_header(call.request.headers, "content-length", "0");
  return call;
}

CheckAnswer answer_of(const config::ExtAuthz& filter, const HttpAnswer& answer) {
  CheckAnswer made;
  if (answer.status >= 500) {
    made.kind = CheckAnswer::Kind::kError;
    return made;
  }
  if (answer.status != 200) {
    made.status = answer.status;
    made.body = answer.body;
    for (const h2::Header& header : answer.headers) {
      if (!is_passed_on(filter, header.name)) continue;
      made.reply_headers.push_back({header.name, header.value, HeaderEdit::Action::kAppend});
    }
    return made;
  }
  made.kind = CheckAnswer::Kind::kAllowed;
  using Action = HeaderEdit::Action;
  http::Value metadata = http::Value::object({});
  for (const h2::Header& header : answer.headers) {
    if (header.name == kToRemove) {
      const auto names = listed(header.value);
      made.removed_headers.insert(made.removed_headers.end(), names.begin(), names.end());
    }
    if (any(filter.metadata_from_headers, header.name)) {
      metadata.members.emplace_back(header.name, http::Value::of_text(header.value));
    }
    if (any(filter.allowed_client_headers_on_success, header.name)) {
      made.response_headers.push_back({header.name, header.value, Action::kAppend});
    }
    if (is_protected_header(header.name)) continue;
    if (any(filter.allowed_upstream_headers, header.name)) {
      made.request_headers.push_back({header.name, header.value, Action::kSet});
    }
    if (any(filter.allowed_upstream_headers_to_append, header.name)) {
      made.request_headers.push_back({header.name, header.value, Action::kAppendIfPresent});
    }
  }
  if (!metadata.members.empty()) made.metadata = std::move(metadata);
  return made;
}

AuthzResult judge(const config::ExtAuthz& filter, Result<CheckAnswer> answer) {
  AuthzResult result;
  if (answer && !is_sound(*answer)) {
    // Not a failure that may be let through: somebody did answer.
    result.refusal = refusal(500, "ext_authz_invalid");
    return result;
  }
  if (answer && answer->kind == CheckAnswer::Kind::kAllowed) {
    result.changes = *std::move(answer);
    return result;
  }
  if (answer && answer->kind == CheckAnswer::Kind::kDenied) {
    result.refusal = reply_of(*answer, 403, "ext_authz_denied");
    result.changes.metadata = std::move(answer->metadata);
    return result;
  }
  if (filter.failure_mode_allow) {
    result.failed_open = true;
    if (filter.failure_mode_allow_header) {
      result.changes.request_headers.push_back(
          {.name = "x-envoy-auth-failure-mode-allowed", .value = "true"});
    }
    return result;
  }
  result.refusal = answer ? reply_of(*answer, filter.status_on_error, "ext_authz_error")
                          : refusal(filter.status_on_error, "ext_authz_error");
  return result;
}

io::Task<AuthzResult> authorize(RingContext& context, config::SnapshotPtr snapshot,
                                const config::ExtAuthz& filter, CheckQuestion question) {
  if (!filter.grpc) {
    HttpCall call = http_call_of(filter, question);
    const auto answer = co_await call_http(context, std::move(snapshot), std::move(call));
    if (!answer) co_return judge(filter, std::unexpected(answer.error()));
    co_return judge(filter, answer_of(filter, *answer));
  }
  GrpcCall call{.cluster = filter.cluster,
                .authority = filter.authority,
                .path = "/envoy.service.auth.v3.Authorization/Check",
                .timeout = filter.timeout,
                .message_max = kAuthzAnswerMax};
  const auto answer =
      co_await call_grpc(context, std::move(snapshot), std::move(call), encode(question));
  if (!answer) co_return judge(filter, std::unexpected(answer.error()));
  if (!answer->status.ok()) co_return judge(filter, failed(Reason::kRefused, "authorizer"));
  co_return judge(filter, decode_check_answer(answer->message));
}

bool apply_to_request(const CheckAnswer& changes, http::Request& request) {
  apply(changes.request_headers, request.headers);
  for (const std::string& name : changes.removed_headers) {
    if (!is_protected_header(name)) http::remove_header(request.headers, name);
  }
  const bool query = !changes.set_query.empty() || !changes.removed_query.empty();
  if (query) change_query(changes, request);
  return query || !changes.request_headers.empty() || !changes.removed_headers.empty();
}

}  // namespace mesh::waypoint::extensions
