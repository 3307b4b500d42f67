// Frames of a watch, cut anywhere: no crash, the same lines however they are cut.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "mesh/kube/frames.h"

namespace {

std::vector<std::string> split(std::string_view text, std::size_t step) {
  mesh::kube::LineSplitter splitter;
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size(); at += step) {
    const auto fed = splitter.feed(text.substr(at, step), [&](std::string_view line) {
      lines.emplace_back(line);
      return true;
    });
    if (!fed) std::abort();
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = split(text, size == 0 ? 1 : size);
  if (lines != split(text, 1) || lines != split(text, 7)) std::abort();
  for (const std::string& line : lines) {
    const auto frame = mesh::kube::read_watch_frame(line);
    if (!frame) continue;
    const bool is_error = frame->type == mesh::kube::WatchFrame::Type::kError;
    if (!is_error && frame->resource_version.empty()) std::abort();
  }
  (void)mesh::kube::read_list_page(text, [](mesh::manifest::Value&&) {});
  (void)mesh::kube::read_status(500, text);
  return 0;
}
