#pragma once
// Reading the fields of a YAML map into typed values, with a problem for each that does not fit.
// Used by the readers of mesh/manifest only.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/manifest/objects.h"
#include "mesh/manifest/parse.h"
#include "mesh/manifest/yaml.h"

namespace mesh::manifest {

// Where problems of one document go.
struct Report {
  Parsed* parsed = nullptr;
  std::string file;
  std::string object;
  bool strict = false;                       // unknown fields are errors, and text must be text
  bool failed = false;                       // an error was reported
  std::vector<std::string> unhonoured = {};  // "FIELD: why", each a warning too; not more than 64

  void error(unsigned line, std::string field, std::string message);
  void warn(unsigned line, std::string field, std::string message);

 private:
  void add(Severity severity, unsigned line, std::string field, std::string message);
};

// The fields of one map. Each getter marks its field as known; finish() reports the others in
// strict documents. A null value counts as absent.
class Fields {
 public:
  // Anything but a map (or null) is reported, and reads as empty.
  Fields(Report& report, const Value* value, std::string path);

  bool present(std::string_view key) const { return peek(key) != nullptr; }
  std::string text(std::string_view key, std::string fallback = {});
  std::string required_text(std::string_view key);
  bool flag(std::string_view key, bool fallback);
  std::uint32_t number(std::string_view key, std::uint32_t maximum);
  // Absent: none.
  std::optional<std::uint32_t> optional_number(std::string_view key, std::uint32_t maximum);
  // A percentage, 0 to 100.
  double percent(std::string_view key, double fallback);
  // "1h30m", "1.5s", "250ms"; absent: none.
  std::optional<Milliseconds> duration(std::string_view key);
  // One of `choices`; an error for anything else. Absent: `fallback`.
  std::string choice(std::string_view key, std::initializer_list<std::string_view> choices,
                     std::string fallback = {});
  std::uint16_t port(std::string_view key);
  PortRef port_ref(std::string_view key);
  std::vector<std::string> texts(std::string_view key);
  Labels labels(std::string_view key);
  std::vector<net::IpAddress> addresses(std::string_view key);
  Fields map(std::string_view key);
  // The items of a list, as maps; more than `most` are an error.
  std::vector<Fields> maps(std::string_view key, std::size_t most = SIZE_MAX);
  // The values of a map of maps, by key.
  std::vector<std::pair<std::string, Fields>> entries(std::string_view key);
  // Any value; null when absent.
  const Value* take(std::string_view key);
  void ignore(std::string_view key) { (void)take(key); }
  // Known, and without effect: a warning, and said of the object, when it is there.
  void unhonoured(std::string_view key, std::string why);
  // Reports what was not asked for, in strict documents.
  void finish();

  void error(std::string_view key, std::string message);
  // About one item of a list.
  void error(std::string_view key, std::size_t item, std::string message);
  std::string path_of(std::string_view key) const;
  const std::string& path() const { return path_; }
  unsigned line() const { return line_; }
  const Value* value() const { return map_; }
  Report& report() { return *report_; }

 private:
  const Value* peek(std::string_view key) const;
  const Value* scalar(std::string_view key);

  Report* report_;
  const Value* map_;
  std::string path_;
  unsigned line_ = 0;
  std::vector<std::string> known_;
};

// Text of a scalar; reports a list, a map, a null, and in strict documents a number or a boolean.
std::optional<std::string> scalar_text(Report& report, const Value& value, const std::string& path);

}  // namespace mesh::manifest
