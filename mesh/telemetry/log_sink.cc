#include "mesh/telemetry/log_sink.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

namespace mesh::telemetry {
namespace {

// A capacity that a burst needed is given back when it was larger than this.
constexpr std::size_t kKeptBytes = 64 * 1024;

// What could not be written: nobody reads the log any more, or the disk is full.
std::string_view write_what_goes(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {  // somebody else made it so
      pollfd room{fd, POLLOUT, 0};
      (void)::poll(&room, 1, -1);
      continue;
    }
    if (written <= 0) break;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return bytes;
}

}  // namespace

LogSink::LogSink(int fd, std::size_t queue_bytes, std::chrono::milliseconds gather)
    : fd_(fd), queue_bytes_(queue_bytes), gather_(gather) {
  // Signals are for the main thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LogSink::~LogSink() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

bool LogSink::write(std::string_view line) {
  bool wanted = false;
  {
    const std::scoped_lock lock(mutex_);
    if (queue_.size() + line.size() > queue_bytes_) {
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return false;
    }
    const bool in_a_hurry_before = in_a_hurry();
    queue_ += line;
    wanted = std::exchange(sleeping_, false) || in_a_hurry() != in_a_hurry_before;
  }
  if (wanted) wake_.notify_one();
  return true;
}

void LogSink::flush() {
  std::unique_lock lock(mutex_);
  ++flushing_;
  wake_.notify_one();
  idle_.wait(lock, [this] { return queue_.empty() && !writing_; });
  --flushing_;
}

void LogSink::run() {
  pthread_setname_np(pthread_self(), "log");
  std::string batch;
  std::optional<std::chrono::steady_clock::time_point> written_at;
  std::unique_lock lock(mutex_);
  for (;;) {
    sleeping_ = queue_.empty();
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    sleeping_ = false;
    if (queue_.empty()) return;
    if (written_at && std::chrono::steady_clock::now() < *written_at + gather_) {
      wake_.wait_until(lock, *written_at + gather_, [this] { return in_a_hurry(); });
    }
    batch.clear();
    if (batch.capacity() > kKeptBytes) std::string().swap(batch);
    batch.swap(queue_);
    writing_ = true;
    lock.unlock();
    const std::string_view lost = write_what_goes(fd_, batch);
    dropped_.fetch_add(static_cast<std::uint64_t>(std::ranges::count(lost, '\n')),
                       std::memory_order_relaxed);
    written_at = std::chrono::steady_clock::now();
    lock.lock();
    writing_ = false;
    if (queue_.empty()) idle_.notify_all();
  }
}

}  // namespace mesh::telemetry
