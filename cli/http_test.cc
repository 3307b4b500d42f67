#include "cli/http.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include <thread>

namespace mesh::cli {
namespace {

// Answers one request with the bytes it was given, and keeps the request.
struct OneAnswerServer {
  int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  std::string url;
  std::string request;
  std::thread thread;

  explicit OneAnswerServer(std::string answer) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(listener, 1) == 0);
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/page";
    thread = std::thread([this, answer] {
      const int client = ::accept(listener, nullptr, nullptr);
      char buffer[4096];
      const ssize_t got = ::read(client, buffer, sizeof buffer);
      if (got > 0) request.assign(buffer, static_cast<std::size_t>(got));
      (void)!::write(client, answer.data(), answer.size());
      ::close(client);
    });
  }
  ~OneAnswerServer() {
    ::shutdown(listener, SHUT_RDWR);
    if (thread.joinable()) thread.join();
    ::close(listener);
  }
};

}  // namespace

TEST_CASE("an answer of any status is a value, and the token goes with the request") {
  OneAnswerServer server("HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nnot y");
  const auto answer = http_call({.url = server.url, .bearer_token = "secret"});
  REQUIRE(answer);
  CHECK(answer->status == 503);
  CHECK(answer->body == "not y");
  server.thread.join();
  CHECK(server.request.find("GET /page HTTP/1.1") == 0);
  CHECK(server.request.find("Authorization: Bearer secret\r\n") != std::string::npos);
}

TEST_CASE("no answer is an error that names the page") {
  const auto refused =
      http_call({.url = "http://127.0.0.1:1/", .timeout = std::chrono::seconds(1)});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().starts_with("http://127.0.0.1:1/: "));
  OneAnswerServer garbage("\x01\x02 nonsense\r\n\r\n");
  CHECK_FALSE(http_call({.url = garbage.url, .timeout = std::chrono::seconds(1)}));
}

}  // namespace mesh::cli
