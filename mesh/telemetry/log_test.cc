#include "mesh/telemetry/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include <catch2/catch_test_macros.hpp>

namespace mesh::telemetry {
namespace {

std::int64_t fixed_second = 1795250364;
std::int64_t fixed_clock() { return fixed_second * 1'000'000'000 + 734'580'999; }

std::string lines_of(LogFormat format, LogFilter& filter, void (*write)(Log&)) {
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
  {
    LogSink sink(ends[1]);
    Log log(sink, format, filter, fixed_clock);
    write(log);
  }
  std::string text(1 << 16, 0);
  const ssize_t got = read(ends[0], text.data(), text.size());
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  close(ends[0]);
  close(ends[1]);
  return text;
}

TEST_CASE("an event is one line, text or JSON") {
  LogFilter filter;
  const auto write = [](Log& log) {
    log.warn("xds::client", "connection \"lost\"", {{"retry", "15ms"}, {"error", "a\nb\x01"}});
    log.debug("xds", "not at this level");
  };
  CHECK(lines_of(LogFormat::kText, filter, write) ==
        "2026-11-21T08:39:24.734580Z\twarn\txds::client\tconnection \"lost\"\t"
        "retry=\"15ms\" error=\"a\\nb\\u{1}\"\n");
  CHECK(lines_of(LogFormat::kJson, filter, write) ==
        "{\"level\":\"warn\",\"time\":\"2026-11-21T08:39:24.734580Z\",\"scope\":\"xds::client\","
        "\"message\":\"connection \\\"lost\\\"\",\"retry\":\"15ms\",\"error\":\"a\\nb\\u0001\"}\n");
}

TEST_CASE("levels apply to everything or to a scope and what is below it") {
  LogFilter filter;
  CHECK(filter.apply("warn,xds=debug,access=off"));
  CHECK(filter.passes(Level::kDebug, "xds"));
  CHECK(filter.passes(Level::kDebug, "xds::client"));
  CHECK(!filter.passes(Level::kInfo, "node"));
  CHECK(!filter.passes(Level::kError, "access"));
  CHECK(!filter.access_passes(Level::kError));
  CHECK(filter.text() == "access=off,xds=debug,warn");
  filter.reset(Level::kInfo);
  CHECK(filter.text() == "info");
  CHECK(filter.access_passes(Level::kInfo));
}

TEST_CASE("a level that does not parse changes nothing") {
  LogFilter filter;
  for (const char* bad : {"chatty", "access:debug", "", "info,", "=info", "access=", "info,x=y"}) {
    INFO(bad);
    CHECK(!filter.apply(bad));
  }
  CHECK(!filter.apply(std::string(2000, 'a') + "=info"));
  CHECK(filter.text() == "info");
}

TEST_CASE("limit: a flood of one reason is a few lines, and the next one says how many were not") {
  LogFilter filter;
  const std::string text = lines_of(LogFormat::kText, filter, [](Log& log) {
    for (int i = 0; i < 100; ++i) log.limited("flood", Level::kWarn, "inbound", "garbage");
    log.limited("other", Level::kWarn, "inbound", "another reason");
    ++fixed_second;
    log.limited("flood", Level::kWarn, "inbound", "garbage");
  });
  CHECK(std::count(text.begin(), text.end(), '\n') == kLimitedPerSecond + 2);
  CHECK(text.ends_with("garbage\tsuppressed=95\n"));
}

TEST_CASE("JSON stays UTF-8 whatever a stranger sends") {
  std::string out;
  append_quoted_json(out, "\xc3\xa9 \xff\xc3 \xed\xa0\x80");
  CHECK(out == "\"\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace mesh::telemetry
