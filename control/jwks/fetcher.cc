#include "control/jwks/fetcher.h"

#include <curl/curl.h>

#include <utility>

namespace mesh::control::jwks {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kAtOnce = 4;
constexpr std::size_t kMostBytes = 256u << 10;

std::size_t take(char* data, std::size_t size, std::size_t count, void* into) {
  auto& text = *static_cast<std::string*>(into);
  if (text.size() + size * count > kMostBytes) return 0;  // ends it
  text.append(data, size * count);
  return size * count;
}

int go_on(void* stopping, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(stopping)->load() ? 1 : 0;
}

std::expected<std::string, std::string> get(const Keys::Fetch& fetch, std::atomic<bool>& stopping) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  if (easy == nullptr) return std::unexpected("curl_easy_init");
  std::string text;
  CURL* curl = easy.get();
  curl_easy_setopt(curl, CURLOPT_URL, fetch.uri.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(fetch.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, static_cast<long>(kMostBytes));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, go_on);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &stopping);
  const CURLcode code = curl_easy_perform(curl);
  if (code != CURLE_OK) return std::unexpected(curl_easy_strerror(code));
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) return std::unexpected("the answer is " + std::to_string(status));
  return text;
}

}  // namespace

Fetcher::Fetcher(telemetry::Log& log, std::function<void()> news)
    : log_(log), news_(std::move(news)) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  for (unsigned i = 0; i < kAtOnce; ++i) threads_.emplace_back([this] { run(); });
}

Fetcher::~Fetcher() { stop(); }

void Fetcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::shared_ptr<const World> Fetcher::fill(const std::shared_ptr<const World>& world) {
  const std::lock_guard lock(mutex_);
  keys_.want(*world);
  changed_.notify_all();
  return keys_.fill(world);
}

std::vector<Keys::Status> Fetcher::statuses() const {
  const std::lock_guard lock(mutex_);
  return keys_.statuses();
}

void Fetcher::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto fetch = keys_.next(Clock::now());
    if (!fetch) {
      const auto wake = keys_.wake();
      if (wake == Time::max()) {
        changed_.wait(lock);
      } else {
        changed_.wait_until(lock, wake);
      }
      continue;
    }
    lock.unlock();
    auto answer = get(*fetch, stopping_);
    const std::string why = answer ? std::string() : answer.error();
    lock.lock();
    if (stopping_) return;
    const bool news = keys_.done(fetch->uri, std::move(answer), Clock::now());
    lock.unlock();
    if (!why.empty()) {
      log_.limited("jwks", telemetry::Level::kWarn, "jwks", "keys cannot be fetched",
                   {{"uri", fetch->uri}, {"error", why}});
    }
    if (news) {
      const std::lock_guard telling(telling_);
      log_.info("jwks", "other keys from now on", {{"uri", fetch->uri}});
      news_();
    }
    lock.lock();
  }
}

}  // namespace mesh::control::jwks
