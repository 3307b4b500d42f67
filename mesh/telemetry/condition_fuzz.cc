// Any text is a condition or has a problem; what was read can be asked.

#include <cstddef>
#include <cstdint>
#include <string>

#include "mesh/base/check.h"
#include "mesh/telemetry/condition.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mesh::telemetry::Attribute;
  using mesh::telemetry::Condition;
  std::string problem;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto condition = Condition::parse(text, problem);
  MESH_CHECK(condition.has_value() == problem.empty());
  if (!condition) return 0;
  (void)condition->holds([](Attribute, std::string_view) { return std::nullopt; });
  (void)condition->holds([](Attribute attribute, std::string_view) {
    return std::optional<std::string>(attribute == Attribute::kResponseCode ? "404" : "/a");
  });
  return 0;
}
