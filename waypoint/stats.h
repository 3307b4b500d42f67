#pragma once
// Stats: Istio's request and connection metrics with reporter="waypoint", and the access log.
//
// One shard a ring: a request finds its series by its labels' text and counts with stores of its
// own thread; the page sums the shards. A series without change for 15 minutes is forgotten.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mesh/telemetry/log_sink.h"
#include "mesh/telemetry/metrics.h"
#include "waypoint/record.h"

namespace mesh::waypoint {

// Labels in Istio's order. `tcp`: those of istio_tcp_*, without what only a request has.
void append_labels(std::string& out, const Caller& caller, const Record& record);
// Istio's default text line, with a newline; or its JSON.
void append_access_text(std::string& out, const Caller& caller, const Record& record,
                        io::Duration lasted);
void append_access_json(std::string& out, const Caller& caller, const Record& record,
                        io::Duration lasted);

// A line of a configured log, with its end; nothing when its conditions do not hold.
void append_configured(std::string& out, const config::AccessLog& log, const Caller& caller,
                       const Record& record, io::Duration lasted);

// Threads: render() and evict() on any thread; each shard on its own.
// Limits: kSeriesMax label sets a shard; what is beyond counts under one whose values are "other".
class Stats {
 public:
  static constexpr std::size_t kSeriesMax = 10000;
  static constexpr std::size_t kBuckets = 20;  // of a histogram

  explicit Stats(telemetry::Metrics& metrics);

  class Shard final : public Recorder {
   public:
    // `access`: for what has no log configured; `configured`: for what has. Null: nothing is
    // written.
    Shard(telemetry::LogSink* access, telemetry::LogSink* configured, bool json);
    void record(const Caller& caller, const Record& record, io::Duration lasted) override;
    void tcp_opened(const Caller& caller, const Record& record) override;

   private:
    friend class Stats;
    struct Histogram {
      std::atomic<std::uint64_t> buckets[kBuckets] = {};
      std::atomic<std::uint64_t> count{0};
      std::atomic<double> sum{0};
      void observe(const double* bounds, double value);
    };
    struct Series {
      bool tcp = false;
      bool route = false;                   // only the time of requests by one route
      std::atomic<std::uint64_t> count{0};  // requests, or connections opened
      std::atomic<std::uint64_t> closed{0}, sent{0}, received{0};
      std::unique_ptr<Histogram> milliseconds, request_bytes, response_bytes;
      std::uint64_t seen = 0;
      std::chrono::nanoseconds changed{-1};
      std::uint64_t total() const;
    };
    Series& find(const Caller& caller, const Record& record);
    Histogram* find_route(const Record& record);

    void log(const Caller& caller, const Record& record, io::Duration lasted);

    telemetry::LogSink* access_;
    telemetry::LogSink* configured_;
    bool json_;
    std::mutex mutex_;  // held to file or forget a series, never to count
    std::unordered_map<std::string, std::unique_ptr<Series>> series_;
    std::string labels_, line_;  // scratch
  };

  Shard& add_shard(telemetry::LogSink* access, telemetry::LogSink* configured, bool json);
  void evict(std::chrono::nanoseconds now, std::chrono::nanoseconds idle = telemetry::kSeriesIdle);

 private:
  void render(std::string& out);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace mesh::waypoint
