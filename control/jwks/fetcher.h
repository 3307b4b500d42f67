#pragma once
// JwksFetcher: fetches what Keys says is due, on threads of its own, and tells of news.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "control/jwks/keys.h"
#include "mesh/telemetry/log.h"

namespace mesh::control::jwks {

class Fetcher {
 public:
  // `news`: fill() has another answer now. Called on a thread of ours, one at a time.
  Fetcher(telemetry::Log& log, std::function<void()> news);
  ~Fetcher();  // stop()
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  // Threads: any.
  // The world with the keys that are known; those that are not are fetched.
  std::shared_ptr<const World> fill(const std::shared_ptr<const World>& world);
  std::vector<Keys::Status> statuses() const;

  // Ends the threads; nobody is told of anything afterwards.
  void stop();

 private:
  void run();

  telemetry::Log& log_;
  const std::function<void()> news_;
  mutable std::mutex mutex_;
  std::mutex telling_;
  std::condition_variable changed_;
  Keys keys_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace mesh::control::jwks
