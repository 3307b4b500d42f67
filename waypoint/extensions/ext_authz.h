#pragma once
// ext_authz: asks a service, over gRPC or HTTP, whether a request may pass. Whatever does not say
// that it may is a no, but for what failure_mode_allow says of failures.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/io/task.h"
#include "waypoint/callout.h"
#include "waypoint/config/filter.h"
#include "waypoint/extensions/check_message.h"
#include "waypoint/http/request.h"
#include "waypoint/local_reply.h"

namespace mesh::waypoint::extensions {

inline constexpr std::string_view kAuthzMetadataFilter = "envoy.filters.http.ext_authz";
inline constexpr std::size_t kAuthzAnswerMax = 64 * 1024;  // a message, or a body

// What is known when somebody is asked. Borrows.
struct AuthzSubject {
  const http::Request& request;
  net::SocketAddress source = {}, destination = {};
  std::string_view source_principal = {}, destination_principal = {};
  std::string_view request_id = {};
  std::string_view protocol = "HTTP/1.1";
  std::chrono::system_clock::time_point time = {};
  const http::Value& metadata;
  std::optional<std::string> body = {};  // none: it is not sent along
  bool body_is_partial = false;
};
CheckQuestion question_of(const config::ExtAuthz& filter, const Pairs& context_extensions,
                          const AuthzSubject& subject);

// As HTTP services are asked, and what their answer means. Pure.
HttpCall http_call_of(const config::ExtAuthz& filter, const CheckQuestion& question);
CheckAnswer answer_of(const config::ExtAuthz& filter, const HttpAnswer& answer);

struct AuthzResult {
  std::optional<LocalReply> refusal = {};
  CheckAnswer changes = {};  // when not refused
  bool failed_open = false;  // nobody said yes
};
// Pure: what an answer comes to; `answer` none: there is none.
AuthzResult judge(const config::ExtAuthz& filter, Result<CheckAnswer> answer);
io::Task<AuthzResult> authorize(RingContext& context, config::SnapshotPtr snapshot,
                                const config::ExtAuthz& filter, CheckQuestion question);

// Makes the changes of an answer that allows. True: something changed.
bool apply_to_request(const CheckAnswer& changes, http::Request& request);

}  // namespace mesh::waypoint::extensions
