#pragma once
// Channel: gRPC calls to one server, over one HTTP/2 connection with TLS. Client role, for the main
// thread's ring of ztunnel and waypoint; no grpc++.
//
// The server is verified by its name (or IP) against the roots of a file, which is read again at
// each connect. There is no plaintext mode.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/grpc/framing.h"
#include "mesh/grpc/status.h"
#include "mesh/io/ring.h"
#include "mesh/io/task.h"

namespace mesh::grpc {

struct Target {
  std::string host;  // a name or an IP literal (without brackets)
  std::uint16_t port = 0;

  // "https://HOST:PORT", "https://HOST" (443), "HOST:PORT"; brackets around IPv6; a trailing slash
  // is fine. Errors: kMalformed, also for http://: there is no plaintext mode.
  static Result<Target> parse(std::string_view address);
  // "host:port", with brackets where needed: the :authority.
  std::string authority() const;
  friend bool operator==(const Target&, const Target&) = default;
};

inline constexpr io::Duration kKeepaliveIntervalMax = std::chrono::minutes(5);

using Metadata = std::vector<std::pair<std::string, std::string>>;

// What to verify and to say, read anew for each connect or call. The defaults read files; a
// simulation gives its own.
struct ChannelOptions {
  Target target;
  // The name to verify instead of target.host, when set (Istio's ALT_XDS_HOSTNAME).
  std::string server_name;
  // PEM bundle of roots; called at each connect.
  std::function<Result<std::string>()> roots;
  // Metadata of every call (authorization, clusterid); called at each call.
  std::function<Result<Metadata>()> metadata;
  io::Duration connect_deadline = std::chrono::seconds(5);  // resolving, TCP, TLS, SETTINGS
  // Together: how soon a dead server is noticed. The interval doubles, for the connections to come,
  // when the server finds it too short (GOAWAY ENHANCE_YOUR_CALM), up to kKeepaliveIntervalMax.
  io::Duration keepalive_interval = std::chrono::seconds(10);
  io::Duration keepalive_patience = std::chrono::seconds(5);
  std::size_t message_max = kMessageMaxDefault;
};

// A `roots` that reads `path`; at most 1 MiB.
std::function<Result<std::string>()> roots_from_file(std::string path);
// The same for what Istio's settings may say: SYSTEM, the certificates themselves, or a path.
inline constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";
std::function<Result<std::string>()> roots_from(std::string setting);
// A `metadata` of "authorization: Bearer TOKEN" and the fixed pairs. `token`: a path, when it
// begins with "/" or "." or a file of that name is there; else the token itself. At most 64 KiB,
// white space around it is dropped; no token when it is empty.
std::function<Result<Metadata>()> bearer_metadata(std::string token, Metadata fixed);
// A pair that bearer_metadata() may be given by an operator: its name a field's name in lower case,
// none that gRPC or this client sets itself, its value printable.
bool is_own_metadata(std::string_view name, std::string_view value);

struct ChannelCounters {
  std::uint64_t connects = 0;
  std::uint64_t connect_failures = 0;
  std::uint64_t keepalive_failures = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
};

class Channel;

// One call in either shape. Made by Channel::start(); destroy it before the Channel is closed.
// Destroying it resets the stream if it has not ended. One reader and one writer at a time.
class Call {
 public:
  struct Impl;
  explicit Call(std::shared_ptr<Impl> impl);
  Call(Call&&) noexcept;
  Call& operator=(Call&&) noexcept;
  ~Call();

  // Accepted for sending, within the peer's flow control.
  io::Task<Result<Done>> send(std::string_view message);
  // END_STREAM: no further message follows.
  io::Task<Result<Done>> finish_sending();
  // The next message; none when the call has ended: see status().
  // Errors: kCancelled, kTooLarge, kMalformed, and those of the connection.
  io::Task<Result<std::optional<std::string>>> receive();
  // After receive() gave none.
  const Status& status() const;

 private:
  std::shared_ptr<Impl> impl_;
};

class Channel {
 public:
  struct Impl;
  Channel(io::Ring& ring, ChannelOptions options);
  ~Channel();  // close() first, if connected (checked)
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Connects if not connected. Errors: those of resolving, connecting and verifying.
  io::Task<Result<Done>> connect();
  bool connected() const;
  // Ends the connection and joins everything that ran for it. Calls end with an error.
  io::Task<void> close();

  // Starts a call to "/package.Service/Method"; connects first when needed.
  io::Task<Result<Call>> start(std::string_view path,
                               std::optional<io::Duration> deadline = std::nullopt);

  // Request in, response out; `status` says why not (a failed connect is kUnavailable).
  struct Response {
    Status status;
    std::string message;
  };
  io::Task<Response> unary(std::string_view path, std::string request, io::Duration deadline);

  const ChannelCounters& counters() const;
  io::Duration keepalive_interval() const;  // of now

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mesh::grpc
