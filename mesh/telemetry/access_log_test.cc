#include "mesh/telemetry/access_log.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace mesh::telemetry {
namespace {

struct Field {
  std::string key, value;
  bool quoted = false;
  bool operator==(const Field&) const = default;
};

// `a=b c="d \"e\""`, the way an operator's tool would read it.
std::vector<Field> parse_fields(std::string_view text) {
  std::vector<Field> fields;
  while (!text.empty()) {
    Field field;
    const std::size_t equals = text.find('=');
    REQUIRE(equals != std::string_view::npos);
    field.key = text.substr(0, equals);
    text.remove_prefix(equals + 1);
    field.quoted = text.starts_with('"');
    if (field.quoted) text.remove_prefix(1);
    while (!text.empty() && text[0] != (field.quoted ? '"' : ' ')) {
      if (text[0] == '\\') text.remove_prefix(1);
      field.value.push_back(text[0]);
      text.remove_prefix(1);
    }
    if (field.quoted) text.remove_prefix(1);
    if (!text.empty()) text.remove_prefix(1);
    fields.push_back(std::move(field));
  }
  return fields;
}

AccessRecord record_of(std::map<std::string, std::string>& value, const std::string& event) {
  const auto address = [&](const char* key) {
    return net::SocketAddress::parse(value[key]).value_or(net::SocketAddress{});
  };
  AccessRecord record;
  record.event = event == "failed"   ? AccessEvent::kFailed
                 : event == "opened" ? AccessEvent::kOpened
                                     : AccessEvent::kComplete;
  record.source = {address("src.addr"), value["src.workload"], value["src.namespace"],
                   value["src.identity"], value["src.cluster"]};
  record.destination = {address("dst.addr"), value["dst.workload"], value["dst.namespace"],
                        value["dst.identity"], value["dst.cluster"]};
  record.hbone_address = value["dst.hbone_addr"];
  record.service = value["dst.service"];
  record.inbound = value["direction"] == "inbound";
  record.bytes_sent = std::strtoull(value["bytes_sent"].c_str(), nullptr, 10);
  record.bytes_received = std::strtoull(value["bytes_recv"].c_str(), nullptr, 10);
  record.duration_milliseconds = std::strtoll(value["duration"].c_str(), nullptr, 10);
  record.error = value["error"];
  return record;
}

TEST_CASE("golden: every recorded access log line has our keys, order, quotes and level") {
  std::ifstream golden(GOLDEN_FOLDER "/ztunnel/access.tsv");
  int lines = 0;
  for (std::string line; std::getline(golden, line);) {
    if (line.starts_with('#')) continue;
    INFO(line);
    std::vector<std::string> cells;
    for (int i = 0; i < 4; ++i) {
      const std::size_t tab = line.find('\t');
      REQUIRE(tab != std::string::npos);
      cells.push_back(line.substr(0, tab));
      line.erase(0, tab + 1);
    }
    const std::vector<Field> expected = parse_fields(line);
    std::map<std::string, std::string> values;
    for (const Field& field : expected) values[field.key] = field.value;
    const AccessRecord record = record_of(values, cells[3]);
    CHECK(level_name(access_level(record)) == cells[2]);

    std::string text;
    append_access_text(text, record);
    const std::string head = "\t" + cells[2] + "\taccess\tconnection " + cells[3] + "\t";
    const std::size_t at = text.find(head);
    REQUIRE(at != std::string::npos);
    CHECK(parse_fields(std::string_view(text).substr(
              at + head.size(), text.size() - at - head.size() - 1)) == expected);
    ++lines;
  }
  CHECK(lines == 53);
}

TEST_CASE("golden: the JSON form of a record, to the byte") {
  AccessRecord record{
      .unix_nanoseconds = 1795250404424160000,
      .source = {*net::SocketAddress::parse("10.78.0.1:55226"), "client-1", "web",
                 "spiffe://cluster.local/ns/web/sa/client", "Kubernetes"},
      .destination = {*net::SocketAddress::parse("10.78.0.2:15008"), "server-1", "app",
                      "spiffe://cluster.local/ns/app/sa/server", "Kubernetes"},
      .hbone_address = "10.78.0.2:7000",
      .service = "srv.app.svc.cluster.local",
      .inbound = false,
      .bytes_sent = 100,
      .bytes_received = 100,
      .duration_milliseconds = 69};
  std::string json;
  append_access_json(json, record);
  CHECK(json ==
        R"({"level":"info","time":"2026-11-21T08:40:04.424160Z","scope":"access",)"
        R"("message":"connection complete","src.addr":"10.78.0.1:55226",)"
        R"("src.workload":"client-1","src.namespace":"web",)"
        R"("src.identity":"spiffe://cluster.local/ns/web/sa/client","src.cluster":"Kubernetes",)"
        R"("dst.addr":"10.78.0.2:15008","dst.hbone_addr":"10.78.0.2:7000",)"
        R"("dst.service":"srv.app.svc.cluster.local","dst.workload":"server-1",)"
        R"("dst.namespace":"app","dst.identity":"spiffe://cluster.local/ns/app/sa/server",)"
        R"("dst.cluster":"Kubernetes","direction":"outbound","bytes_sent":100,)"
        R"("bytes_recv":100,"duration":"69ms"})"
        "\n");
}

TEST_CASE("what we add comes after what Istio has") {
  AccessRecord record{.source = {}, .destination = {}, .inbound = true};
  record.error = "connection closed due to policy rejection: explicitly denied by: app/deny";
  record.reason = Reason::kDenied;
  record.policy = "app/deny";
  std::string text;
  append_access_text(text, record);
  CHECK(text.ends_with("explicitly denied by: app/deny\" reason=\"denied\" policy=\"app/deny\"\n"));
}

TEST_CASE("limit: what is refused is 100 lines a second for each reason, the rest is counted") {
  const int fd = memfd_create("log", MFD_CLOEXEC);
  {
    LogSink sink(fd);
    LogFilter filter;
    Log log(sink, LogFormat::kText, filter);
    AccessLog access(log);
    AccessRecord record{.event = AccessEvent::kComplete, .unix_nanoseconds = 5'000'000'000};
    record.error = "explicitly denied";
    record.reason = Reason::kDenied;
    record.refused = true;
    for (int i = 0; i < 1000; ++i) access.write(record);
    CHECK(access.limited() == 1000 - kRefusedLinesPerSecond);
    record.reason = Reason::kNoEndpoint;
    access.write(record);
    // What was carried is told of, however it ended.
    record.refused = false;
    record.reason = Reason::kPolicyChanged;
    for (int i = 0; i < 500; ++i) access.write(record);
    CHECK(access.limited() == 1000 - kRefusedLinesPerSecond);
  }
  std::string text(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)), 0);
  CHECK(pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  CHECK(std::count(text.begin(), text.end(), '\n') == kRefusedLinesPerSecond + 1 + 500);
  close(fd);
}

TEST_CASE("limit: what strangers cause at line rate is 50 lines a second, the rest is counted") {
  const int fd = memfd_create("log", MFD_CLOEXEC);
  {
    LogSink sink(fd);
    LogFilter filter;
    Log log(sink, LogFormat::kText, filter);
    AccessLog access(log);
    AccessRecord failed{.event = AccessEvent::kFailed, .unix_nanoseconds = 5'000'000'000};
    for (int i = 0; i < 1000; ++i) access.write(failed);
    CHECK(access.limited() == 1000 - kFailedLinesPerSecond);
    failed.unix_nanoseconds += 1'000'000'000;
    access.write(failed);
    // Connections that were understood are all written.
    AccessRecord complete{.event = AccessEvent::kComplete};
    for (int i = 0; i < 100; ++i) access.write(complete);
    CHECK(access.limited() == 1000 - kFailedLinesPerSecond);
  }
  std::string text(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)), 0);
  CHECK(pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  CHECK(std::count(text.begin(), text.end(), '\n') == kFailedLinesPerSecond + 1 + 100);
  close(fd);
}

}  // namespace
}  // namespace mesh::telemetry
