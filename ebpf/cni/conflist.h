#pragma once
// The cluster's CNI configuration with our plugin chained at its end, and without it again. Pure.
//
// Everything else in the file stays as it is, members in their order. Limits: 1 MiB, 32 levels, 64
// plugins.

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::ebpf::cni {

inline constexpr std::size_t kConflistBytesMax = 1u << 20;
inline constexpr std::string_view kPluginType = "weft-cni";

struct PluginEntry {
  std::string socket;  // of the agent, as a path of the node
  std::vector<std::string> excluded_namespaces;
};

// The new text; nothing when it is already right. The error is in words.
using NewText = std::expected<std::optional<std::string>, std::string>;

// Ours belongs after the plugin that gives addresses; where somebody was chained after us, we stay.
NewText with_plugin(std::string_view text, const PluginEntry& entry);
NewText without_plugin(std::string_view text);

}  // namespace mesh::ebpf::cni
