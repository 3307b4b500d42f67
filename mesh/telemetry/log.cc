#include "mesh/telemetry/log.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

namespace mesh::telemetry {
namespace {

constexpr std::array<std::string_view, 6> kLevels = {"off",  "error", "warn",
                                                     "info", "debug", "trace"};
constexpr std::size_t kScopesMax = 32;
constexpr std::size_t kSpecificationMax = 1024;

}  // namespace

std::string_view level_name(Level level) { return kLevels[static_cast<std::size_t>(level)]; }

std::optional<Level> parse_level(std::string_view text) {
  for (std::size_t i = 0; i < kLevels.size(); ++i) {
    if (kLevels[i] == text) return static_cast<Level>(i);
  }
  return std::nullopt;
}

bool LogFilter::apply(std::string_view specification) {
  if (specification.size() > kSpecificationMax) return false;
  std::optional<Level> everything;
  std::map<std::string, Level, std::less<>> scopes;
  for (std::size_t at = 0; at <= specification.size();) {
    const std::size_t comma = std::min(specification.find(',', at), specification.size());
    const std::string_view part = specification.substr(at, comma - at);
    at = comma + 1;
    const std::size_t equals = part.find('=');
    const auto level =
        parse_level(equals == std::string_view::npos ? part : part.substr(equals + 1));
    if (!level) return false;
    if (equals == std::string_view::npos) {
      everything = level;
    } else if (equals == 0 || scopes.size() >= kScopesMax) {
      return false;
    } else {
      scopes[std::string(part.substr(0, equals))] = *level;
    }
  }
  const std::scoped_lock lock(mutex_);
  if (everything) everything_ = *everything;
  for (const auto& [scope, level] : scopes) {
    if (scopes_.size() < kScopesMax || scopes_.contains(scope)) scopes_[scope] = level;
  }
  refresh();
  return true;
}

void LogFilter::reset(Level everything) {
  const std::scoped_lock lock(mutex_);
  everything_ = everything;
  scopes_.clear();
  refresh();
}

void LogFilter::refresh() {
  const auto access = scopes_.find("access");
  access_ = access == scopes_.end() ? everything_ : access->second;
  Level loudest = everything_;
  for (const auto& [scope, level] : scopes_) loudest = std::max(loudest, level);
  loudest_ = loudest;
}

bool LogFilter::passes(Level level, std::string_view scope) const {
  if (level > loudest_.load(std::memory_order_relaxed)) return false;
  const std::scoped_lock lock(mutex_);
  // "xds" also names "xds::client".
  for (std::string_view part = scope;;) {
    const auto found = scopes_.find(part);
    if (found != scopes_.end()) return level <= found->second;
    const std::size_t separator = part.rfind("::");
    if (separator == std::string_view::npos) break;
    part = part.substr(0, separator);
  }
  return level <= everything_;
}

std::string LogFilter::text() const {
  const std::scoped_lock lock(mutex_);
  std::string out;
  for (const auto& [scope, level] : scopes_) {
    out.append(scope).append("=").append(level_name(level)).append(",");
  }
  out += level_name(everything_);
  return out;
}

Log::Log(LogSink& sink, LogFormat format, LogFilter& filter, WallClock clock)
    : sink_(sink), format_(format), filter_(filter), clock_(clock) {}

std::int64_t Log::system_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void Log::limited(std::string_view key, Level level, std::string_view scope,
                  std::string_view message, std::initializer_list<LogField> fields) {
  if (!filter_.passes(level, scope)) return;
  const std::int64_t second = clock_() / 1'000'000'000;
  std::uint64_t suppressed = 0;
  {
    const std::scoped_lock lock(limit_mutex_);
    auto found = budgets_.find(key);
    if (found == budgets_.end()) {
      if (budgets_.size() >= kKeysMax) budgets_.clear();
      found = budgets_.emplace(std::string(key), Budget{}).first;
    }
    Budget& budget = found->second;
    if (budget.second != second) {
      budget.second = second;
      budget.used = 0;
    }
    if (budget.used >= kLimitedPerSecond) {
      ++budget.suppressed;
      return;
    }
    ++budget.used;
    suppressed = std::exchange(budget.suppressed, 0);
  }
  write(level, scope, message, fields, suppressed);
}

void Log::write(Level level, std::string_view scope, std::string_view message,
                std::initializer_list<LogField> fields, std::uint64_t suppressed) {
  if (!filter_.passes(level, scope)) return;
  std::string line;
  line.reserve(160);
  const std::string count = suppressed > 0 ? std::to_string(suppressed) : std::string();
  if (format_ == LogFormat::kText) {
    append_timestamp(line, clock_());
    line.append("\t").append(level_name(level)).append("\t").append(scope).append("\t");
    line.append(message).append("\t");
    bool first = true;
    for (const LogField& field : fields) {
      if (!std::exchange(first, false)) line.push_back(' ');
      line.append(field.key).append("=");
      append_quoted_text(line, field.value);
    }
    if (suppressed > 0) line.append(first ? "" : " ").append("suppressed=").append(count);
  } else {
    line.append("{\"level\":\"").append(level_name(level)).append("\",\"time\":\"");
    append_timestamp(line, clock_());
    line.append("\",\"scope\":\"").append(scope).append("\",\"message\":");
    append_quoted_json(line, message);
    for (const LogField& field : fields) {
      line.push_back(',');
      append_quoted_json(line, field.key);
      line.push_back(':');
      append_quoted_json(line, field.value);
    }
    if (suppressed > 0) line.append(",\"suppressed\":").append(count);
    line.push_back('}');
  }
  line.push_back('\n');
  sink_.write(line);
}

void append_timestamp(std::string& out, std::int64_t unix_nanoseconds) {
  const time_t seconds = unix_nanoseconds / 1'000'000'000;
  tm utc{};
  gmtime_r(&seconds, &utc);
  char text[40];
  const int length =
      std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", utc.tm_year + 1900,
                    utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                    static_cast<long>(unix_nanoseconds % 1'000'000'000 / 1000));
  out.append(text, static_cast<std::size_t>(length));
}

void append_quoted_text(std::string& out, std::string_view value) {
  out.push_back('"');
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      char text[8];
      std::snprintf(text, sizeof text, "\\u{%x}", byte);
      out += text;
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

namespace {

// The length of the UTF-8 sequence at the front of `text`, 0 when it is none (RFC 3629).
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  if (lead == 0xe0 && at(1) < 0xa0) return 0;
  if (lead == 0xed && at(1) > 0x9f) return 0;
  if (lead == 0xf0 && at(1) < 0x90) return 0;
  if (lead == 0xf4 && at(1) > 0x8f) return 0;
  return length;
}

}  // namespace

void append_quoted_json(std::string& out, std::string_view value) {
  out.push_back('"');
  while (!value.empty()) {
    const std::size_t length = utf8_length(value);
    const auto byte = static_cast<unsigned char>(value[0]);
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (byte == '"' || byte == '\\') {
      out.push_back('\\');
      out.push_back(value[0]);
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte == '\r') {
      out += "\\r";
    } else if (byte < 0x20) {
      char text[8];
      std::snprintf(text, sizeof text, "\\u%04x", byte);
      out += text;
    } else {
      out.append(value.substr(0, length));
    }
    value.remove_prefix(std::max<std::size_t>(length, 1));
  }
  out.push_back('"');
}

}  // namespace mesh::telemetry
