#include "cli/kubernetes/tunnel.h"

#include <curl/curl.h>
#include <poll.h>

#include <chrono>
#include <memory>
#include <random>

#include "cli/kubernetes/websocket.h"
#include "mesh/kube/resource.h"

namespace mesh::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLifetime{30};

struct CurlCloser {
  void operator()(CURL* curl) const { ::curl_easy_cleanup(curl); }
};
using Curl = std::unique_ptr<CURL, CurlCloser>;

// One TLS connection to the API server, by libcurl, which verifies it; what is sent on it is ours.
class Connection {
 public:
  static Outcome<Connection> open(const kube::Access& access) {
    Connection made;
    made.curl_.reset(::curl_easy_init());
    CURL* const curl = made.curl_.get();
    if (curl == nullptr) return problem("cannot start an HTTP client");
    TRY(const std::string ca, access.ca.read());
    TRY(const std::string certificate, access.certificate.read());
    TRY(const std::string key, access.key.read());
    ::curl_easy_setopt(curl, CURLOPT_URL, access.server.c_str());
    ::curl_easy_setopt(curl, CURLOPT_PROXY, "");
    ::curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    ::curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    ::curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    ::curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    ::curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    ::curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    ::curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    made.blob(CURLOPT_CAINFO_BLOB, ca);
    made.blob(CURLOPT_SSLCERT_BLOB, certificate);
    made.blob(CURLOPT_SSLKEY_BLOB, key);
    const CURLcode code = ::curl_easy_perform(curl);
    if (code != CURLE_OK) return problem(access.server + ": " + ::curl_easy_strerror(code));
    ::curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &made.socket_);
    return made;
  }

  Outcome<Done> send(std::string_view bytes) {
    while (!bytes.empty()) {
      std::size_t sent = 0;
      const CURLcode code = ::curl_easy_send(curl_.get(), bytes.data(), bytes.size(), &sent);
      if (code == CURLE_AGAIN) {
        TRY_DO(wait(POLLOUT));
        continue;
      }
      if (code != CURLE_OK) return problem(::curl_easy_strerror(code));
      bytes.remove_prefix(sent);
    }
    return Done{};
  }

  // Some bytes; "" at the end.
  Outcome<std::string> receive() {
    char buffer[16384];
    for (;;) {
      std::size_t count = 0;
      const CURLcode code = ::curl_easy_recv(curl_.get(), buffer, sizeof buffer, &count);
      if (code == CURLE_OK) return std::string(buffer, count);
      if (code != CURLE_AGAIN) return problem(::curl_easy_strerror(code));
      TRY_DO(wait(POLLIN));
    }
  }

 private:
  void blob(CURLoption option, const std::string& text) {
    if (text.empty()) return;
    const curl_blob blob = {
        .data = const_cast<char*>(text.data()), .len = text.size(), .flags = CURL_BLOB_COPY};
    ::curl_easy_setopt(curl_.get(), option, &blob);
  }

  Outcome<Done> wait(short events) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end_ - Clock::now());
    pollfd one = {.fd = socket_, .events = events, .revents = 0};
    if (left.count() <= 0 || ::poll(&one, 1, static_cast<int>(left.count())) <= 0) {
      return problem("no answer within 30 s");
    }
    return Done{};
  }

  Curl curl_;
  curl_socket_t socket_ = CURL_SOCKET_BAD;
  Clock::time_point end_ = Clock::now() + kLifetime;
};

// Up to the answer's blank line; `rest` is what came behind it.
Outcome<Done> upgrade(Connection& connection, const kube::Access& access, const PodPage& page,
                      std::string& rest) {
  TRY(const std::string token, access.token.read());
  std::string host = access.server.substr(access.server.find("//") + 2);
  host = host.substr(0, host.find('/'));
  std::string request =
      "GET /api/v1/namespaces/" + kube::escaped(page.ns) + "/pods/" + kube::escaped(page.pod) +
      "/portforward?ports=" + std::to_string(page.port) + " HTTP/1.1\r\nHost: " + host +
      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: d2VmdC1wb3J0LWZvcndhcg==\r\n"
      "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n";
  if (!token.empty()) request += "Authorization: Bearer " + token + "\r\n";
  TRY_DO(connection.send(request + "\r\n"));
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    TRY(const std::string bytes, connection.receive());
    if (bytes.empty() || head.size() > 65536) return problem("the API server ended the connection");
    head += bytes;
  }
  const std::size_t blank = head.find("\r\n\r\n") + 4;
  // The server is the one we mean, for its certificate says so; Sec-WebSocket-Accept, which guards
  // against servers that know no WebSocket, adds nothing to its 101.
  if (!head.starts_with("HTTP/1.1 101")) {
    const std::size_t end = std::min(head.find("\r\n"), head.size());
    return problem("port-forward to " + page.ns + "/" + page.pod + ": " + head.substr(9, end - 9) +
                   ": " + head.substr(blank, 300));
  }
  rest = head.substr(blank);
  return Done{};
}

}  // namespace

Outcome<HttpAnswer> pod_get(const kube::Access& access, const PodPage& page) {
  TRY(Connection connection, Connection::open(access));
  std::string bytes;
  TRY_DO(upgrade(connection, access, page, bytes));
  const bool posts = page.method == HttpMethod::kPost;
  std::string request = std::string(posts ? "POST " : "GET ") + page.path +
                        " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                        (posts ? "Content-Length: 0\r\n" : "");
  if (!page.bearer_token.empty()) {
    request += "Authorization: Bearer " + page.bearer_token + "\r\n";
  }
  // One byte says which channel.
  TRY_DO(connection.send(
      websocket_frame(std::string(1, '\0') + request + "\r\n", std::random_device{}())));
  FrameReader reader;
  ForwardedPort port;
  const std::string name = page.ns + "/" + page.pod + ":" + std::to_string(page.port);
  for (bool ended = false;;) {
    reader.feed(bytes);
    for (;;) {
      TRY(const std::optional<Frame> frame, reader.next());
      if (!frame) break;
      if (frame->type == Frame::Type::kClose) ended = true;
      if (frame->type != Frame::Type::kData) continue;
      if (const auto taken = port.take(frame->payload); !taken) {
        return problem(name + ": " + taken.error());
      }
    }
    auto answer = read_answer(port.received(), ended);
    if (!answer) return problem(name + ": " + answer.error());
    if (*answer) return std::move(**answer);
    TRY(bytes, connection.receive());
    ended = ended || bytes.empty();
  }
}

}  // namespace mesh::cli
