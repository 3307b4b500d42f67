#include "cli/control_client.h"

#include <nlohmann/json.hpp>

#include "cli/http.h"
#include "cli/json.h"
#include "cli/lab/addresses.h"
#include "cli/lab/files.h"
#include "cli/lab/network.h"

namespace mesh::cli {
namespace {

using Json = nlohmann::json;

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// Numbers that are too large for a JSON number travel as text.
std::uint64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return 0;
  if (found->is_number_unsigned()) return found->get<std::uint64_t>();
  if (found->is_array()) return found->size();
  if (found->is_string()) return std::strtoull(found->get<std::string>().c_str(), nullptr, 10);
  if (found->is_boolean()) return found->get<bool>() ? 1 : 0;
  return 0;
}

}  // namespace

ControlTarget control_of(const lab::Record& record) {
  const auto token = lab::read_file(record.control_state() + "/debug-token");
  return {.url = std::string("http://") + lab::kControlAddress + ":15014",
          .token = trimmed(token.value_or("")),
          .netns = record.link_netns};
}

Outcome<ControlTarget> control_at(const std::string& url, const std::string& token_file) {
  ControlTarget target{.url = url, .token = "", .netns = ""};
  if (!token_file.empty()) {
    TRY(const std::string token, lab::read_file(token_file));
    target.token = trimmed(token);
  }
  return target;
}

Outcome<std::string> control_get(const ControlTarget& target, const std::string& path) {
  Outcome<HttpAnswer> answer = HttpAnswer{};
  const auto ask = [&]() -> Outcome<Done> {
    answer = http_get({.url = target.url + path, .bearer_token = target.token});
    return Done{};
  };
  TRY_DO(target.netns.empty() ? ask() : lab::inside_netns(target.netns, ask));
  if (!answer) return problem("control does not answer: " + answer.error());
  if (answer->status != 200) {
    return problem("control answered " + std::to_string(answer->status) + ": " +
                   trimmed(answer->body).substr(0, 300));
  }
  return answer->body;
}

Outcome<std::vector<std::string>> control_problems(const ControlTarget& target) {
  TRY(const std::string body, control_get(target, "/debug/problems"));
  const Json parsed = parse_json(body);
  const Json* list = &parsed;
  if (parsed.is_object() && parsed.contains("problems")) list = &parsed["problems"];
  if (!list->is_array()) return problem("/debug/problems: not a list");
  std::vector<std::string> sentences;
  for (const Json& one : *list) {
    if (!one.is_object() || text(one, "severity") == "warning") continue;
    const std::string field = text(one, "field");
    sentences.push_back(text(one, "file") + ":" + text(one, "line") + ": " +
                        (field.empty() ? "" : field + ": ") + text(one, "message"));
  }
  return sentences;
}

Outcome<Sync> parse_sync(const std::string& json) {
  const Json parsed = parse_json(json);
  if (!parsed.is_object() || !parsed.contains("version")) {
    return problem("/debug/sync: not what was expected");
  }
  Sync sync{.version = number(parsed, "version"), .nodes = {}};
  if (!parsed.contains("nodes") || !parsed["nodes"].is_array()) return sync;
  for (const Json& one : parsed["nodes"]) {
    if (!one.is_object()) return problem("/debug/sync: not what was expected");
    sync.nodes.push_back({.node = text(one, "node"),
                          .connected = number(one, "connected") != 0,
                          .acked = number(one, "ackedVersion"),
                          .pending = static_cast<int>(number(one, "pending")),
                          .pods = static_cast<int>(number(one, "pods")),
                          .last_nack = text(one, "lastNack")});
  }
  return sync;
}

Outcome<Sync> control_sync(const ControlTarget& target) {
  TRY(const std::string body, control_get(target, "/debug/sync"));
  return parse_sync(body);
}

std::string Sync::waiting_for() const {
  std::string list;
  for (const NodeSync& node : nodes) {
    if (node.pods == 0 || (node.connected && node.acked >= version)) continue;
    list += list.empty() ? "" : ", ";
    list += node.node;
    if (!node.connected) {
      list += " (not connected)";
    } else {
      list += " (has version " + std::to_string(node.acked) + " of " + std::to_string(version);
      list += node.last_nack.empty() ? ")" : "; refused: " + node.last_nack + ")";
    }
  }
  return list;
}

std::string url_encoded(const std::string& text) {
  std::string result;
  for (const char letter : text) {
    if (std::isalnum(static_cast<unsigned char>(letter)) || letter == '.' || letter == '-' ||
        letter == '_') {
      result.push_back(letter);
    } else {
      constexpr const char* kHex = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(letter);
      result.push_back('%');
      result.push_back(kHex[byte >> 4]);
      result.push_back(kHex[byte & 15]);
    }
  }
  return result;
}

}  // namespace mesh::cli
