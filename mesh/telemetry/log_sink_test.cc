#include "mesh/telemetry/log_sink.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>

#include <catch2/catch_test_macros.hpp>

namespace mesh::telemetry {
namespace {

struct Pipe {
  Pipe() { REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0); }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  std::string read_some() {
    std::string text(1 << 16, 0);
    const ssize_t got = read(ends[0], text.data(), text.size());
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }
  std::array<int, 2> ends{};
};

TEST_CASE("lines arrive in order, and the last ones before the sink goes away") {
  Pipe pipe;
  {
    LogSink sink(pipe.ends[1]);
    CHECK(sink.write("one\n"));
    sink.flush();
    CHECK(sink.write("two\n"));
    CHECK(sink.write("three\n"));
  }
  CHECK(pipe.read_some() == "one\ntwo\nthree\n");
}

TEST_CASE("lines soon after a batch are written together, unless they are many or flushed") {
  Pipe pipe;
  LogSink sink(pipe.ends[1], 4096, std::chrono::hours(1));
  CHECK(sink.write("alone\n"));
  CHECK(pipe.read_some() == "alone\n");
  CHECK(sink.write("two\n"));
  CHECK(sink.write("three\n"));
  sink.flush();
  CHECK(pipe.read_some() == "two\nthree\n");
  const std::string line(300, 'x');
  std::string many;
  for (int i = 0; i < 4; ++i) {
    many += line;
    CHECK(sink.write(line));
  }
  CHECK(pipe.read_some() == many);
}

TEST_CASE("lines that a full disk does not take are counted") {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  LogSink sink(full);
  for (int i = 0; i < 3; ++i) CHECK(sink.write("lost\n"));
  sink.flush();
  CHECK(sink.dropped() == 3);
  close(full);
}

TEST_CASE("a descriptor that does not block loses nothing") {
  Pipe pipe;
  REQUIRE(fcntl(pipe.ends[1], F_SETFL, O_NONBLOCK) == 0);
  REQUIRE(fcntl(pipe.ends[1], F_SETPIPE_SZ, 4096) == 4096);
  const std::string line = std::string(999, 'x') + "\n";
  std::string heard;
  std::thread reader([&] {
    while (heard.size() < 100 * line.size()) heard += pipe.read_some();
  });
  {
    LogSink sink(pipe.ends[1]);
    for (int i = 0; i < 100; ++i) CHECK(sink.write(line));
    sink.flush();
    CHECK(sink.dropped() == 0);
  }
  reader.join();
  CHECK(heard.size() == 100 * line.size());
}

TEST_CASE("a reader that does not read costs lines, never time") {
  Pipe pipe;
  const int capacity = fcntl(pipe.ends[1], F_SETPIPE_SZ, 4096);
  REQUIRE(capacity > 0);
  const std::string line(1024, 'x');
  std::string drained;
  {
    LogSink sink(pipe.ends[1], 8 * 1024);
    // More than the pipe, the batch in flight and the queue hold together.
    for (int i = 0; i < 100; ++i) sink.write(line);
    CHECK(sink.dropped() > 0);
    CHECK(sink.dropped() < 100);
    const std::size_t kept = (100 - sink.dropped()) * line.size();
    while (drained.size() < kept) drained += pipe.read_some();
  }
  CHECK(drained.size() % line.size() == 0);
}

}  // namespace
}  // namespace mesh::telemetry
