// Formats of access logs, taken apart.

#include "waypoint/config/access_format.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::config {
namespace {

// "literal|REQ(a,b):3|…" by the numbers of what was understood.
std::string shown(std::string_view text) {
  std::vector<std::string> unknown;
  const auto format = parse_access_format(text, unknown);
  if (!format) return "none";
  std::string all;
  for (const LogPiece& piece : format->pieces) {
    if (!all.empty()) all += "|";
    all += piece.what == LogOperator::kLiteral ? "'" + piece.text + "'"
                                               : std::to_string(static_cast<int>(piece.what));
    for (const std::string& name : piece.names) all += "," + name;
    if (piece.limit != std::string::npos) all += ":" + std::to_string(piece.limit);
  }
  for (const std::string& name : unknown) all += " ?" + name;
  return all;
}

std::string op(LogOperator what) { return std::to_string(static_cast<int>(what)); }

TEST_CASE("a format is literal text and operators") {
  const std::string nothing = op(LogOperator::kNothing);
  const struct {
    const char* text;
    std::string shown;
  } rows[] = {
      {"", ""},
      {"a b", "'a b'"},
      {"100%%", "'100%'"},
      {"[%START_TIME%] x", "'['|" + op(LogOperator::kStartTime) + "|'] x'"},
      {"%START_TIME(%Y-%m-%d)%", op(LogOperator::kStartTime)},
      {"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
       op(LogOperator::kRequestHeader) + ",x-envoy-original-path,:path"},
      {"%REQ(user-agent):10%", op(LogOperator::kRequestHeader) + ",user-agent:10"},
      {"%PROTOCOL:3%", op(LogOperator::kProtocol) + ":3"},
      {"%RESP(a)%%TRAILER(b)%",
       op(LogOperator::kResponseHeader) + ",a|" + op(LogOperator::kResponseTrailer) + ",b"},
      {"%DYNAMIC_METADATA(a.b:c:D):9%", op(LogOperator::kMetadata) + ",a.b,c,D:9"},
      {"%DYNAMIC_METADATA(a)%", nothing + " ?DYNAMIC_METADATA(a)"},
      {"%DYNAMIC_METADATA(a:)%", nothing + " ?DYNAMIC_METADATA(a:)"},
      {"%DYNAMIC_METADATA%", nothing + " ?DYNAMIC_METADATA"},
      {"%FILTER_STATE(a:b)%", nothing + " ?FILTER_STATE(a:b)"},
      {"%NEVER_HEARD%", nothing + " ?NEVER_HEARD"},
      {"%PROTOCOL(x)%", nothing + " ?PROTOCOL(x)"},
      {"50%", "none"},
      {"%REQ()%", "none"},
      {"%REQ%", "none"},
      {"%REQ(a%", "none"},
      {"%REQ(a):x%", "none"},
      {"%REQ(a)x%", "none"},
  };
  for (const auto& row : rows) {
    INFO(row.text);
    CHECK(shown(row.text) == row.shown);
  }
}

TEST_CASE("a format has an end") {
  std::string text;
  for (std::size_t i = 0; i < kLogPiecesMax; ++i) text += "%PROTOCOL%";
  CHECK(shown(text) != "none");
  CHECK(shown(text + "%PROTOCOL%") == "none");
  CHECK(shown(text + " and so on") == "none");
}

}  // namespace
}  // namespace mesh::waypoint::config
