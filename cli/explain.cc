#include "cli/explain.h"

#include <nlohmann/json.hpp>

#include <cstdio>

#include "mesh/net/address.h"

namespace mesh::cli {
namespace {

using Json = nlohmann::json;

std::string text(const Json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || object[key].is_null()) return "";
  return object[key].is_string() ? object[key].get<std::string>() : object[key].dump();
}

// A pod's name alone is enough when the lab has one of that name.
std::string full_name(const Session& session, const std::string& name) {
  if (name.find('/') != std::string::npos || !session.control.empty()) return name;
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
void print_details(const Json& answer) {
  const auto list = [&](const char* key) -> Json {
    return answer.contains(key) && answer[key].is_array() ? answer[key] : Json::array();
  };
  for (const Json& policy : list("policies")) {
    const std::string rule = text(policy, "rule");
    const std::string where = rule.empty() ? "" : ", rule " + rule;
    std::printf("  %s (%s%s%s): %s\n", text(policy, "policy").c_str(),
                text(policy, "action").c_str(), policy.value("dryRun", false) ? ", dry run" : "",
                where.c_str(), text(policy, "why").c_str());
  }
  for (const Json& endpoint : list("endpoints")) {
    std::printf("  endpoint %s:%s%s%s\n", text(endpoint, "workload").c_str(),
                text(endpoint, "port").c_str(),
                endpoint.value("healthy", true) ? "" : ", not ready",
                endpoint.value("allowed", true) ? "" : ", refused");
  }
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
  const auto control = control_target(session);
  if (!control) return complain(control.error());
  const auto body =
      control_get(*control, "/debug/explain?from=" + url_encoded(question->from) +
                                "&to=" + url_encoded(full_host(question->from, question->to)) +
                                "&port=" + std::to_string(question->port));
  if (!body) return complain(body.error());
  const Json answer = Json::parse(*body, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) return complain("/debug/explain: not what was expected");
  if (const std::string error = text(answer, "error"); !error.empty()) return complain(error);
  const bool allowed = answer.value("allowed", false);
  if (session.json()) {
    std::printf("%s\n", answer.dump(2).c_str());
    return allowed ? kOk : kDenied;
  }
  std::printf("%s -> %s: %s\n", question->from.c_str(), target.c_str(),
              allowed ? "allowed" : "refused");
  for (const auto& [key, label] : {std::pair("decidedBy", "decided by"), std::pair("rule", "rule"),
                                   std::pair("reason", "because"), std::pair("path", "path")}) {
    if (const std::string value = text(answer, key); !value.empty()) {
      std::printf("%s %s\n", label, value.c_str());
    }
  }
  print_details(answer);
  return allowed ? kOk : kDenied;
}

}  // namespace mesh::cli
