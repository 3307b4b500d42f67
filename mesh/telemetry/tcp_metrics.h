#pragma once
// TcpMetrics: what Istio counts per TCP connection, with Istio's names and label order.
//
// One shard a ring. A connection finds its series once when it opens (no allocation when the label
// set is known) and then counts with plain stores of its own thread; the page sums the shards. A
// label set without open connections that did not change for 15 minutes is forgotten in all shards
// at once, so that a sum never goes down because one ring was quiet.
//
// Threads: each shard belongs to one thread; render() and evict() run on any thread.
// Limits: kSeriesMax label sets; what is beyond them counts under one label set whose values are
// all "other".

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mesh/telemetry/metrics.h"

namespace mesh::telemetry {

enum class Reporter : std::uint8_t { kSource, kDestination };
std::string_view reporter_name(Reporter reporter);

// One end of a connection. Empty text prints as "unknown".
struct TcpEnd {
  std::string_view workload = {}, canonical_service = {}, canonical_revision = {},
                   workload_namespace = {}, principal = {}, cluster = {}, region = {}, zone = {};
};

struct TcpLabels {
  Reporter reporter = Reporter::kSource;
  TcpEnd source = {}, destination = {};
  std::string_view service = {}, service_namespace = {}, service_name = {};
  std::string_view response_flags = "-";
  bool mutual_tls = false;
};
// The label text of the page.
void append_tcp_labels(std::string& out, const TcpLabels& labels);

class TcpMetrics;

// The counters of one label set on one ring. Only its ring's thread writes.
class TcpSeries {
 public:
  void opened() { bump(opened_, 1); }
  void closed() { bump(closed_, 1); }
  void failed() { bump(failed_, 1); }
  // received: bytes of the request direction, sent: of the response direction, on both reporters.
  void received(std::uint64_t bytes) { bump(received_, bytes); }
  void sent(std::uint64_t bytes) { bump(sent_, bytes); }

 private:
  friend class TcpMetrics;
  friend class TcpSeriesRef;
  static void bump(std::atomic<std::uint64_t>& value, std::uint64_t by) {
    value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  std::uint64_t total() const;

  std::atomic<std::uint64_t> opened_{0}, closed_{0}, failed_{0}, received_{0}, sent_{0};
  std::atomic<std::uint32_t> users_{0};
  const std::string* labels_ = nullptr;  // the key it is filed under
};

// Keeps a series from being forgotten. Null when default constructed.
class TcpSeriesRef {
 public:
  TcpSeriesRef() = default;
  TcpSeriesRef(TcpSeriesRef&& other) noexcept : series_(std::exchange(other.series_, nullptr)) {}
  TcpSeriesRef& operator=(TcpSeriesRef&& other) noexcept {
    std::swap(series_, other.series_);
    return *this;
  }
  ~TcpSeriesRef() {
    if (series_ != nullptr) series_->users_.fetch_sub(1, std::memory_order_release);
  }
  TcpSeries* operator->() const { return series_; }
  explicit operator bool() const { return series_ != nullptr; }

 private:
  friend class TcpMetrics;
  explicit TcpSeriesRef(TcpSeries* series) : series_(series) {
    series->users_.fetch_add(1, std::memory_order_relaxed);
  }
  TcpSeries* series_ = nullptr;
};

class TcpMetrics {
 public:
  // Registers the families with `metrics`, which must outlive nothing of this: it keeps a pointer.
  explicit TcpMetrics(Metrics& metrics);

  class Shard {
   public:
    TcpSeriesRef find(const TcpLabels& labels);
    // The series with the same labels and other response_flags.
    TcpSeriesRef with_flags(const TcpSeriesRef& series, std::string_view response_flags);
    void socket_opened(Reporter reporter) { add_socket(reporter, 1); }
    void socket_closed(Reporter reporter) { add_socket(reporter, -1); }

   private:
    friend class TcpMetrics;
    TcpSeriesRef find_text(std::string_view text);
    void add_socket(Reporter reporter, int by) {
      sockets_used_[static_cast<std::size_t>(reporter)].store(true, std::memory_order_relaxed);
      sockets_[static_cast<std::size_t>(reporter)].fetch_add(by, std::memory_order_relaxed);
    }
    struct Hash {
      using is_transparent = void;
      std::size_t operator()(std::string_view text) const noexcept {
        return std::hash<std::string_view>()(text);
      }
    };
    std::mutex mutex_;  // held to file or forget a series, never to count
    std::unordered_map<std::string, TcpSeries, Hash, std::equal_to<>> series_;
    std::string scratch_;
    std::atomic<int> sockets_[2]{};
    std::atomic<bool> sockets_used_[2]{};
  };

  // A shard for one more thread; lives as long as this.
  Shard& add_shard();
  void evict(std::chrono::nanoseconds now, std::chrono::nanoseconds idle = kSeriesIdle);

 private:
  struct Idle {
    std::uint64_t total = 0;
    std::chrono::nanoseconds since{};
  };
  void render(std::string& out);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::unordered_map<std::string, Idle> idle_;
};

}  // namespace mesh::telemetry
