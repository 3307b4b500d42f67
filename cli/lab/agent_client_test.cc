#include "cli/lab/agent_client.h"

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include <thread>

#include "cli/lab/files.h"
#include "cli/lab/packet_socket.h"

namespace mesh::cli::lab {
namespace {

// An agent that gives one answer, and keeps the question.
struct OneAnswerAgent {
  std::string path = "/tmp/weft-agent-" + random_hex(8);
  std::string question;
  Outcome<PacketSocket> listener = PacketSocket::listen_at(path);
  std::thread thread;

  explicit OneAnswerAgent(std::string answer) {
    REQUIRE(listener);
    thread = std::thread([this, answer] {
      auto client = listener->accept();
      if (!client) return;
      question = client->receive(std::chrono::milliseconds(5000)).value_or("");
      (void)client->send(answer);
    });
  }
  ~OneAnswerAgent() {
    if (thread.joinable()) thread.join();
    ::unlink(path.c_str());
  }
};

}  // namespace

TEST_CASE("a pod is described to the agent") {
  OneAnswerAgent agent(R"({"ok":true})");
  CHECK(agent_add(agent.path, {.uid = "u",
                               .name = "web",
                               .ns = "shop",
                               .service_account = "sa",
                               .ips = {"10.244.1.2"},
                               .netns = "/proc/self/ns/net"}));
  agent.thread.join();
  const std::string expected = R"({"ips":["10.244.1.2"],"name":"web","namespace":"shop",)"
                               R"("op":"add","serviceAccount":"sa","uid":"u"})";
  CHECK(agent.question == expected);
}

TEST_CASE("what the agent refuses, and what is no answer, is an error that names the socket") {
  struct Row {
    const char* answer;
    const char* error;
  };
  for (const Row& row : {
           Row{R"({"ok":false,"error":"no BTF"})", ": no BTF"},
           Row{R"({"ok":false})", ": refused without a reason"},
           Row{R"({"ok":false,"error":7})", ": refused without a reason"},
           Row{R"({"ok":1})", ": refused without a reason"},
           Row{"ok", ": an answer that is not JSON"},
       }) {
    INFO(row.answer);
    OneAnswerAgent agent(row.answer);
    const auto done = agent_del(agent.path, "u");
    REQUIRE_FALSE(done);
    CHECK(done.error() == agent.path + row.error);
  }
}

TEST_CASE("the uids that the agent knows") {
  OneAnswerAgent agent(R"({"ok":true,"pods":[{"uid":"a"},{"uid":7},{},{"uid":"b"}]})");
  CHECK(agent_list(agent.path) == std::set<std::string>{"a", "b"});
}

}  // namespace mesh::cli::lab
