#include "waypoint/extensions/check_message.h"

#include "envoy/service_auth.pb.h"
#include "mesh/base/utf8.h"
#include "mesh/xds/envoy_schema.h"
#include "waypoint/config/match.h"
#include "waypoint/extensions/wire_values.h"

namespace mesh::waypoint::extensions {
namespace {

namespace auth = envoy::service::auth::v3;
using Options = google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>;
using Action = HeaderEdit::Action;

template <class Map>
void fill(Map& map, const Pairs& pairs) {
  for (const auto& [name, value] : pairs) map[clean_utf8(name)] = clean_utf8(value);
}

std::vector<HeaderEdit> edits(const Options& options, Action otherwise, Action appended) {
  std::vector<HeaderEdit> made;
  for (const auto& option : options) {
    made.push_back(wire_values::edit_of(option, otherwise, appended));
  }
  return made;
}

void take_reply(const auth::DeniedHttpResponse& reply, CheckAnswer& answer) {
  answer.status = static_cast<int>(reply.status().code());
  answer.body = reply.body();
  answer.reply_headers = edits(reply.headers(), Action::kSet, Action::kAppend);
}

void take_allowed(const auth::OkHttpResponse& ok, CheckAnswer& answer) {
  // An `append` of the old kind appends to what is there, and adds nothing where nothing is.
  answer.request_headers = edits(ok.headers(), Action::kSet, Action::kAppendIfPresent);
  answer.response_headers = edits(ok.response_headers_to_add(), Action::kAppend, Action::kAppend);
  for (const std::string& name : ok.headers_to_remove()) {
    answer.removed_headers.push_back(config::to_lower(name));
  }
  for (const auto& one : ok.query_parameters_to_set()) {
    answer.set_query.emplace_back(one.key(), one.value());
  }
  answer.removed_query.assign(ok.query_parameters_to_remove().begin(),
                              ok.query_parameters_to_remove().end());
}

bool has_reply(const auth::CheckResponse& message) {
  return message.http_response_case() != auth::CheckResponse::HTTP_RESPONSE_NOT_SET;
}

}  // namespace

std::string encode(const CheckQuestion& question) {
  auth::CheckRequest request;
  auth::AttributeContext& all = *request.mutable_attributes();
  wire_values::to_address(question.source, *all.mutable_source()->mutable_address());
  all.mutable_source()->set_principal(question.source_principal);
  fill(*all.mutable_source()->mutable_labels(), question.source_labels);
  wire_values::to_address(question.destination, *all.mutable_destination()->mutable_address());
  all.mutable_destination()->set_principal(question.destination_principal);
  fill(*all.mutable_destination()->mutable_labels(), question.destination_labels);
  const auto since = question.time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  all.mutable_request()->mutable_time()->set_seconds(seconds.count());
  all.mutable_request()->mutable_time()->set_nanos(static_cast<std::int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count()));
  auth::AttributeContext::HttpRequest& http = *all.mutable_request()->mutable_http();
  http.set_id(clean_utf8(question.id));
  http.set_method(clean_utf8(question.method));
  http.set_path(clean_utf8(question.path));
  http.set_host(clean_utf8(question.host));
  http.set_scheme(clean_utf8(question.scheme));
  http.set_protocol(question.protocol);
  http.set_size(question.size);
  fill(*http.mutable_headers(), question.headers);
  if (question.raw_body) {
    http.set_raw_body(question.body);
  } else {
    http.set_body(clean_utf8(question.body));
  }
  fill(*all.mutable_context_extensions(), question.context_extensions);
  for (const auto& [filter, value] : question.metadata.members) {
    wire_values::to_struct(value,
                           (*all.mutable_metadata_context()->mutable_filter_metadata())[filter]);
  }
  return request.SerializeAsString();
}

Result<CheckAnswer> decode_check_answer(std::string_view bytes) {
  auth::CheckResponse message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !xds::unknown_fields("envoy.service.auth.v3.CheckResponse", bytes, 1).empty()) {
    return failed(Reason::kMalformed, "CheckResponse");
  }
  const bool good = message.status().code() == 0;
  if ((good && message.has_denied_response()) || (!message.has_status() && !has_reply(message))) {
    return failed(Reason::kMalformed, "CheckResponse");
  }
  CheckAnswer answer;
  if (message.has_error_response()) {
    answer.kind = CheckAnswer::Kind::kError;
    take_reply(message.error_response(), answer);
  } else if (good) {
    answer.kind = CheckAnswer::Kind::kAllowed;
    take_allowed(message.ok_response(), answer);
  } else {
    take_reply(message.denied_response(), answer);
  }
  if (answer.reply_headers.size() > kEditsMax || answer.request_headers.size() > kEditsMax ||
      answer.removed_headers.size() > kEditsMax || answer.response_headers.size() > kEditsMax ||
      answer.set_query.size() > kEditsMax || answer.removed_query.size() > kEditsMax) {
    return failed(Reason::kTooLarge, "CheckResponse");
  }
  const bool older = message.has_ok_response() && message.ok_response().has_dynamic_metadata();
  if (older || message.has_dynamic_metadata()) {
    const weft::wire::Struct& said =
        older ? message.ok_response().dynamic_metadata() : message.dynamic_metadata();
    if (!wire_values::from_struct(said, answer.metadata)) {
      return failed(Reason::kMalformed, "CheckResponse");
    }
  }
  return answer;
}

}  // namespace mesh::waypoint::extensions
