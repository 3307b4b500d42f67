#pragma once
// Http: requests to one API server, many at once, over one HTTP/2 connection where it can be. One
// thread waits for all of them (libcurl's multi interface). TLS 1.2 or newer, always verified; no
// redirect is followed.
//
// Limits: 10 s to connect; a request that is not a stream has 60 s in all, or as it says; a stream
// that is silent for 150 s is ended (a server sends bookmarks about every 60 s); 64 MiB of answer
// when it is not a stream, refusals 64 KiB.

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/kube/config.h"
#include "mesh/kube/frames.h"

namespace mesh::kube {

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query
  std::string body;
  std::string content_type = "application/json";
  bool stream = false;
  std::chrono::seconds timeout{60};  // in all; of no meaning for a stream
};

// What becomes of a request. Called on the thread of Http.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // A piece of an answer with status 200 to 299. False: enough.
  virtual bool on_data(std::string_view bytes) = 0;
  // Last, exactly once, unless cancelled. One of: the answer is over; the server refused; the
  // connection broke, or on_data() said enough (`why` says which).
  virtual void on_done() = 0;
  virtual void on_refused(const Status& status) = 0;
  virtual void on_broken(std::string why) = 0;
};

class Http {
 public:
  // Errors: credentials that cannot be read.
  static std::expected<std::unique_ptr<Http>, std::string> open(Access access);
  ~Http();  // stop()
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  // From the thread of Http only: from handlers, and from what was posted.
  void start(HttpRequest request, std::shared_ptr<HttpHandler> handler);
  void at(std::chrono::steady_clock::time_point when, std::function<void()> call);

  // From any thread: runs `call` on the thread of Http.
  void post(std::function<void()> call);

  // Ends the thread, and with it every request, without a word to its handler; what is posted later
  // does not run. From any thread but that of Http. While it waits, handlers may still run.
  void stop();

  using Answer =
      std::expected<std::string, Status>;  // the whole body; or a refusal: code 0 is none

  // The answer's body goes to `then`, on the thread of Http; after stop(), it is not called. From
  // any thread.
  void send(HttpRequest request, std::function<void(Answer)> then);

  // The answer's body; after stop(), nothing may call it. From any thread but that of Http; waits.
  Answer call(HttpRequest request);

  const Access& access() const;

 private:
  struct Impl;
  explicit Http(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::kube
