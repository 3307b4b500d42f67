#include "control/kubernetes/write_queue.h"

#include <algorithm>
#include <utility>

namespace mesh::control::kubernetes {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxOpen = 8;
constexpr unsigned kMaxPerSecond = 50;
constexpr std::size_t kMaxKeys = 100'000;
constexpr seconds kLag{5};      // how much older than the server a copy may well be
constexpr seconds kQuiet{120};  // after which a key is as good as new
constexpr seconds kPatience{15};

}  // namespace

WriteQueue::WriteQueue(kube::Http& http, telemetry::Log& log, std::function<bool()> may_write,
                       std::function<void()> again)
    : http_(http), log_(log), may_write_(std::move(may_write)), again_(std::move(again)) {}

void WriteQueue::put(Write write) {
  const auto now = Clock::now();
  const std::string name = write.key();
  if (keys_.size() >= kMaxKeys) forget_old(now);
  Key& key = keys_[name];
  if (key.written == std::hash<std::string>()(write.request.body) && now < key.written_at + kLag)
    return;
  if (now > key.written_at + kQuiet) key.success.reset();
  key.waiting = std::make_unique<Write>(std::move(write));
  waiting_.insert(name);
  run();
}

void WriteQueue::forget_old(Clock::time_point now) {
  std::erase_if(keys_, [&](const auto& entry) {
    const Key& key = entry.second;
    return !key.open && key.waiting == nullptr && now > key.not_before;
  });
}

void WriteQueue::clear() {
  for (const std::string& name : waiting_) keys_[name].waiting.reset();
  waiting_.clear();
  const std::lock_guard lock(mutex_);
  problems_.clear();
}

void WriteQueue::run() {
  const auto now = Clock::now();
  if (now - second_ >= seconds(1)) {
    second_ = now;
    this_second_ = 0;
  }
  auto next = Clock::time_point::max();
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (open_ >= kMaxOpen) return;  // done() comes back
    if (this_second_ >= kMaxPerSecond) return wake(second_ + seconds(1));
    const std::string& name = *it;
    Key& key = keys_[name];
    if (key.open || now < key.not_before) {
      if (!key.open) next = std::min(next, key.not_before);
      ++it;
      continue;
    }
    start(name, key);
    it = waiting_.erase(it);
  }
  if (next != Clock::time_point::max()) wake(next);
}

void WriteQueue::wake(Clock::time_point when) {
  if (wake_ <= when) return;
  wake_ = when;
  http_.at(when, [self = shared_from_this()] {
    self->wake_ = Clock::time_point::max();
    self->run();
  });
}

void WriteQueue::start(const std::string& name, Key& key) {
  if (!may_write_()) {
    key.waiting.reset();
    return;
  }
  const std::shared_ptr<Write> write = std::move(key.waiting);
  key.open = true;
  ++open_;
  ++this_second_;
  kube::HttpRequest request = write->request;
  request.timeout = kPatience;
  http_.send(std::move(request),
             [self = shared_from_this(), name, write](const kube::Http::Answer& answer) {
               self->done(name, *write, answer);
             });
}

void WriteQueue::done(const std::string& name, const Write& write,
                      const kube::Http::Answer& answer) {
  const auto now = Clock::now();
  Key& key = keys_[name];
  key.open = false;
  --open_;
  if (answer) {
    key.written = std::hash<std::string>()(write.request.body);
    key.written_at = now;
    key.not_before = now + key.success.next();
    key.failure.reset();
    const std::lock_guard lock(mutex_);
    ++counters_.written;
    problems_.erase(name);
    log_.debug("kubernetes", "written", {{"verb", write.verb}, {"object", name}});
  } else {
    const kube::WriteError error = kube::write_error(write.verb, write.target, answer.error());
    auto pause = key.failure.next();
    if (error.retry_after_seconds) {
      const seconds told(std::min<std::uint32_t>(*error.retry_after_seconds, 60));
      pause = std::max<std::chrono::milliseconds>(pause, told);
    }
    key.not_before = now + pause;
    // What was changed first, and what is gone, is news that the watch brings.
    const bool news =
        error.refusal == kube::Refusal::kConflict || error.refusal == kube::Refusal::kMissing;
    {
      const std::lock_guard lock(mutex_);
      ++(news ? counters_.conflicts : counters_.failed);
      if (!news) problems_[name] = error.text;
    }
    if (!news) {
      log_.limited("write", telemetry::Level::kWarn, "kubernetes", "a write was refused",
                   {{"error", error.text}});
    }
    http_.at(key.not_before, [self = shared_from_this()] { self->again_(); });
  }
  run();
}

WriteQueue::Counters WriteQueue::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::vector<std::string> WriteQueue::problems() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [name, text] : problems_) all.push_back(text);
  return all;
}

}  // namespace mesh::control::kubernetes
