#include "ebpf/agent_message.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::ebpf {
namespace {

constexpr std::string_view kAdd =
    R"({"op":"add","uid":"u-1","name":"web","namespace":"shop","serviceAccount":"default",)"
    R"("ips":["10.0.0.1","fd00::1","10.0.0.1"],"netnsPath":"/run/netns/web"})";

TEST_CASE("add carries everything about the pod") {
  const auto request = parse_request(kAdd);
  REQUIRE(request);
  CHECK(request->operation == Operation::kAdd);
  CHECK(request->pod.uid == "u-1");
  CHECK(request->pod.name == "web");
  CHECK(request->pod.ns == "shop");
  CHECK(request->pod.service_account == "default");
  CHECK(request->pod.ips.size() == 2);  // one was there twice
  CHECK(request->pod.netns_path == "/run/netns/web");
}

TEST_CASE("the other operations") {
  CHECK(parse_request(R"({"op":"del","uid":"u"})")->operation == Operation::kDel);
  CHECK(parse_request(R"({"op":"list"})")->operation == Operation::kList);
  CHECK(parse_request(R"({"op":"connections","uid":"u"})")->operation == Operation::kConnections);
  CHECK(parse_request(R"({"op":"end-connections","uid":"u"})")->operation ==
        Operation::kEndConnections);
  CHECK(parse_request(R"({"op":"status"})")->operation == Operation::kStatus);
  CHECK(!parse_request(R"({"op":"shutdown"})")->detach);
  CHECK(parse_request(R"({"op":"shutdown","detach":true})")->detach);
}

TEST_CASE("what is wrong with a request is said in words") {
  struct Row {
    std::string text;
    const char* complaint;
  };
  const auto row = GENERATE(values<Row>({
      {"", "the request is no JSON object"},
      {"{", "the request is no JSON object"},
      {"[1]", "the request is no JSON object"},
      {R"({"op":"fly"})", "\"op\" is none of"},
      {R"({"op":7})", "\"op\" is none of"},
      {R"({})", "\"op\" is none of"},
      {R"({"op":"list","uid":"u"})", "\"uid\" is not understood"},
      {R"({"op":"del","uid":"u","force":true})", "\"force\" is not understood"},
      {R"({"op":"del"})", "\"uid\" is missing"},
      {R"({"op":"del","uid":5})", "\"uid\" is no string"},
      {R"({"op":"del","uid":""})", "\"uid\" is empty, too long, or not a name"},
      {R"({"op":"del","uid":"../x"})", "\"uid\" is empty, too long, or not a name"},
      {R"({"op":"del","uid":"a\nb"})", "\"uid\" is empty, too long, or not a name"},
      {R"({"op":"del","uid":")" + std::string(129, 'u') + "\"}", "\"uid\" is empty, too long"},
      {R"({"op":"add","uid":"u"})", "\"name\" is missing"},
      {R"({"op":"add","uid":"u","name":"n","namespace":"s","serviceAccount":"a"})",
       "\"ips\" is no"},
      {R"({"op":"add","uid":"u","name":"n","namespace":"s","serviceAccount":"a","ips":[]})",
       "\"ips\" is no list"},
      {R"({"op":"add","uid":"u","name":"n","namespace":"s","serviceAccount":"a","ips":["x"]})",
       "\"ips\" has an entry"},
      {R"({"op":"add","uid":"u","name":"n","namespace":"s","serviceAccount":"a",)"
       R"("ips":["127.0.0.1"]})",
       "\"ips\" has an entry"},
      {R"({"op":"add","uid":"u","name":"n","namespace":"s","serviceAccount":"a","ips":["1.1.1.1"],)"
       R"("netnsPath":"run"})",
       "\"netnsPath\" is no absolute path"},
      {R"({"op":"shutdown","detach":1})", "\"detach\" is neither"},
      {R"({"op":"list",)" + std::string(70000, ' ') + "}", "the request is over 64 KiB"},
  }));
  INFO(row.text);
  const auto request = parse_request(row.text);
  REQUIRE(!request);
  CHECK(request.error().starts_with(row.complaint));
}

TEST_CASE("deep nesting does not reach the parser's stack") {
  CHECK(!parse_request(std::string(8000, '[') + std::string(8000, ']')));
  CHECK(!parse_request(R"({"op":)" + std::string(8000, '[')));
}

TEST_CASE("more than 16 addresses are refused") {
  std::string text =
      R"({"op":"add","uid":"u","name":"n","namespace":"s","serviceAccount":"a","ips":[)";
  for (int i = 1; i <= 17; ++i) text += "\"10.0.0." + std::to_string(i) + (i < 17 ? "\"," : "\"]}");
  const auto request = parse_request(text);
  REQUIRE(!request);
  CHECK(request.error() == "\"ips\" has more than 16 addresses");
}

TEST_CASE("answers") {
  CHECK(format_ok() == R"({"ok":true})");
  CHECK(format_error("no \"such\"\npod") == R"({"error":"no \"such\"\npod","ok":false})");
  CHECK(format_added(true) == R"({"ok":true,"ztunnel":true})");
  CHECK(format_ended(3) == R"({"ended":3,"ok":true})");

  const auto request = parse_request(kAdd);
  std::array<std::uint64_t, WEFT_OUTCOMES> counters{};
  counters[WEFT_EGRESS_CAPTURED_SYN] = 2;
  const PodStatus pod{.pod = &request->pod, .older_connections = 4, .counters = counters};
  CHECK(format_list(std::span(&pod, 1), 1) ==
        R"({"ok":true,"pods":[{"counters":{"egress_captured_syn":2},"ips":["10.0.0.1","fd00::1"],)"
        R"("name":"web","namespace":"shop","preexisting":4,"serviceAccount":"default",)"
        R"("uid":"u-1"}],"ztunnels":1})");
}

TEST_CASE("a list of connections is cut at 1000, and says how many there are") {
  weft_connection v4{};
  v4.family = AF_INET;
  v4.state = TCP_ESTABLISHED;
  v4.local_port = 1;
  v4.remote_port = 2;
  v4.local[0] = htonl(0x0a000001);
  v4.remote[0] = htonl(0x0a000002);
  CHECK(format_connections(std::span(&v4, 1)) ==
        R"({"connections":[{"local":"10.0.0.1:1","remote":"10.0.0.2:2","state":"established"}],)"
        R"("ok":true,"total":1})");
  const std::vector<weft_connection> many(1500, v4);
  const std::string text = format_connections(many);
  CHECK(text.ends_with(R"("total":1500})"));
  CHECK(text.size() < 200'000);
}

}  // namespace
}  // namespace mesh::ebpf
