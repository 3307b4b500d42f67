#pragma once
// Requests on one object, and what a refusal of one means. Pure: text in, text out. Bodies are
// JSON. A writer that read the object before names its resourceVersion in the body's metadata: then
// a change in between is a conflict, and nothing is overwritten.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/kube/frames.h"
#include "mesh/kube/http.h"
#include "mesh/kube/resource.h"

namespace mesh::kube {

struct Target {
  ResourceType type;
  std::string ns = {};  // empty for kinds without one
  std::string name = {};

  // "secrets weft-system/weft-ca", "gateways.gateway.networking.k8s.io shop/waypoint"
  std::string to_string() const;
};

// A time as objects hold it: "2026-11-21T15:47:03Z".
std::string timestamp(std::int64_t unix_seconds);

HttpRequest get_request(const Target& target);
// The body names the object.
HttpRequest create_request(const Target& target, std::string body);
// Server-side apply: the fields of `body` become `manager`'s. `force`: even those that another
// manager has set; without, they are a conflict.
HttpRequest apply_request(const Target& target, std::string body, std::string_view manager,
                          bool force);
// A merge patch (RFC 7386) of the object, or of its status: null removes, a list replaces.
HttpRequest patch_request(const Target& target, std::string body, std::string_view manager);
HttpRequest patch_status_request(const Target& target, std::string body, std::string_view manager);
// Only the object with this uid, when one is given.
HttpRequest remove_request(const Target& target, std::string_view uid);
// A question to the API server, such as a TokenReview: created, answered, not kept.
HttpRequest ask_request(const ResourceType& type, std::string body);

enum class Refusal : std::uint8_t {
  kMissing,      // 404: not there, or its kind is not served here
  kExists,       // 409 AlreadyExists
  kConflict,     // 409: somebody changed it first, or owns the field
  kForbidden,    // 403: a verb that RBAC withholds, or admission said no
  kInvalid,      // 400, 422 and the like: the same request will not do better
  kUnavailable,  // 401, 408, 429, 5xx, unreachable: later
};

struct WriteError {
  Refusal refusal = Refusal::kUnavailable;
  std::string text;  // "create secrets weft-system/weft-ca: 403 Forbidden: …"
  std::optional<std::uint32_t> retry_after_seconds = {};
};

// `verb` as RBAC calls it: get, create, patch, delete.
WriteError write_error(std::string_view verb, const Target& target, const Status& status);

}  // namespace mesh::kube
