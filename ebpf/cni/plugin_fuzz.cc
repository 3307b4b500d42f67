// The plugin on any input: it answers what is JSON, and says yes only with the agent's yes.
// The first byte is the command, the rest is stdin; what follows a NUL is CNI_ARGS.

#include <cstdint>
#include <nlohmann/json.hpp>

#include "ebpf/cni/plugin.h"
#include "mesh/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mesh::ebpf::cni;
  if (size == 0) return 0;
  constexpr const char* kNames[] = {"ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"};
  const std::string command = kNames[data[0] % 6];
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view input = rest.substr(0, rest.find('\0'));
  std::string arguments = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web";
  if (input.size() < rest.size()) arguments = rest.substr(input.size() + 1);
  const auto environment = [&](const char* name) {
    const std::string_view asked = name;
    if (asked == "CNI_COMMAND") return command;
    if (asked == "CNI_ARGS") return arguments;
    return std::string(asked == "CNI_NETNS" ? "/run/netns/x" : "x");
  };
  bool was_asked = false;
  const auto ask = [&](const std::string&, const std::string& request, const std::string&) {
    was_asked = true;
    MESH_CHECK(nlohmann::json::parse(request, nullptr, false).is_object());
    return std::expected<std::string, std::string>(R"({"ok":false,"error":"no"})");
  };
  const Answer answer = run_plugin(environment, input, ask);
  if (!answer.text.empty())
    MESH_CHECK(nlohmann::json::parse(answer.text, nullptr, false).is_object());
  MESH_CHECK(answer.status == 0 || !answer.text.empty());
  // The agent says no: only those who do not ask it, or need no answer, succeed.
  if (answer.status == 0 && was_asked) MESH_CHECK(command == "DEL" || command == "GC");
  return 0;
}
