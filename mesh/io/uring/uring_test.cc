// What only the kernel's back end has: descriptors, Unix sockets, namespaces.

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/generators/catch_generators.hpp>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "mesh/io/backend.h"
#include "mesh/io/both.h"
#include "mesh/io/descriptor.h"
#include "mesh/io/kernel_features.h"
#include "mesh/io/ring_impl.h"
#include "mesh/io/signals.h"
#include "mesh/io/test_bench.h"
#include "mesh/io/timer.h"
#include "mesh/io/unix_socket.h"
#include "mesh/io/uring/datagram.h"

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

// ---- patience ----

struct Says final : Patience {
  explicit Says(bool more) noexcept : more(more) {}
  bool has_more_to_do() const noexcept override { return more; }
  bool more;
};

// For who reads the answer next.
struct Reads final : Patience {
  explicit Reads(const Socket& from) noexcept : from(from) {}
  bool has_more_to_do() const noexcept override { return !from.quiet(); }
  const Socket& from;
};

// Answers what it hears, on a thread of its own: it wakes the ring, which does not work for it.
class Echo {
 public:
  Echo() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage at;
    const socklen_t size = test::loopback().to_sockaddr(at);
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(listen(listener_.get(), 1) == 0);
    socklen_t length = sizeof at;
    REQUIRE(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&at), &length) == 0);
    address = *net::SocketAddress::from_sockaddr(at);
    thread_ = std::thread([this] { answer(); });
  }
  ~Echo() { thread_.join(); }

  net::SocketAddress address;

 private:
  void answer() {
    const Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<char, 4096> memory;
    for (;;) {
      const ssize_t size = recv(socket.get(), memory.data(), memory.size(), 0);
      if (size <= 0 || send(socket.get(), memory.data(), static_cast<std::size_t>(size), 0) < 0)
        return;
    }
  }

  Descriptor listener_;
  std::thread thread_;
};

Task<void> ask_often(Ring& ring, net::SocketAddress to, bool patient, double& turns) {
  constexpr int kQuestions = 200;
  auto socket = co_await connect(ring, {.to = to, .mark = {}});
  REQUIRE(socket.has_value());
  const Reads reads(*socket);
  const std::string question(1024, 'q');
  const std::uint64_t before = ring.impl().turns;
  for (int i = 0; i < kQuestions; ++i) {
    const auto asked = co_await socket->send_all(bytes(question), patient ? &reads : nullptr);
    CHECK(asked.has_value());
    for (std::size_t heard = 0; heard < question.size();) {
      const auto got = co_await socket->next_buffer();
      REQUIRE(got.has_value());
      heard += got->size();
    }
  }
  turns = static_cast<double>(ring.impl().turns - before) / kQuestions;
}

// The answer may be there before the loop has looked for it: then a turn is spared in any case.
TEST_CASE("a patient message and its answer take one turn", "[patience]") {
  std::array<double, 2> turns{};
  for (const bool patient : {false, true}) {
    Echo echo;
    auto ring = make_ring();
    ring->run(ask_often(*ring, echo.address, patient, turns[patient]));
    CHECK(ring->in_flight() == 0);
  }
  INFO(turns[0] << " turns a round trip, patiently " << turns[1]);
  CHECK(turns[1] <= 1.1);
  CHECK(turns[0] <= 2.1);
}

Task<void> say_without_end(Socket& socket, const Patience& patience, std::size_t& said) {
  std::string message(9000, 'x');
  for (;;) {
    message[0] = static_cast<char>('a' + said % 26);
    const std::array pieces = {bytes(message).first(100), bytes(message).subspan(100)};
    const auto sent = said % 2 == 0 ? co_await socket.send_all(bytes(message), &patience)
                                    : co_await socket.send_all(pieces, &patience);
    if (!sent) co_return;
    ++said;
  }
}

// More than the socket takes: what was short or found no room is sent by waiting.
Task<void> overfill(Ring& ring, bool end) {
  Listener listener = make_listener(ring);
  test::Pair pair;
  co_await test::make_pair_of(ring, listener, pair);
  const Says more(true);
  std::size_t said = 0;
  TaskScope saying;
  saying.spawn(say_without_end(*pair.client, more, said));
  std::size_t before = 1;
  while (said != before) {  // until nothing more goes in
    before = said;
    const auto waited = co_await sleep_for(ring, 5ms);
    CHECK(waited.has_value());
  }
  if (!end) {
    saying.cancel();
    co_await saying.join();
    co_return;
  }
  std::string heard;
  while (heard.size() < 9000 * (before + 50)) {
    const auto got = co_await pair.server->next_buffer();
    REQUIRE(got.has_value());
    heard += text(got->bytes());
  }
  bool right = true;
  for (std::size_t i = 0; i < heard.size() / 9000; ++i) {
    right =
        right && heard[i * 9000] == static_cast<char>('a' + i % 26) && heard[i * 9000 + 1] == 'x';
  }
  CHECK(right);
  pair.server->reset();
  co_await saying.join();
}

TEST_CASE("a patient message that finds no room waits for it, whole and in order", "[patience]") {
  const bool end = GENERATE(true, false);
  auto ring = make_ring();
  ring->run(overfill(*ring, end));
  CHECK(ring->in_flight() == 0);
}

Task<void> say_once(Socket& socket, const Patience& patience, bool& done) {
  (void)co_await socket.send_all(bytes("x"), &patience);
  done = true;
}

// Nothing else would ever wake this loop.
Task<void> end_waiting(Ring& ring, bool cancel, bool& done) {
  Listener listener = make_listener(ring);
  test::Pair pair;
  co_await test::make_pair_of(ring, listener, pair);
  const Says nothing(false);
  TaskScope saying;
  saying.spawn(say_once(*pair.client, nothing, done));
  CHECK(!done);
  if (cancel) {
    saying.cancel();
  } else {
    co_await sleep_for(ring, 1ms);  // a timer wakes it
    CHECK(done);
  }
  co_await saying.join();
}

TEST_CASE("a patient message is told of when a timer comes, and at once when cancelled",
          "[patience]") {
  const bool cancel = GENERATE(true, false);
  auto ring = make_ring();
  bool done = false;
  ring->run(end_waiting(*ring, cancel, done));
  CHECK(done);
}

TEST_CASE("a connected datagram socket sends to nobody by name", "[datagram]") {
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  internal::DatagramIo io;
  io.peer = test::loopback();
  CHECK(internal::prepare_send_to(socket.get(), io)->msg_name != nullptr);
  io.to_connected = true;
  CHECK(internal::prepare_send_to(socket.get(), io)->msg_name == nullptr);
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
