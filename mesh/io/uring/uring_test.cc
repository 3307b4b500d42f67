// What only the kernel's back end has: descriptors, Unix sockets, namespaces.

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "mesh/io/backend.h"
#include "mesh/io/both.h"
#include "mesh/io/descriptor.h"
#include "mesh/io/kernel_features.h"
#include "mesh/io/ring_impl.h"
#include "mesh/io/signals.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"
#include "mesh/io/unix_socket.h"

namespace mesh::io {
namespace {

using namespace std::chrono_literals;
using test::bytes;
using test::make_listener;
using test::make_ring;
using test::text;

struct Folder {
  Folder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Folder() { rmdir(path.c_str()); }
  std::string path = "/tmp/weft-io-XXXXXX";
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

Task<void> pass_descriptors(Ring& ring, const std::string& path) {
  auto listener = SeqpacketListener::listen(ring, path);
  REQUIRE(listener.has_value());
  struct stat status{};
  CHECK(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  auto client = co_await SeqpacketSocket::connect(ring, path);
  REQUIRE(client.has_value());
  auto server = co_await listener->accept();
  REQUIRE(server.has_value());
  CHECK(server->peer_credentials()->pid == static_cast<std::uint32_t>(getpid()));
  CHECK(server->peer_credentials()->uid == getuid());

  const Descriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::size_t before = open_descriptors();
  const std::array<int, 2> two{file.get(), file.get()};
  const auto sent = co_await client->send(bytes("hello"), two);
  CHECK(sent.has_value());
  std::array<std::byte, 16> memory;
  {
    const auto got = co_await server->recv(memory, 2);
    REQUIRE(got.has_value());
    CHECK(text(std::span(memory).first(got->size)) == "hello");
    CHECK(got->descriptor_count == 2);
    CHECK(open_descriptors() == before + 2);
    CHECK((fcntl(got->descriptors[1].get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(open_descriptors() == before);

  // More descriptors, or more bytes, than asked for: the message is refused, nothing leaks.
  const auto again = co_await client->send(bytes("hello"), two);
  CHECK(again.has_value());
  const auto too_many = co_await server->recv(memory, 1);
  CHECK(too_many.error().reason == Reason::kTooLarge);
  const auto longer = co_await client->send(bytes("a message of more than 16"), two);
  CHECK(longer.has_value());
  const auto too_long = co_await server->recv(memory, 2);
  CHECK(too_long.error().reason == Reason::kTooLarge);
  CHECK(open_descriptors() == before);

  const auto next = co_await client->send(bytes("the next is whole"));
  CHECK(next.has_value());
  std::array<std::byte, 64> enough;
  const auto whole = co_await server->recv(enough, 0);
  REQUIRE(whole.has_value());
  CHECK(text(std::span(enough).first(whole->size)) == "the next is whole");

  const auto late = co_await with_deadline(ring, 1ms, "recv", server->recv(enough, 0));
  CHECK(late.error().reason == Reason::kTimedOut);
  {
    const SeqpacketSocket gone = *std::move(client);
  }
  const auto end = co_await server->recv(enough, 0);
  REQUIRE(end.has_value());
  CHECK(end->size == 0);
}

TEST_CASE("Unix sockets carry whole messages and descriptors, and never leak one", "[unix]") {
  const Folder folder;
  auto ring = make_ring();
  ring->run(pass_descriptors(*ring, folder.path + "/s"));
  CHECK(access((folder.path + "/s").c_str(), F_OK) != 0);  // the listener took it away
}

Task<void> connect_to(Ring& ring, const std::string& path, std::optional<Error>& error) {
  const auto client = co_await SeqpacketSocket::connect(ring, path);
  if (!client) error = client.error();
}

TEST_CASE("a Unix socket's path is taken over only from the dead", "[unix]") {
  const Folder folder;
  const std::string path = folder.path + "/s";
  auto ring = make_ring();
  std::optional<Error> error;
  ring->run(connect_to(*ring, path, error));
  CHECK(error->os_errno == ENOENT);
  ring->run(connect_to(*ring, std::string(108, 'x'), error));
  CHECK(error->reason == Reason::kTooLarge);

  auto first = SeqpacketListener::listen(*ring, path);
  REQUIRE(first.has_value());
  CHECK(SeqpacketListener::listen(*ring, path).error().os_errno == EADDRINUSE);

  // As a killed process leaves it: the file is there, nobody listens.
  const std::string dead = folder.path + "/dead";
  REQUIRE(rename(path.c_str(), dead.c_str()) == 0);
  {
    const SeqpacketListener gone = *std::move(first);
  }
  ring->run(connect_to(*ring, dead, error));
  CHECK(error->reason == Reason::kRefused);
  CHECK(SeqpacketListener::listen(*ring, dead).has_value());

  const Descriptor file(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  CHECK(SeqpacketListener::listen(*ring, path).error().os_errno == EADDRINUSE);
  CHECK(unlink(path.c_str()) == 0);
}

// Takes every descriptor that is left until it goes.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &few);
    while (true) {
      Descriptor one(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!one) break;
      taken_.push_back(std::move(one));
    }
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  void give_back(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) taken_.pop_back();
  }

 private:
  rlimit before_{};
  std::vector<Descriptor> taken_;
};

Task<void> run_out(Ring& ring) {
  Listener listener = make_listener(ring);
  ConnectOptions options;
  options.to = listener.local_address();
  auto waiting = co_await connect(ring, options);
  REQUIRE(waiting.has_value());
  {
    NoDescriptors none;
    const auto refused = co_await connect(ring, options);
    CHECK(refused.error().reason == Reason::kExhausted);
    for (int i = 0; i < 3; ++i) {
      const auto accepted = co_await listener.accept();
      REQUIRE(!accepted.has_value());
      CHECK(accepted.error().reason == Reason::kExhausted);
    }
  }
  const auto accepted = co_await with_deadline(ring, 5s, "accept", listener.accept());
  REQUIRE(accepted.has_value());
  CHECK(accepted->peer_address() == waiting->local_address());
}

TEST_CASE("running out of descriptors is an answer, and the listener survives it", "[listener]") {
  auto ring = make_ring();
  ring->run(run_out(*ring));
  CHECK(ring->in_flight() == 0);
}

Task<void> hear(Signals& signals, int& heard) {
  const auto signal = co_await signals.next();
  heard = signal.value_or(-1);
}

TEST_CASE("a signal is something to wait for", "[signals]") {
  auto ring = make_ring();
  auto signals = Signals::catch_all(*ring, {SIGUSR1, SIGUSR2});
  REQUIRE(signals.has_value());
  int heard = 0;
  REQUIRE(kill(getpid(), SIGUSR2) == 0);
  ring->run(hear(*signals, heard));
  CHECK(heard == SIGUSR2);
}

std::string congestion_control(int fd) {
  std::array<char, 16> name{};
  socklen_t size = name.size();
  REQUIRE(getsockopt(fd, SOL_TCP, TCP_CONGESTION, name.data(), &size) == 0);
  return name.data();
}

TEST_CASE("a socket to the same host does not pace, nor do those accepted there", "[sockets]") {
  auto ring = make_ring();
  internal::Backend& backend = *ring->impl().backend;
  const auto open = [&](internal::SocketType type, bool same_host) {
    const auto opened = backend.open_socket({.type = type,
                                             .bind = test::loopback(),
                                             .bind_source = type == internal::SocketType::kListener,
                                             .same_host = same_host,
                                             .backlog = 1,
                                             .mark = {}});
    REQUIRE(opened.has_value());
    return Descriptor(*opened);
  };
  const Descriptor listener = open(internal::SocketType::kListener, true);
  const Descriptor client = open(internal::SocketType::kStream, true);
  const Descriptor other = open(internal::SocketType::kStream, false);
  sockaddr_storage address;
  const socklen_t size = backend.local_address(listener.get()).to_sockaddr(address);
  REQUIRE(connect(client.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  const Descriptor accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(congestion_control(client.get()) == "reno");
  CHECK(congestion_control(accepted.get()) == "reno");
  const Descriptor plain(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(congestion_control(other.get()) == congestion_control(plain.get()));  // the system's
}

TEST_CASE("the kernel's features have names", "[features]") {
  CHECK(back_end_name() == "io_uring");
  CHECK(features().size() >= 3);
  for (const Feature& feature : features()) CHECK((!feature.used || feature.available));
}

TEST_CASE("a refused ring is explained", "[ring]") {
  const auto explained = [](int error) {
    return std::string(explain_create_error({.os_errno = error}));
  };
  CHECK(explained(EPERM).find("kernel.io_uring_disabled") != std::string::npos);
  CHECK(explained(ENOSYS).find("io_uring") != std::string::npos);
  CHECK(explained(EINVAL).find("6.1") != std::string::npos);
}

}  // namespace
}  // namespace mesh::io
