#include "ebpf/cni/conflist.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace mesh::ebpf::cni {
namespace {

using json = nlohmann::ordered_json;

constexpr int kNestingMax = 32;
constexpr std::size_t kPluginsMax = 64;

bool is_shallow(int depth, json::parse_event_t, json&) { return depth <= kNestingMax; }

std::expected<json, std::string> parse(std::string_view text) {
  if (text.size() > kConflistBytesMax) return std::unexpected("it is over 1 MiB");
  json object = json::parse(text, is_shallow, false);
  if (!object.is_object()) return std::unexpected("it is no JSON object");
  const auto plugins = object.find("plugins");
  if (plugins == object.end() || !plugins->is_array())
    return std::unexpected("it has no list of plugins: only a conflist can be chained");
  if (plugins->empty() || plugins->size() > kPluginsMax)
    return std::unexpected("it has no plugins, or more than 64");
  return object;
}

bool is_ours(const json& plugin) {
  if (!plugin.is_object()) return false;
  const auto type = plugin.find("type");
  const auto* name = type != plugin.end() ? type->get_ptr<const std::string*>() : nullptr;
  return name != nullptr && *name == kPluginType;
}

void remove_ours(json& plugins) {
  json others = json::array();
  for (json& each : plugins)
    if (!is_ours(each)) others.push_back(std::move(each));
  plugins = std::move(others);
}

std::string dump(const json& object) {
  return object.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

NewText with_plugin(std::string_view text, const PluginEntry& entry) {
  auto object = parse(text);
  if (!object) return std::unexpected(object.error());
  const json wanted = {{"type", kPluginType},
                       {"agentSocket", entry.socket},
                       {"excludeNamespaces", entry.excluded_namespaces}};
  json& plugins = (*object)["plugins"];
  const auto ours = std::ranges::count_if(plugins, is_ours);
  if (ours == 1 && !is_ours(plugins.front()) && std::ranges::count(plugins, wanted) == 1)
    return std::nullopt;
  remove_ours(plugins);
  if (plugins.empty()) return std::unexpected("it has no plugin but ours");
  plugins.push_back(wanted);
  return dump(*object);
}

NewText without_plugin(std::string_view text) {
  auto object = parse(text);
  if (!object) return std::unexpected(object.error());
  json& plugins = (*object)["plugins"];
  if (std::ranges::none_of(plugins, is_ours)) return std::nullopt;
  remove_ours(plugins);
  return dump(*object);
}

}  // namespace mesh::ebpf::cni
