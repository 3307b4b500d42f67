#include "mesh/kube/http.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <future>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <curl/curl.h>

#include "mesh/base/check.h"

namespace mesh::kube {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxRefusal = 64u << 10;
constexpr long kConnectSeconds = 10;
constexpr long kSilentSeconds = 150;

struct Transfer {
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  HttpRequest request;
  std::shared_ptr<HttpHandler> handler;
  std::string refusal;
  std::optional<std::uint32_t> retry_after;
  std::size_t taken = 0;
  bool enough = false;
  bool too_large = false;

  ~Transfer() {
    if (easy != nullptr) curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
  long status() const {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
};

// libcurl's callback types.
std::size_t take_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const long status = transfer.status();
  if (status < 200 || status > 299) {
    transfer.refusal.append(data, std::min(size, kMaxRefusal - transfer.refusal.size()));
    return size;
  }
  transfer.taken += size;
  if (!transfer.request.stream && transfer.taken > kMaxPageBytes) {
    transfer.too_large = true;
    return 0;
  }
  if (!transfer.handler->on_data({data, size})) {
    transfer.enough = true;
    return 0;
  }
  return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* user) {
  constexpr std::string_view kName = "retry-after:";
  std::string_view line(data, size);
  if (line.size() <= kName.size()) return size;
  std::string name(line.substr(0, kName.size()));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name != kName) return size;
  line.remove_prefix(kName.size());
  while (line.starts_with(' ')) line.remove_prefix(1);
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), seconds);
  if (error == std::errc()) static_cast<Transfer*>(user)->retry_after = seconds;
  return size;
}

curl_blob blob_of(std::string& text) {
  return {.data = text.data(), .len = text.size(), .flags = CURL_BLOB_COPY};
}

// Gathers an answer.
class Gather final : public HttpHandler {
 public:
  explicit Gather(std::function<void(Http::Answer)> then) : then_(std::move(then)) {}

  bool on_data(std::string_view bytes) override {
    body_.append(bytes);
    return true;
  }
  void on_done() override { then_(std::move(body_)); }
  void on_refused(const Status& status) override { then_(std::unexpected(status)); }
  void on_broken(std::string why) override { then_(std::unexpected(unreachable(std::move(why)))); }

  static Status unreachable(std::string why) {
    Status status;
    status.reason = "Unreachable";
    status.message = std::move(why);
    return status;
  }

 private:
  const std::function<void(Http::Answer)> then_;
  std::string body_;
};

// For call(): a promise that is kept even if nobody answers.
class Promise {
 public:
  ~Promise() {
    if (!said_) promise_.set_value(std::unexpected(Gather::unreachable("the client is stopping")));
  }
  std::future<Http::Answer> future() { return promise_.get_future(); }
  void say(Http::Answer answer) {
    said_ = true;
    promise_.set_value(std::move(answer));
  }

 private:
  std::promise<Http::Answer> promise_;
  bool said_ = false;
};

}  // namespace

struct Http::Impl {
  Access access;
  CURLM* multi = nullptr;
  std::map<CURL*, std::unique_ptr<Transfer>> transfers;
  std::multimap<Clock::time_point, std::function<void()>> timers;
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::vector<std::function<void()>> posted;
  std::thread thread;

  ~Impl() {
    MESH_CHECK(!thread.joinable());
    for (auto& [easy, transfer] : transfers) curl_multi_remove_handle(multi, easy);
    transfers.clear();
    curl_multi_cleanup(multi);
  }

  void run() {
    while (!stopping) {
      int running = 0;
      curl_multi_perform(multi, &running);
      finish();
      run_posted();
      run_timers();
      curl_multi_perform(multi, &running);
      finish();
      curl_multi_poll(multi, nullptr, 0, patience_ms(), nullptr);
    }
  }

  int patience_ms() {
    {
      const std::lock_guard lock(mutex);
      if (!posted.empty()) return 0;
    }
    if (timers.empty()) return 1000;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(timers.begin()->first - Clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1000));
  }

  void run_posted() {
    std::vector<std::function<void()>> now;
    {
      const std::lock_guard lock(mutex);
      now.swap(posted);
    }
    for (const auto& call : now) call();
  }

  void run_timers() {
    while (!timers.empty() && timers.begin()->first <= Clock::now()) {
      const auto call = std::move(timers.begin()->second);
      timers.erase(timers.begin());
      call();
    }
  }

  void finish() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      const auto found = transfers.find(message->easy_handle);
      MESH_CHECK(found != transfers.end());
      const std::unique_ptr<Transfer> transfer = std::move(found->second);
      transfers.erase(found);
      curl_multi_remove_handle(multi, transfer->easy);
      report(*transfer, code);
    }
  }

  static void report(Transfer& transfer, CURLcode code) {
    const long status = transfer.status();
    if (transfer.too_large) return transfer.handler->on_refused({413, "TooLarge", "", {}});
    if (transfer.enough) return transfer.handler->on_broken("dropped");
    const bool complete = status != 0 && code == CURLE_OK;
    if (complete && status >= 200 && status <= 299) return transfer.handler->on_done();
    if (complete) {
      Status refusal = read_status(static_cast<int>(status), transfer.refusal);
      if (transfer.retry_after) refusal.retry_after_seconds = transfer.retry_after;
      return transfer.handler->on_refused(refusal);
    }
    transfer.handler->on_broken(curl_easy_strerror(code));
  }

  // What is wrong with the credentials.
  std::expected<Done, std::string> arm(Transfer& transfer) const {
    CURL* easy = transfer.easy;
    if (!access.ca.empty()) {
      auto ca = access.ca.read();
      if (!ca) return std::unexpected(ca.error());
      curl_blob blob = blob_of(*ca);
      curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
      curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    }
    if (!access.certificate.empty()) {
      auto certificate = access.certificate.read();
      auto key = access.key.read();
      if (!certificate) return std::unexpected(certificate.error());
      if (!key) return std::unexpected(key.error());
      curl_blob blob = blob_of(*certificate);
      curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &blob);
      blob = blob_of(*key);
      curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &blob);
    }
    if (!access.token.empty()) {
      auto token = access.token.read();
      if (!token) return std::unexpected(token.error());
      while (!token->empty() && token->back() <= ' ') token->pop_back();
      if (token->find_first_of("\r\n") != std::string::npos) {
        return std::unexpected("the bearer token has line breaks in it");
      }
      transfer.headers =
          curl_slist_append(transfer.headers, ("Authorization: Bearer " + *token).c_str());
    }
    return Done{};
  }

  void start(HttpRequest request, std::shared_ptr<HttpHandler> handler) {
    auto transfer = std::make_unique<Transfer>();
    transfer->easy = curl_easy_init();
    MESH_CHECK(transfer->easy != nullptr);
    transfer->request = std::move(request);
    transfer->handler = std::move(handler);
    configure(*transfer);
    if (const auto armed = arm(*transfer); !armed) {
      timers.emplace(Clock::now(),
                     [why = armed.error(), to = transfer->handler] { to->on_broken(why); });
      return;
    }
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    MESH_CHECK(curl_multi_add_handle(multi, transfer->easy) == CURLM_OK);
    transfers.emplace(transfer->easy, std::move(transfer));
  }

  void configure(Transfer& transfer) const {
    CURL* easy = transfer.easy;
    const HttpRequest& request = transfer.request;
    curl_easy_setopt(easy, CURLOPT_URL, (access.server + request.target).c_str());
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 20L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, request.stream ? nullptr : "gzip");
    if (request.stream) {
      curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
      curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
    } else {
      curl_easy_setopt(easy, CURLOPT_TIMEOUT, static_cast<long>(request.timeout.count()));
    }
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "weft/" WEFT_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    transfer.headers = curl_slist_append(transfer.headers, "Accept: application/json");
    if (request.method == "GET") return;
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    transfer.headers =
        curl_slist_append(transfer.headers, ("Content-Type: " + request.content_type).c_str());
  }
};

Http::Http(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Http::~Http() { stop(); }

void Http::stop() {
  impl_->stopping = true;
  curl_multi_wakeup(impl_->multi);
  if (impl_->thread.joinable()) impl_->thread.join();
}

std::expected<std::unique_ptr<Http>, std::string> Http::open(Access access) {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  MESH_CHECK(ready);
  for (const Material* material : {&access.ca, &access.token, &access.certificate, &access.key}) {
    if (const auto text = material->read(); !text) return std::unexpected(text.error());
  }
  auto impl = std::make_unique<Impl>();
  impl->access = std::move(access);
  impl->multi = curl_multi_init();
  MESH_CHECK(impl->multi != nullptr);
  curl_multi_setopt(impl->multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_MULTIPLEX));
  Impl* raw = impl.get();
  impl->thread = std::thread([raw] { raw->run(); });
  return std::unique_ptr<Http>(new Http(std::move(impl)));
}

void Http::start(HttpRequest request, std::shared_ptr<HttpHandler> handler) {
  impl_->start(std::move(request), std::move(handler));
}

void Http::at(Clock::time_point when, std::function<void()> call) {
  impl_->timers.emplace(when, std::move(call));
}

void Http::post(std::function<void()> call) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->posted.push_back(std::move(call));
  }
  curl_multi_wakeup(impl_->multi);
}

void Http::send(HttpRequest request, std::function<void(Answer)> then) {
  post([this, request = std::move(request), then = std::move(then)]() mutable {
    start(std::move(request), std::make_shared<Gather>(std::move(then)));
  });
}

Http::Answer Http::call(HttpRequest request) {
  MESH_CHECK(std::this_thread::get_id() != impl_->thread.get_id());
  auto promise = std::make_shared<Promise>();
  auto future = promise->future();
  send(std::move(request),
       [promise = std::move(promise)](Answer answer) { promise->say(std::move(answer)); });
  return future.get();
}

const Access& Http::access() const { return impl_->access; }

}  // namespace mesh::kube
