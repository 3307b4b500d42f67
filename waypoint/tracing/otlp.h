#pragma once
// OTLP: finished spans as an ExportTraceServiceRequest, in protobuf's wire format. Pure.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "waypoint/tracing/context.h"

namespace mesh::waypoint::tracing {

struct FinishedSpan {
  Span span = {};
  std::string name = {};
  std::uint64_t begun_ns = 0, ended_ns = 0;  // since 1970
  std::string state = {};                    // tracestate
  bool failed = false;
  std::vector<std::pair<std::string, std::string>> texts = {};
  std::vector<std::pair<std::string, std::uint64_t>> numbers = {};
};

// Bytes of one, roughly: what a queue is measured by.
std::size_t weight(const FinishedSpan& span);

std::string encode_request(std::span<const FinishedSpan> spans, std::string_view service_name,
                           std::string_view node);

}  // namespace mesh::waypoint::tracing
