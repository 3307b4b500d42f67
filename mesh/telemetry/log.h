#pragma once
// The operational log: events an operator reads, one line each, in Istio's shape, text or JSON.
//
//   log.warn("xds", "connection lost", {{"error", text}, {"retry", "15ms"}});
//
// Levels can be changed while running, for everything or for one scope ("info,access=debug").
// Threads: any. Never on the path of a byte: an event that a stranger can cause at will goes
// through limited(), which lets a few lines per key and second pass and counts the rest.

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/telemetry/log_sink.h"

namespace mesh::telemetry {

enum class Level : std::uint8_t { kOff, kError, kWarn, kInfo, kDebug, kTrace };
std::string_view level_name(Level level);
std::optional<Level> parse_level(std::string_view text);

enum class LogFormat : std::uint8_t { kText, kJson };

// Which levels pass, by scope. Parsed from "info", "info,access=debug" or "access=off".
class LogFilter {
 public:
  explicit LogFilter(Level everything = Level::kInfo) { reset(everything); }

  // Applies a specification on top of what is there; all or nothing. False: it does not parse.
  bool apply(std::string_view specification);
  void reset(Level everything);
  bool passes(Level level, std::string_view scope) const;
  // The access log asks per connection: no lock.
  bool access_passes(Level level) const { return level <= access_.load(std::memory_order_relaxed); }
  // "access=debug,info"
  std::string text() const;

 private:
  void refresh();

  mutable std::mutex mutex_;
  Level everything_ = Level::kInfo;
  std::map<std::string, Level, std::less<>> scopes_;
  std::atomic<Level> access_{Level::kInfo};
  std::atomic<Level> loudest_{Level::kInfo};
};

struct LogField {
  std::string_view key, value;
};

class Log {
 public:
  // nanoseconds since 1970
  using WallClock = std::int64_t (*)();

  Log(LogSink& sink, LogFormat format, LogFilter& filter, WallClock clock = system_clock);

  void error(std::string_view scope, std::string_view message,
             std::initializer_list<LogField> fields = {}) {
    write(Level::kError, scope, message, fields);
  }
  void warn(std::string_view scope, std::string_view message,
            std::initializer_list<LogField> fields = {}) {
    write(Level::kWarn, scope, message, fields);
  }
  void info(std::string_view scope, std::string_view message,
            std::initializer_list<LogField> fields = {}) {
    write(Level::kInfo, scope, message, fields);
  }
  void debug(std::string_view scope, std::string_view message,
             std::initializer_list<LogField> fields = {}) {
    write(Level::kDebug, scope, message, fields);
  }
  // As write(), but at most kLimitedPerSecond lines a second for one `key` (a reason's name); the
  // next line that passes says in "suppressed" how many did not.
  void limited(std::string_view key, Level level, std::string_view scope, std::string_view message,
               std::initializer_list<LogField> fields = {});

  LogFilter& filter() { return filter_; }
  LogSink& sink() { return sink_; }
  LogFormat format() const { return format_; }

  static std::int64_t system_clock();

 private:
  void write(Level level, std::string_view scope, std::string_view message,
             std::initializer_list<LogField> fields, std::uint64_t suppressed = 0);

  struct Budget {
    std::int64_t second = 0;
    unsigned used = 0;
    std::uint64_t suppressed = 0;
  };
  static constexpr std::size_t kKeysMax = 256;

  LogSink& sink_;
  const LogFormat format_;
  LogFilter& filter_;
  const WallClock clock_;
  std::mutex limit_mutex_;
  std::map<std::string, Budget, std::less<>> budgets_;
};
inline constexpr unsigned kLimitedPerSecond = 5;

// Pieces that the access log shares.
// 2026-11-21T08:39:24.734580Z
void append_timestamp(std::string& out, std::int64_t unix_nanoseconds);
// As Rust's Debug prints a string: quoted, with \" \\ \n \t \r and \u{..} for control characters.
void append_quoted_text(std::string& out, std::string_view value);
// As JSON wants it; bytes that are not UTF-8 become U+FFFD.
void append_quoted_json(std::string& out, std::string_view value);

}  // namespace mesh::telemetry
