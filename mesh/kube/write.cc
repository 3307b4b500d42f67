#include "mesh/kube/write.h"

#include <ctime>
#include <utility>

#include "mesh/telemetry/log.h"

namespace mesh::kube {
namespace {

HttpRequest request(std::string method, std::string path, std::string body = {}) {
  HttpRequest request;
  request.method = std::move(method);
  request.target = std::move(path);
  request.body = std::move(body);
  return request;
}

std::string path_of(const Target& target, std::string_view subresource = {}) {
  return target.type.path(target.ns, target.name, subresource);
}

HttpRequest merge_patch(std::string path, std::string body, std::string_view manager) {
  HttpRequest patch =
      request("PATCH", with_query(std::move(path), {{"fieldManager", std::string(manager)}}),
              std::move(body));
  patch.content_type = "application/merge-patch+json";
  return patch;
}

Refusal refusal_of(const Status& status) {
  switch (status.code) {
    case 404:
      return Refusal::kMissing;
    case 409:
      return status.reason == "AlreadyExists" ? Refusal::kExists : Refusal::kConflict;
    case 403:
      return Refusal::kForbidden;
    case 401:  // credentials are being rotated
    case 408:
    case 429:
      return Refusal::kUnavailable;
    default:
      return status.code >= 400 && status.code < 500 ? Refusal::kInvalid : Refusal::kUnavailable;
  }
}

}  // namespace

std::string Target::to_string() const {
  std::string text = type.plural;
  if (!type.group.empty()) text += "." + type.group;
  text += " ";
  if (!ns.empty()) text += ns + "/";
  return text + name;
}

std::string timestamp(std::int64_t unix_seconds) {
  const std::time_t seconds = unix_seconds;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

HttpRequest get_request(const Target& target) { return request("GET", path_of(target)); }

HttpRequest create_request(const Target& target, std::string body) {
  return request("POST", target.type.path(target.ns), std::move(body));
}

HttpRequest apply_request(const Target& target, std::string body, std::string_view manager,
                          bool force) {
  HttpRequest apply = request("PATCH",
                              with_query(path_of(target), {{"fieldManager", std::string(manager)},
                                                           {"force", force ? "true" : "false"}}),
                              std::move(body));
  apply.content_type = "application/apply-patch+yaml";
  return apply;
}

HttpRequest patch_request(const Target& target, std::string body, std::string_view manager) {
  return merge_patch(path_of(target), std::move(body), manager);
}

HttpRequest patch_status_request(const Target& target, std::string body, std::string_view manager) {
  return merge_patch(path_of(target, "status"), std::move(body), manager);
}

HttpRequest remove_request(const Target& target, std::string_view uid) {
  std::string body = R"({"kind":"DeleteOptions","apiVersion":"v1")";
  if (!uid.empty()) {
    body += R"(,"preconditions":{"uid":)";
    telemetry::append_quoted_json(body, uid);
    body += "}";
  }
  return request("DELETE", path_of(target), body + "}");
}

HttpRequest ask_request(const ResourceType& type, std::string body) {
  return request("POST", type.path(), std::move(body));
}

WriteError write_error(std::string_view verb, const Target& target, const Status& status) {
  WriteError error;
  error.refusal = refusal_of(status);
  error.text = std::string(verb) + " " + target.to_string() + ": ";
  if (status.code != 0) error.text += std::to_string(status.code) + " ";
  if (!status.reason.empty()) error.text += status.reason + ": ";
  error.text += status.message;
  error.retry_after_seconds = status.retry_after_seconds;
  return error;
}

}  // namespace mesh::kube
