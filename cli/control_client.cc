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

Outcome<std::string> asked(const ControlTarget& target, HttpMethod method,
                           const std::string& path) {
  const auto answer = target.ask(method, path);
  if (!answer) return problem(target.name + " does not answer: " + answer.error());
  if (answer->status != 200) {
    return problem(target.name + " answered " + std::to_string(answer->status) + ": " +
                   trimmed(answer->body).substr(0, 300));
  }
  return answer->body;
}

}  // namespace

ControlTarget control_of(const lab::Record& record) {
  const auto token = lab::read_file(record.control_state() + "/debug-token");
  ControlTarget target;
  target.ask = [token = trimmed(token.value_or("")), netns = record.link_netns](
                   HttpMethod method, const std::string& path) -> Outcome<HttpAnswer> {
    Outcome<HttpAnswer> answer = HttpAnswer{};
    TRY_DO(lab::inside_netns(netns, [&]() -> Outcome<Done> {
      answer = http_call({.method = method,
                          .url = std::string("http://") + lab::kControlAddress + ":15014" + path,
                          .bearer_token = token});
      return Done{};
    }));
    return answer;
  };
  return target;
}

Outcome<ControlTarget> control_at(const std::string& url, const std::string& token_file) {
  std::string token;
  if (!token_file.empty()) {
    TRY(token, lab::read_file(token_file));
  }
  ControlTarget target;
  target.ask = [token = trimmed(token), url](HttpMethod method, const std::string& path) {
    return http_call({.method = method, .url = url + path, .bearer_token = token});
  };
  return target;
}

Outcome<std::string> control_get(const ControlTarget& target, const std::string& path) {
  return asked(target, HttpMethod::kGet, path);
}

Outcome<std::string> control_post(const ControlTarget& target, const std::string& path) {
  return asked(target, HttpMethod::kPost, path);
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
    const std::string line = text(one, "line");
    std::string sentence = text(one, "file") + (line == "0" ? "" : ":" + line);
    for (const char* part : {"object", "field", "message"}) {
      const std::string word = text(one, part);
      if (!word.empty()) sentence += ": " + word;
    }
    const std::string in_force = text(one, "inForce");
    sentences.push_back(sentence + (in_force.empty() ? "" : "; " + in_force));
  }
  return sentences;
}

namespace {

Outcome<std::vector<NodeSync>> read_clients(const Json& list, const char* name) {
  std::vector<NodeSync> clients;
  if (!list.is_array()) return clients;
  for (const Json& one : list) {
    if (!one.is_object()) return problem("/debug/sync: not what was expected");
    NodeSync& client = clients.emplace_back();
    client = {.node = text(one, name),
              .connected = number(one, "connected") != 0,
              .acked = number(one, "ackedVersion"),
              .pending = static_cast<int>(number(one, "pending")),
              .pods = static_cast<int>(number(one, "pods")),
              .last_nack = text(one, "lastNack")};
    const Json& types = member(one, "types");
    if (!types.is_object()) continue;
    for (const auto& [type, state] : types.items()) client.types[type] = text_of(state);
  }
  return clients;
}

}  // namespace

Outcome<Sync> parse_sync(const std::string& json) {
  const Json parsed = parse_json(json);
  if (!parsed.is_object() || !parsed.contains("version")) {
    return problem("/debug/sync: not what was expected");
  }
  Sync sync{.version = number(parsed, "version"), .nodes = {}};
  TRY(sync.nodes, read_clients(member(parsed, "nodes"), "node"));
  TRY(sync.waypoints, read_clients(member(parsed, "waypoints"), "waypoint"));
  return sync;
}

Outcome<Sync> control_sync(const ControlTarget& target) {
  TRY(const std::string body, control_get(target, "/debug/sync"));
  return parse_sync(body);
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
