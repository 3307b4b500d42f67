#include "mesh/telemetry/access_log.h"

#include <charconv>

namespace mesh::telemetry {
namespace {

std::string_view message(AccessEvent event) {
  switch (event) {
    case AccessEvent::kOpened:
      return "connection opened";
    case AccessEvent::kComplete:
      return "connection complete";
    case AccessEvent::kFailed:
      return "connection failed";
  }
  return "";
}

// Writes `key=value` pairs in the two formats. Text: addresses and numbers bare, the rest quoted.
class Fields {
 public:
  Fields(std::string& out, bool json) : out_(out), json_(json) {}

  void bare(std::string_view key, std::string_view value) {
    begin(key);
    if (json_) {
      append_quoted_json(out_, value);
    } else {
      out_ += value;
    }
  }
  void text(std::string_view key, std::string_view value) {
    begin(key);
    json_ ? append_quoted_json(out_, value) : append_quoted_text(out_, value);
  }
  void text_if(std::string_view key, std::string_view value) {
    if (!value.empty()) text(key, value);
  }
  void number(std::string_view key, std::uint64_t value) {
    begin(key);
    char digits[24];
    out_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }

 private:
  void begin(std::string_view key) {
    if (json_) {
      out_.append(",\"").append(key).append("\":");
    } else {
      if (!first_) out_.push_back(' ');
      out_.append(key).append("=");
    }
    first_ = false;
  }
  std::string& out_;
  const bool json_;
  bool first_ = true;
};

void append_fields(std::string& out, const AccessRecord& record, bool json) {
  Fields fields(out, json);
  fields.bare("src.addr", record.source.address.to_string());
  if (record.event != AccessEvent::kFailed) {
    fields.text_if("src.workload", record.source.workload);
    fields.text_if("src.namespace", record.source.workload_namespace);
    fields.text_if("src.identity", record.source.identity);
    fields.text_if("src.cluster", record.source.cluster);
  }
  fields.bare("dst.addr", record.destination.address.to_string());
  if (record.event != AccessEvent::kFailed) {
    if (!record.hbone_address.empty()) fields.bare("dst.hbone_addr", record.hbone_address);
    fields.text_if("dst.service", record.service);
    fields.text_if("dst.workload", record.destination.workload);
    fields.text_if("dst.namespace", record.destination.workload_namespace);
    fields.text_if("dst.identity", record.destination.identity);
    fields.text_if("dst.cluster", record.destination.cluster);
  }
  fields.text("direction", record.inbound ? "inbound" : "outbound");
  if (record.event == AccessEvent::kComplete) {
    fields.number("bytes_sent", record.bytes_sent);
    fields.number("bytes_recv", record.bytes_received);
    fields.text("duration", std::to_string(record.duration_milliseconds) + "ms");
  }
  fields.text_if("error", record.error);
  fields.text_if("reason", record.reason ? reason_name(*record.reason) : std::string_view());
  fields.text_if("policy", record.policy);
}

}  // namespace

Level access_level(const AccessRecord& record) {
  switch (record.event) {
    case AccessEvent::kOpened:
      return Level::kDebug;
    case AccessEvent::kFailed:
      return Level::kWarn;
    case AccessEvent::kComplete:
      break;
  }
  return record.error.empty() ? Level::kInfo : Level::kError;
}

void append_access_text(std::string& out, const AccessRecord& record) {
  append_timestamp(out, record.unix_nanoseconds);
  out.append("\t").append(level_name(access_level(record))).append("\taccess\t");
  out.append(message(record.event)).append("\t");
  append_fields(out, record, false);
  out.push_back('\n');
}

void append_access_json(std::string& out, const AccessRecord& record) {
  out.append("{\"level\":\"").append(level_name(access_level(record))).append("\",\"time\":\"");
  append_timestamp(out, record.unix_nanoseconds);
  out.append("\",\"scope\":\"access\",\"message\":\"").append(message(record.event)).append("\"");
  append_fields(out, record, true);
  out += "}\n";
}

bool AccessLog::wants(AccessEvent event, bool has_error) const {
  AccessRecord shape{.event = event};
  if (has_error) shape.error = "x";
  return log_.filter().access_passes(access_level(shape));
}

// Threads may both begin a second: a few lines more pass then, which is no harm.
bool AccessLog::within_limit(Bucket& bucket, unsigned most, std::int64_t second) {
  if (bucket.second.exchange(second, std::memory_order_relaxed) != second) bucket.used = 0;
  if (bucket.used.fetch_add(1, std::memory_order_relaxed) < most) return true;
  limited_.fetch_add(1, std::memory_order_relaxed);
  return false;
}

bool AccessLog::may_pass(const AccessRecord& record) {
  const std::int64_t second = record.unix_nanoseconds / 1'000'000'000;
  if (record.event == AccessEvent::kFailed) {
    return within_limit(failed_, kFailedLinesPerSecond, second);
  }
  if (record.event != AccessEvent::kComplete || !record.refused || !record.reason) return true;
  const auto number = static_cast<std::size_t>(*record.reason);
  return within_limit(refused_[number % kReasonsMax], kRefusedLinesPerSecond, second);
}

void AccessLog::write(const AccessRecord& record) {
  if (!log_.filter().access_passes(access_level(record))) return;
  if (!may_pass(record)) return;
  thread_local std::string line;  // one allocation a thread
  line.clear();
  log_.format() == LogFormat::kText ? append_access_text(line, record)
                                    : append_access_json(line, record);
  log_.sink().write(line);
}

}  // namespace mesh::telemetry
