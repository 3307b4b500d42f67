// A template that is anything, and YAML that is anything: an error or text; what is written is read
// as the same.

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "cli/template/render.h"
#include "cli/template/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json values = {{"a", {{"b", "text"}, {"c", {1, 2, 3}}}}, {"d", nullptr}};
  (void)mesh::cli::tmpl::render({{"t", text}}, values, {{"f", "file"}});
  const auto documents = mesh::cli::read_yaml(text);
  if (!documents) return 0;
  for (const nlohmann::json& one : *documents) {
    const auto again = mesh::cli::read_yaml(mesh::cli::to_yaml(one) + "\n");
    if (one.is_null()) continue;
    if (!again || again->size() != 1 || again->front() != one) std::abort();
  }
  return 0;
}
