#pragma once
// LogSink: lines from any thread to a descriptor, without ever waiting for it.
//
// write() copies the line into a bounded queue; a thread of its own writes batches. When the
// reader of the descriptor is slow and the queue is full, the line is dropped and counted: a log
// must not slow down the data path. A line that comes alone is written at once; those that come
// within kLogGather of the last batch are gathered so long, because each batch wakes the thread.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace mesh::telemetry {

inline constexpr std::size_t kLogQueueBytes = 1 << 20;
inline constexpr std::chrono::milliseconds kLogGather(5);

class LogSink {
 public:
  // Does not own `fd`.
  explicit LogSink(int fd, std::size_t queue_bytes = kLogQueueBytes,
                   std::chrono::milliseconds gather = kLogGather);
  // Writes what is queued, then stops.
  ~LogSink();
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  // `line` ends in a newline. Threads: any. False: dropped.
  bool write(std::string_view line);
  // Lines that did not fit the queue, or could not be written.
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  // Returns when everything queued before the call was handed to the descriptor.
  void flush();

 private:
  void run();
  // Whoever gathers lines goes on.
  bool in_a_hurry() const {
    return stopping_ || flushing_ > 0 || queue_.size() >= queue_bytes_ / 4;
  }

  const int fd_;
  const std::size_t queue_bytes_;
  const std::chrono::milliseconds gather_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::string queue_;
  bool stopping_ = false;
  bool writing_ = false;
  bool sleeping_ = false;  // until there is a line
  unsigned flushing_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
  std::thread thread_;
};

}  // namespace mesh::telemetry
