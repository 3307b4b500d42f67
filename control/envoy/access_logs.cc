#include "control/envoy/access_logs.h"

#include <string>
#include <string_view>

#include "control/envoy/pieces.h"
#include "envoy/access_log.pb.h"
#include "envoy/cel_filter.pb.h"
#include "envoy/file_access_log.pb.h"

namespace mesh::control {
namespace {

namespace logs = envoy::config::accesslog::v3;
namespace loggers = envoy::extensions::access_loggers;
using manifest::LogProvider;

// What the incumbent writes unless told otherwise.
constexpr std::string_view kUsual =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

loggers::file::v3::FileAccessLog file_of(const LogProvider& from) {
  loggers::file::v3::FileAccessLog to;
  to.set_path(from.path);
  auto* format = to.mutable_log_format();
  if (from.omit_empty) format->set_omit_empty_values(true);
  if (!from.fields.empty()) {
    auto& fields = *format->mutable_json_format()->mutable_fields();
    for (const auto& [name, value] : from.fields) fields[name].set_string_value(value);
    return to;
  }
  std::string text(from.text.empty() ? kUsual : std::string_view(from.text));
  if (!text.ends_with('\n')) text.push_back('\n');
  format->mutable_text_format_source()->set_inline_string(text);
  return to;
}

void start(const LogProvider& provider, logs::AccessLog& to) {
  to.set_name("envoy.access_loggers.file");
  pack(file_of(provider), to.mutable_typed_config());
}

}  // namespace

void add_access_logs(const ChainTelemetry& telemetry,
                     google::protobuf::RepeatedPtrField<logs::AccessLog>* into) {
  for (const ChainLog& log : telemetry.logs) {
    logs::AccessLog& to = *into->Add();
    start(*log.provider, to);
    if (log.condition.empty()) continue;
    loggers::filters::cel::v3::ExpressionFilter filter;
    filter.set_expression(log.condition);
    auto* extension = to.mutable_filter()->mutable_extension_filter();
    extension->set_name("envoy.access_loggers.extension_filters.cel");
    pack(filter, extension->mutable_typed_config());
  }
  if (!telemetry.silent) return;
  // A status that nothing has.
  logs::AccessLog& none = *into->Add();
  start(LogProvider{}, none);
  auto* comparison = none.mutable_filter()->mutable_status_code_filter()->mutable_comparison();
  comparison->set_op(logs::ComparisonFilter::GE);
  comparison->mutable_value()->set_default_value(1000);
  comparison->mutable_value()->set_runtime_key("weft.no_access_log");
}

}  // namespace mesh::control
