#include "mesh/admin/admin_server.h"

#include <time.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "mesh/io/timer.h"
#include "mesh/net/http_status.h"

namespace mesh::admin {

std::string http_date(std::int64_t unix_seconds) {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const time_t seconds = unix_seconds;
  tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                kMonths[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900, utc.tm_hour,
                utc.tm_min, utc.tm_sec);
  return text;
}

std::string format_response(const Response& response, bool head_only, std::string_view date) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " ";
  out.append(net::reason_phrase(response.status)).append("\r\n");
  if (!response.body.empty()) out.append("content-type: " + response.content_type + "\r\n");
  out.append("connection: close\r\ncontent-length: ");
  out.append(std::to_string(response.body.size())).append("\r\ndate: ").append(date);
  out.append("\r\n\r\n");
  if (!head_only) out += response.body;
  return out;
}

void Routes::get(std::string path, Handler handler, bool with_head) {
  Path& entry = paths_[std::move(path)];
  if (with_head) entry.methods["HEAD"] = handler;
  entry.methods["GET"] = std::move(handler);
}

void Routes::post(std::string path, Handler handler) {
  paths_[std::move(path)].methods["POST"] = std::move(handler);
}

void Routes::get_task(std::string path, TaskHandler handler) {
  paths_[std::move(path)].task = std::move(handler);
}

void Routes::wrong_method_body(std::string path, std::string body) {
  paths_[std::move(path)].wrong_method_body = std::move(body);
}

Response Routes::answer(const Request& request) const {
  const auto path = paths_.find(request.path);
  if (path == paths_.end()) return {.status = 404};
  const auto method = path->second.methods.find(request.method);
  if (method == path->second.methods.end()) {
    return {.status = 405, .body = path->second.wrong_method_body};
  }
  return method->second(request);
}

io::Task<Response> Routes::respond(Request request) const {
  const auto path = paths_.find(request.path);
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (path != paths_.end() && path->second.task && reads) {
    co_return co_await path->second.task(std::move(request));
  }
  co_return answer(request);
}

Result<io::Listener> listen_for_pages(io::Ring& ring, net::SocketAddress at) {
  io::ListenOptions options{.at = at, .reuse_port = false, .backlog = 128, .mark = {}};
  auto listener = io::Listener::listen(ring, options);
  if (!listener && listener.error().os_errno == EAFNOSUPPORT && at.ip.is_unspecified()) {
    options.at.ip = net::IpAddress();
    listener = io::Listener::listen(ring, options);
  }
  return listener;
}

AdminServer::AdminServer(io::Ring& ring, io::Listener listener, Routes routes)
    : ring_(ring), listener_(std::move(listener)), routes_(std::move(routes)), room_(ring) {}

io::Task<void> AdminServer::run() {
  io::TaskScope connections(co_await io::current_cancel());
  while (!connections.cancelled()) {
    auto accepted = co_await listener_.accept();
    if (!accepted) {
      if (accepted.error().reason != Reason::kExhausted) break;
      // Descriptors come back when connections end.
      if (!co_await io::sleep_for(ring_, std::chrono::milliseconds(100))) break;
      continue;
    }
    connections.spawn(serve(*std::move(accepted)));
    while (connections_ >= kConnectionsMax) {
      room_.reset();
      if (!co_await room_.wait()) break;
    }
  }
  listener_.close();
  co_await connections.join();
}

io::Task<void> AdminServer::serve(io::Socket socket) {
  ++connections_;
  const auto done = co_await io::with_deadline(ring_, kRequestDeadline + kResponseDeadline,
                                               "admin request", exchange(socket));
  if (!done) socket.reset();
  --connections_;
  room_.set();
}

io::Task<Result<Done>> AdminServer::exchange(io::Socket& socket) {
  std::string received;
  Parsed parsed;
  const io::TimePoint until = ring_.now() + kRequestDeadline;
  for (;;) {
    parsed = parse_request(received);
    if (parsed.result == ParseResult::kBad) break;
    if (parsed.result == ParseResult::kDone &&
        received.size() >= parsed.head_bytes + parsed.request.body_bytes) {
      break;
    }
    CO_TRY(const io::Buffer bytes,
           co_await io::with_deadline(ring_, until - ring_.now(), "read a request",
                                      socket.recv_buffer()));
    if (bytes.empty()) co_return failed(Reason::kPeerClosed, "read a request");
    // What is beyond the limits changes no verdict: the parser has one once the room is used up.
    const std::size_t room = kHeadBytesMax + kBodyBytesMax - received.size();
    received.append(reinterpret_cast<const char*>(bytes.bytes().data()),
                    std::min(bytes.size(), room));
  }
  const bool good = parsed.result == ParseResult::kDone;
  Response response{.status = parsed.status != 0 ? parsed.status : 413};
  if (good) response = co_await routes_.respond(parsed.request);
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(ring_.wall_now().time_since_epoch());
  const std::string text = format_response(response, good && parsed.request.method == "HEAD",
                                           http_date(seconds.count()));
  CO_TRY_DO(co_await socket.send_all(std::as_bytes(std::span(text))));
  CO_TRY_DO(socket.finish_sending());
  // Wait for the client's end, so that closing does not reset what it has yet to read.
  for (;;) {
    CO_TRY(const io::Buffer rest,
           co_await io::with_deadline(ring_, kRequestDeadline, "close", socket.recv_buffer()));
    if (rest.empty()) co_return Done{};
  }
}

}  // namespace mesh::admin
