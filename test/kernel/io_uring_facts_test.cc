// What mesh/io relies on io_uring and TCP to do, each as one test without mesh/io between.

#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "mesh/io/descriptor.h"

namespace mesh::io {
namespace {

constexpr unsigned kEntries = 64;
constexpr unsigned kGroup = 3;
constexpr std::size_t kBuffer = 4096;

struct Answer {
  std::uint64_t name = 0;
  int result = 0;
  unsigned flags = 0;
  bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
  unsigned buffer() const { return flags >> IORING_CQE_BUFFER_SHIFT; }
};

// A ring as mesh/io sets it up.
class Facts {
 public:
  Facts() {
    io_uring_params params{};
    params.flags =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;
    REQUIRE(io_uring_queue_init_params(kEntries, &ring_, &params) == 0);
    features_ = params.features;
  }
  ~Facts() {
    if (buffers_ != nullptr) io_uring_free_buf_ring(&ring_, buffers_, 8, kGroup);
    io_uring_queue_exit(&ring_);
  }
  Facts(const Facts&) = delete;
  Facts& operator=(const Facts&) = delete;

  bool has(unsigned feature) const { return (features_ & feature) != 0; }
  io_uring_sqe* sqe(std::uint64_t name) {
    io_uring_sqe* made = io_uring_get_sqe(&ring_);
    io_uring_sqe_set_data64(made, name);
    return made;
  }
  // io_uring_prep_... clears the name; this sets it afterwards.
  template <class Prepare>
  void submit(std::uint64_t name, Prepare prepare) {
    io_uring_sqe* made = io_uring_get_sqe(&ring_);
    prepare(made);
    io_uring_sqe_set_data64(made, name);
    io_uring_submit_and_get_events(&ring_);
  }
  // The next answer; none within a second is -ETIME.
  Answer next() {
    io_uring_cqe* cqe = nullptr;
    __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
    const int status = io_uring_wait_cqe_timeout(&ring_, &cqe, &limit);
    if (status < 0) return {0, status, 0};
    const Answer answer{cqe->user_data, cqe->res, cqe->flags};
    io_uring_cqe_seen(&ring_, cqe);
    return answer;
  }
  bool nothing() {
    io_uring_get_events(&ring_);
    return io_uring_cq_ready(&ring_) == 0;
  }
  void provide(unsigned count) {
    if (buffers_ == nullptr) {
      int status = 0;
      buffers_ = io_uring_setup_buf_ring(&ring_, 8, kGroup, 0, &status);
      REQUIRE(buffers_ != nullptr);
    }
    for (unsigned i = 0; i < count; ++i) {
      io_uring_buf_ring_add(buffers_, memory_[i].data(), kBuffer, static_cast<std::uint16_t>(i),
                            io_uring_buf_ring_mask(8), static_cast<int>(i));
    }
    io_uring_buf_ring_advance(buffers_, static_cast<int>(count));
  }
  void receive_multishot(std::uint64_t name, int fd) {
    submit(name, [fd](io_uring_sqe* sqe) {
      io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = kGroup;
    });
  }
  void cancel(std::uint64_t target) {
    submit(99, [target](io_uring_sqe* sqe) { io_uring_prep_cancel64(sqe, target, 0); });
  }
  std::array<std::array<char, kBuffer>, 8>& memory() { return memory_; }

 private:
  io_uring ring_{};
  unsigned features_ = 0;
  io_uring_buf_ring* buffers_ = nullptr;
  std::array<std::array<char, kBuffer>, 8> memory_{};
};

struct Tcp {
  Descriptor listener;
  Descriptor client;
  Descriptor server;
  sockaddr_in address{};
};

Tcp listen_tcp() {
  Tcp tcp;
  tcp.listener = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  tcp.address.sin_family = AF_INET;
  tcp.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof tcp.address;
  auto* address = reinterpret_cast<sockaddr*>(&tcp.address);
  REQUIRE(bind(tcp.listener.get(), address, length) == 0);
  const int one = 1;
  REQUIRE(setsockopt(tcp.listener.get(), SOL_TCP, TCP_NODELAY, &one, sizeof one) == 0);
  REQUIRE(listen(tcp.listener.get(), 8) == 0);
  REQUIRE(getsockname(tcp.listener.get(), address, &length) == 0);
  return tcp;
}

Descriptor dial(const Tcp& tcp) {
  Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* address = reinterpret_cast<const sockaddr*>(&tcp.address);
  REQUIRE(connect(fd.get(), address, sizeof tcp.address) == 0);
  return fd;
}

Tcp connected_tcp() {
  Tcp tcp = listen_tcp();
  tcp.client = dial(tcp);
  tcp.server = Descriptor(accept4(tcp.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(tcp.server);
  return tcp;
}

void say(const Descriptor& to, const std::string& text) {
  REQUIRE(send(to.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
}

TEST_CASE("a cancelled receive always answers, once", "[kernel]") {
  Facts facts;
  const Tcp tcp = connected_tcp();
  char byte = 0;
  facts.submit(1,
               [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, tcp.server.get(), &byte, 1, 0); });
  facts.cancel(1);
  std::array<Answer, 2> answers{facts.next(), facts.next()};
  if (answers[0].name != 1) std::swap(answers[0], answers[1]);
  CHECK(answers[0].name == 1);
  CHECK(answers[0].result == -ECANCELED);
  CHECK(answers[1].name == 99);
  CHECK(answers[1].result == 0);
  CHECK(facts.nothing());
}

TEST_CASE("a cancellation that is too late says so, and the result stays", "[kernel]") {
  Facts facts;
  const Tcp tcp = connected_tcp();
  say(tcp.client, "x");
  char byte = 0;
  facts.submit(1,
               [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, tcp.server.get(), &byte, 1, 0); });
  facts.cancel(1);
  const Answer first = facts.next();
  CHECK(first.name == 1);
  CHECK(first.result == 1);
  const Answer second = facts.next();
  CHECK(second.name == 99);
  CHECK(second.result == -ENOENT);
}

TEST_CASE("a cancellation that succeeds can be silent", "[kernel]") {
  Facts facts;
  const Tcp tcp = connected_tcp();
  char byte = 0;
  facts.submit(1,
               [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, tcp.server.get(), &byte, 1, 0); });
  facts.submit(99, [](io_uring_sqe* sqe) {
    io_uring_prep_cancel64(sqe, 1, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  });
  CHECK(facts.next().name == 1);
  CHECK(facts.nothing());
}

TEST_CASE("a multishot receive goes on until the end of the stream", "[kernel]") {
  Facts facts;
  facts.provide(4);
  const Tcp tcp = connected_tcp();
  facts.receive_multishot(1, tcp.server.get());
  for (const char* word : {"one", "two"}) {
    say(tcp.client, word);
    const Answer answer = facts.next();
    CHECK(answer.result == 3);
    CHECK(answer.more());
    CHECK(std::memcmp(facts.memory()[answer.buffer()].data(), word, 3) == 0);
  }
  REQUIRE(shutdown(tcp.client.get(), SHUT_WR) == 0);
  const Answer end = facts.next();
  CHECK(end.result == 0);
  CHECK(!end.more());
}

TEST_CASE("a multishot receive without a buffer ends with ENOBUFS and loses nothing", "[kernel]") {
  Facts facts;
  facts.provide(1);
  const Tcp tcp = connected_tcp();
  facts.receive_multishot(1, tcp.server.get());
  say(tcp.client, "one");
  CHECK(facts.next().result == 3);
  say(tcp.client, "two");
  const Answer out = facts.next();
  CHECK(out.result == -ENOBUFS);
  CHECK(!out.more());
  facts.provide(1);
  facts.receive_multishot(2, tcp.server.get());
  const Answer again = facts.next();
  CHECK(again.name == 2);
  CHECK(again.result == 3);
}

TEST_CASE("a bundle fills buffers in the order in which they were provided", "[kernel]") {
  Facts facts;
  if (!facts.has(IORING_FEAT_RECVSEND_BUNDLE)) SKIP("this kernel has no bundles");
  facts.provide(4);
  const Tcp tcp = connected_tcp();
  std::string text(2 * kBuffer + 10, 'a');
  text.back() = 'z';
  say(tcp.client, text);
  char unused = 0;
  while (recv(tcp.server.get(), &unused, 1, MSG_PEEK) != 1) continue;
  facts.submit(1, [&](io_uring_sqe* sqe) {
    io_uring_prep_recv(sqe, tcp.server.get(), nullptr, 3 * kBuffer, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = kGroup;
    sqe->ioprio |= IORING_RECVSEND_BUNDLE;
  });
  const Answer answer = facts.next();
  REQUIRE(answer.result == static_cast<int>(text.size()));
  CHECK(answer.buffer() == 0);
  CHECK(facts.memory()[1][kBuffer - 1] == 'a');
  CHECK(facts.memory()[2][9] == 'z');
  CHECK(facts.memory()[2][10] == 0);
}

TEST_CASE("a multishot bundle keeps to a limit for each answer and one for all", "[kernel]") {
  Facts facts;
  facts.provide(6);
  const Tcp tcp = connected_tcp();
  say(tcp.client, std::string(5 * kBuffer, 'a'));
  std::string unused(5 * kBuffer, ' ');
  REQUIRE(recv(tcp.server.get(), unused.data(), unused.size(), MSG_PEEK | MSG_WAITALL) ==
          static_cast<ssize_t>(unused.size()));
  facts.submit(1, [&](io_uring_sqe* sqe) {
    io_uring_prep_recv_multishot(sqe, tcp.server.get(), nullptr, 2 * kBuffer, 0);
    sqe->optlen = 4 * kBuffer;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = kGroup;
    sqe->ioprio |= IORING_RECVSEND_BUNDLE;
  });
  const Answer first = facts.next();
  if (first.result == -EINVAL) SKIP("this kernel has no limits for multishot receives");
  CHECK(first.result == static_cast<int>(2 * kBuffer));
  CHECK(first.more());
  CHECK(first.buffer() == 0);
  const Answer second = facts.next();
  CHECK(second.result == static_cast<int>(2 * kBuffer));
  CHECK(!second.more());
  CHECK(second.buffer() == 2);
}

TEST_CASE("MSG_WAITALL sends everything, however long the reader takes", "[kernel]") {
  Facts facts;
  const Tcp tcp = connected_tcp();
  const std::vector<char> data(16 << 20, 'x');
  facts.submit(1, [&](io_uring_sqe* sqe) {
    io_uring_prep_send(sqe, tcp.client.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_WAITALL);
  });
  CHECK(facts.nothing());  // more than the buffers hold
  std::vector<char> memory(1 << 20);
  std::size_t got = 0;
  while (got < data.size()) {
    const ssize_t size = recv(tcp.server.get(), memory.data(), memory.size(), MSG_DONTWAIT);
    if (size > 0) got += static_cast<std::size_t>(size);
    facts.nothing();  // lets the kernel go on sending
  }
  CHECK(facts.next().result == static_cast<int>(data.size()));
}

// What the loop concludes from silence (mesh/io/patience.h): one piece and gathered alike.
TEST_CASE("a send that may not wait is silent when all was sent, and else tells at once how much",
          "[kernel]") {
  for (const bool gather : {false, true}) {
    Facts facts;
    const Tcp tcp = connected_tcp();
    const std::vector<char> data(16 << 20, 'x');
    iovec piece{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    const auto send_some = [&](std::uint64_t name, std::size_t size) {
      piece = {const_cast<char*>(data.data()), size};
      facts.submit(name, [&](io_uring_sqe* sqe) {
        constexpr unsigned kFlags = MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT;
        gather ? io_uring_prep_sendmsg(sqe, tcp.client.get(), &message, kFlags)
               : io_uring_prep_send(sqe, tcp.client.get(), data.data(), size, kFlags);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
      });
    };
    send_some(1, 1000);
    CHECK(facts.nothing());
    std::vector<char> memory(1 << 20);
    CHECK(recv(tcp.server.get(), memory.data(), memory.size(), 0) == 1000);

    send_some(2, data.size());
    REQUIRE(!facts.nothing());
    const Answer partly = facts.next();
    CHECK(partly.name == 2);
    CHECK((partly.result > 0 && partly.result < static_cast<int>(data.size())));
    send_some(3, data.size());
    REQUIRE(!facts.nothing());
    const Answer full = facts.next();
    CHECK(full.name == 3);
    CHECK(full.result == -EAGAIN);

    shutdown(tcp.client.get(), SHUT_WR);
    ssize_t got = 0;
    for (;;) {
      const ssize_t size = recv(tcp.server.get(), memory.data(), memory.size(), 0);
      if (size <= 0) break;
      got += size;
    }
    CHECK(got == partly.result);
    send_some(4, 10);
    REQUIRE(!facts.nothing());
    CHECK(facts.next().result == -EPIPE);
  }
}

TEST_CASE("a cancelled MSG_WAITALL send tells how much it has sent", "[kernel]") {
  Facts facts;
  const Tcp tcp = connected_tcp();
  const std::vector<char> data(16 << 20, 'x');
  facts.submit(1, [&](io_uring_sqe* sqe) {
    io_uring_prep_send(sqe, tcp.client.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_WAITALL);
  });
  CHECK(facts.nothing());
  facts.cancel(1);
  std::array<Answer, 2> answers{facts.next(), facts.next()};
  if (answers[0].name != 1) std::swap(answers[0], answers[1]);
  CHECK(answers[0].name == 1);
  CHECK((answers[0].result == -ECANCELED || answers[0].result > 0));
}

TEST_CASE("a multishot accept ends with EMFILE, and the connection waits", "[kernel]") {
  Facts facts;
  const Tcp tcp = listen_tcp();
  const Descriptor client = dial(tcp);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 3;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto accept = [&](io_uring_sqe* sqe) {
    io_uring_prep_multishot_accept(sqe, tcp.listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
  };
  facts.submit(1, accept);
  const Answer refused = facts.next();
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(refused.result == -EMFILE);
  CHECK(!refused.more());
  facts.submit(2, accept);
  const Answer accepted = facts.next();
  CHECK(accepted.more());
  const Descriptor server(accepted.result);
  REQUIRE(server);
  // It inherits what the listener was given.
  int no_delay = 0;
  socklen_t length = sizeof no_delay;
  REQUIRE(getsockopt(server.get(), SOL_TCP, TCP_NODELAY, &no_delay, &length) == 0);
  CHECK(no_delay != 0);
}

TEST_CASE("dissolving an association resets at once, with a receive in flight", "[kernel]") {
  Facts facts;
  facts.provide(1);
  const Tcp tcp = connected_tcp();
  facts.receive_multishot(1, tcp.client.get());
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  REQUIRE(connect(tcp.client.get(), &nobody, sizeof nobody) == 0);
  char byte = 0;
  CHECK(recv(tcp.server.get(), &byte, 1, 0) == -1);
  CHECK(errno == ECONNRESET);
  const Answer ended = facts.next();
  CHECK(ended.name == 1);
  CHECK(!ended.more());
}

TEST_CASE("a poll for hang-up sees a half-close, and a reset", "[kernel]") {
  Facts facts;
  const Tcp tcp = connected_tcp();
  const auto poll = [&](io_uring_sqe* sqe) {
    io_uring_prep_poll_add(sqe, tcp.server.get(), POLLRDHUP | POLLHUP | POLLERR);
  };
  facts.submit(1, poll);
  CHECK(facts.nothing());
  REQUIRE(shutdown(tcp.client.get(), SHUT_WR) == 0);
  const Answer half = facts.next();
  CHECK((half.result & POLLRDHUP) != 0);
  CHECK((half.result & (POLLHUP | POLLERR)) == 0);
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  REQUIRE(connect(tcp.client.get(), &nobody, sizeof nobody) == 0);
  facts.submit(2, poll);
  CHECK((facts.next().result & (POLLHUP | POLLERR)) != 0);
}

}  // namespace
}  // namespace mesh::io
