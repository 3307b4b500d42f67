#include "waypoint/extensions/process_message.h"

#include <algorithm>

#include "envoy/service_ext_proc.pb.h"
#include "mesh/xds/envoy_schema.h"
#include "waypoint/config/match.h"
#include "waypoint/extensions/wire_values.h"

namespace mesh::waypoint::extensions {
namespace {

namespace proc = envoy::service::ext_proc::v3;
using Wire = envoy::extensions::filters::http::ext_proc::v3::ProcessingMode;
using config::ExtProc;

Wire::BodySendMode to_wire(ExtProc::Body body) { return static_cast<Wire::BodySendMode>(body); }

ProcessMutation mutation_of(const proc::HeaderMutation& from) {
  ProcessMutation made;
  for (const std::string& name : from.remove_headers()) {
    made.removed.push_back(config::to_lower(name));
  }
  for (const auto& option : from.set_headers()) {
    made.set.push_back(
        wire_values::edit_of(option, HeaderEdit::Action::kSet, HeaderEdit::Action::kAppend));
  }
  return made;
}

bool take(const proc::CommonResponse& from, ProcessAnswer& to) {
  to.kind = ProcessAnswer::Kind::kContinue;
  to.headers = mutation_of(from.header_mutation());
  to.replaces = from.status() == proc::CommonResponse::CONTINUE_AND_REPLACE;
  to.clear_route_cache = from.clear_route_cache();
  if (from.body_mutation().has_body()) to.body = from.body_mutation().body();
  if (from.body_mutation().clear_body()) to.body.emplace();
  // Trailers of a message that is replaced: nobody implements them, the incumbent neither.
  return !from.has_trailers();
}

void take(const proc::ImmediateResponse& from, ProcessAnswer& to) {
  to.kind = ProcessAnswer::Kind::kReply;
  to.status = static_cast<int>(from.status().code());
  to.headers = mutation_of(from.headers());
  to.body = from.body();
  to.details = from.details();
  if (from.has_grpc_status()) to.grpc_status = from.grpc_status().status();
}

bool take(const Wire& from, ProcessAnswer& to) {
  using Send = ExtProc::Send;
  const auto known = [](int value) { return value >= 0 && value <= Wire::BUFFERED_PARTIAL; };
  if (!known(from.request_body_mode()) || !known(from.response_body_mode())) return false;
  to.mode.emplace();
  to.mode->response_header = static_cast<Send>(from.response_header_mode());
  to.mode->request_body = static_cast<ExtProc::Body>(from.request_body_mode());
  to.mode->response_body = static_cast<ExtProc::Body>(from.response_body_mode());
  to.mode->request_trailer = static_cast<Send>(from.request_trailer_mode());
  to.mode->response_trailer = static_cast<Send>(from.response_trailer_mode());
  return true;
}

// False: an answer that cannot be honoured.
bool take(const proc::ProcessingResponse& from, ProcessAnswer& to) {
  using Case = proc::ProcessingResponse::ResponseCase;
  const auto headers = [&](ProcessPart part, const proc::CommonResponse& common) {
    to.part = part;
    return take(common, to);
  };
  const auto trailers = [&](ProcessPart part, const proc::HeaderMutation& mutation) {
    to.kind = ProcessAnswer::Kind::kContinue;
    to.part = part;
    to.headers = mutation_of(mutation);
    return true;
  };
  switch (from.response_case()) {
    case Case::kRequestHeaders:
      return headers(ProcessPart::kRequestHeaders, from.request_headers().response());
    case Case::kResponseHeaders:
      return headers(ProcessPart::kResponseHeaders, from.response_headers().response());
    case Case::kRequestBody:
      return headers(ProcessPart::kRequestBody, from.request_body().response());
    case Case::kResponseBody:
      return headers(ProcessPart::kResponseBody, from.response_body().response());
    case Case::kRequestTrailers:
      return trailers(ProcessPart::kRequestTrailers, from.request_trailers().header_mutation());
    case Case::kResponseTrailers:
      return trailers(ProcessPart::kResponseTrailers, from.response_trailers().header_mutation());
    case Case::kImmediateResponse:
      take(from.immediate_response(), to);
      return true;
    case Case::RESPONSE_NOT_SET:
      break;
  }
  return false;
}

}  // namespace

std::string encode(const ProcessQuestion& question) {
  proc::ProcessingRequest request;
  const auto fill_headers = [&](proc::HttpHeaders& to) {
    wire_values::to_header_map(question.headers, *to.mutable_headers());
    to.set_end_of_stream(question.end);
  };
  const auto fill_body = [&](proc::HttpBody& to) {
    to.set_body(question.body);
    to.set_end_of_stream(question.end);
  };
  switch (question.part) {
    case ProcessPart::kRequestHeaders:
      fill_headers(*request.mutable_request_headers());
      break;
    case ProcessPart::kResponseHeaders:
      fill_headers(*request.mutable_response_headers());
      break;
    case ProcessPart::kRequestBody:
      fill_body(*request.mutable_request_body());
      break;
    case ProcessPart::kResponseBody:
      fill_body(*request.mutable_response_body());
      break;
    case ProcessPart::kRequestTrailers:
      wire_values::to_header_map(question.headers,
                                 *request.mutable_request_trailers()->mutable_trailers());
      break;
    case ProcessPart::kResponseTrailers:
      wire_values::to_header_map(question.headers,
                                 *request.mutable_response_trailers()->mutable_trailers());
      break;
  }
  if (question.request_body) {
    request.mutable_protocol_config()->set_request_body_mode(to_wire(*question.request_body));
  }
  if (question.response_body) {
    request.mutable_protocol_config()->set_response_body_mode(to_wire(*question.response_body));
  }
  return request.SerializeAsString();
}

Result<ProcessAnswer> decode_process_answer(std::string_view bytes) {
  proc::ProcessingResponse message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !xds::unknown_fields("envoy.service.ext_proc.v3.ProcessingResponse", bytes, 1).empty()) {
    return failed(Reason::kMalformed, "ProcessingResponse");
  }
  ProcessAnswer answer;
  if (message.has_override_message_timeout()) {
    const weft::wire::Duration& time = message.override_message_timeout();
    answer.kind = ProcessAnswer::Kind::kMoreTime;
    const std::int64_t seconds = std::clamp<std::int64_t>(time.seconds(), -1, 1'000'000);
    answer.more_time = std::chrono::milliseconds(seconds * 1000 + time.nanos() / 1'000'000);
    return answer;
  }
  if (!take(message, answer) ||
      (message.has_mode_override() && !take(message.mode_override(), answer))) {
    return failed(Reason::kMalformed, "ProcessingResponse");
  }
  if (answer.headers.set.size() > kEditsMax || answer.headers.removed.size() > kEditsMax) {
    return failed(Reason::kTooLarge, "ProcessingResponse");
  }
  return answer;
}

}  // namespace mesh::waypoint::extensions
