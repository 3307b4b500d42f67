#include "cli/explain.h"

#include <nlohmann/json.hpp>

#include <cstdio>

#include "cli/json.h"
#include "mesh/net/address.h"

namespace mesh::cli {
namespace {

using Json = nlohmann::json;

// A pod's name alone is enough when the lab has one of that name.
std::string full_name(const Session& session, const std::string& name) {
  if (name.find('/') != std::string::npos || !session.control.empty()) return name;
  if (asks_cluster(session)) return (session.ns.empty() ? "default" : session.ns) + "/" + name;
  const auto record = lab::find_lab(session.lab);
  if (!record) return name;
  const auto pod = lab::find_pod(*record, name);
  return pod ? pod->key() : name;
}

// "cart" -> "cart.shop": a short service name is meant as the caller's resolver would read it.
std::string full_host(const std::string& from, const std::string& host) {
  const bool short_name = host.find_first_of("./:") == std::string::npos;
  const std::size_t slash = from.find('/');
  return short_name && slash != std::string::npos ? host + "." + from.substr(0, slash) : host;
}

// Every policy that was looked at, and why it applied or did not; then every endpoint.
std::string details(const Json& answer) {
  std::string lines;
  const auto list = [&](const char* key) -> Json {
    const Json& value = member(answer, key);
    return value.is_array() ? value : Json::array();
  };
  for (const Json& policy : list("policies")) {
    const std::string rule = text(policy, "rule");
    lines += "  " + text(policy, "policy") + " (" + text(policy, "action") +
             (flag(policy, "dryRun") ? ", dry run" : "") + (rule.empty() ? "" : ", rule " + rule) +
             "): " + text(policy, "why") + "\n";
  }
  for (const Json& endpoint : list("endpoints")) {
    lines += "  endpoint " + text(endpoint, "workload") + ":" + text(endpoint, "port") +
             (flag(endpoint, "healthy", true) ? "" : ", not ready") +
             (flag(endpoint, "allowed", true) ? "" : ", refused") + "\n";
  }
  return lines;
}

}  // namespace

Outcome<ExplainQuestion> parse_question(const std::string& from, const std::string& target) {
  const std::size_t colon = target.rfind(':');
  const auto port =
      colon == std::string::npos ? std::nullopt : net::parse_port(target.substr(colon + 1));
  if (!port || colon == 0) return problem("\"" + target + "\": write HOST:PORT, as cart.shop:80");
  std::string host = target.substr(0, colon);
  if (host.starts_with("[") && host.ends_with("]")) host = host.substr(1, host.size() - 2);
  const bool bare_v6 = host.find(':') != std::string::npos && target[0] != '[';
  if (bare_v6) return problem("\"" + target + "\": write an IPv6 address in brackets");
  return ExplainQuestion{.from = from, .to = host, .port = *port};
}

int explain(const Session& session, const std::string& from, const std::string& target) {
  const auto question = parse_question(full_name(session, from), target);
  if (!question) return complain(question.error());
  const auto controls = control_targets(session);
  if (!controls) return complain(controls.error());
  const auto body = control_get(controls->front(),
                                "/debug/explain?from=" + url_encoded(question->from) +
                                    "&to=" + url_encoded(full_host(question->from, question->to)) +
                                    "&port=" + std::to_string(question->port));
  if (!body) return complain(body.error());
  const auto found = read_explanation(*body);
  if (!found) return complain(found.error());
  print(session, parse_json(found->json),
        question->from + " -> " + target + ": " + (found->allowed ? "allowed" : "refused") + "\n" +
            found->text);
  return found->allowed ? kOk : kDenied;
}

Outcome<Explanation> read_explanation(const std::string& body) {
  const Json answer = parse_json(body);
  if (!answer.is_object()) return problem("/debug/explain: not what was expected");
  if (const std::string error = text(answer, "error"); !error.empty()) return problem(error);
  Explanation found{.allowed = flag(answer, "allowed"), .json = to_text(answer, 2)};
  for (const auto& [key, label] : {std::pair("decidedBy", "decided by"), std::pair("rule", "rule"),
                                   std::pair("reason", "because"), std::pair("path", "path")}) {
    const std::string value = text(answer, key);
    if (!value.empty()) found.text += std::string(label) + " " + value + "\n";
  }
  found.text += details(answer);
  return found;
}

}  // namespace mesh::cli
