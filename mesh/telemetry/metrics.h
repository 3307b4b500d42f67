#pragma once
// Metrics: named families of counters, gauges and histograms, printed as OpenMetrics text.
//
// A family prints in the order in which it was registered, and only once it has a series. What is
// touched per connection or per byte lives in tcp_metrics.h; this is for what happens now and then.
//
// Threads: any. Limits: kSeriesMax series a family; what is beyond them is counted in
// weft_metrics_series_refused_total and otherwise ignored. A series that did not change for the
// time given to evict() is forgotten.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::telemetry {

inline constexpr std::size_t kSeriesMax = 10000;
inline constexpr std::chrono::minutes kSeriesIdle{15};

enum class MetricKind : std::uint8_t { kCounter, kGauge, kHistogram };

// Builds `a="x",b="y"`, escaping values as the text format asks.
class LabelText {
 public:
  LabelText& add(std::string_view name, std::string_view value);
  const std::string& text() const { return text_; }
  operator std::string_view() const { return text_; }

 private:
  std::string text_;
};
void append_escaped_label(std::string& out, std::string_view value);

class Metrics {
 public:
  using Family = unsigned;

  Metrics();
  // Appends whole families; runs under no lock of this class.
  using Source = std::function<void(std::string& out)>;

  // `name` without _total. A counter of the same name twice is a bug (checked).
  Family counter(std::string_view name, std::string_view help, std::string_view unit = {});
  Family gauge(std::string_view name, std::string_view help);
  Family histogram(std::string_view name, std::string_view help, std::string_view unit,
                   std::vector<double> bounds);
  // A gauge without labels whose value is asked for when printing.
  void gauge_of(std::string_view name, std::string_view help, std::function<double()> value);
  void source(Source source);

  void add(Family family, std::string_view labels, std::uint64_t amount = 1);
  void set(Family family, std::string_view labels, double value);
  void observe(Family family, std::string_view labels, double value);

  // The whole page, ending in "# EOF\n".
  std::string render();
  // Forgets counters and histograms idle since `now - idle`; gauges stay.
  void evict(std::chrono::nanoseconds now, std::chrono::nanoseconds idle = kSeriesIdle);

 private:
  struct Series {
    std::uint64_t count = 0;  // counter value, or observations
    double value = 0;         // gauge value, or sum
    std::vector<std::uint64_t> buckets;
    std::uint64_t seen = 0;  // count at the last evict()
    std::chrono::nanoseconds changed{-1};
  };
  struct FamilyState {
    MetricKind kind = MetricKind::kCounter;
    std::string name = {}, help = {}, unit = {};
    std::vector<double> bounds = {};
    std::map<std::string, Series, std::less<>> series = {};
    Source source = {};  // set: this entry is a source, nothing else
  };
  Family add_family(FamilyState state);
  Series* series(FamilyState& family, std::string_view labels);
  static void render_family(const FamilyState& family, std::string& out);

  std::mutex mutex_;
  std::vector<std::unique_ptr<FamilyState>> families_;
  std::uint64_t refused_ = 0;
};

// "# HELP", "# TYPE" and "# UNIT" lines.
void append_family_header(std::string& out, std::string_view name, std::string_view help,
                          std::string_view type, std::string_view unit = {});
// 1 -> "1", 0.25 -> "0.25": shortest text that reads back equal.
void append_number(std::string& out, double value);
// Seconds bounds of a histogram print as "1.0", not "1".
void append_bound(std::string& out, double value);

// process_open_fds and process_max_fds of this process.
void add_process_metrics(Metrics& metrics);

}  // namespace mesh::telemetry
