#include "mesh/kube/write.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace mesh::kube {
namespace {

const Target kSecret{.type = {.group = {}, .version = "v1", .plural = "secrets"},
                     .ns = "weft-system",
                     .name = "weft-ca"};
const Target kGateway{
    .type = {.group = "gateway.networking.k8s.io", .version = "v1", .plural = "gateways"},
    .ns = "shop",
    .name = "waypoint"};

TEST_CASE("requests on one object go where the API server has it") {
  CHECK(get_request(kSecret).target == "/api/v1/namespaces/weft-system/secrets/weft-ca");
  const HttpRequest create = create_request(kSecret, "{}");
  CHECK(create.method == "POST");
  CHECK(create.target == "/api/v1/namespaces/weft-system/secrets");
  const HttpRequest apply = apply_request(kGateway, "{}", "weft-control", true);
  CHECK(apply.method == "PATCH");
  CHECK(apply.content_type == "application/apply-patch+yaml");
  CHECK(apply.target ==
        "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/waypoint"
        "?fieldManager=weft-control&force=true");
  const HttpRequest status = patch_status_request(kGateway, "{}", "weft-status");
  CHECK(status.content_type == "application/merge-patch+json");
  CHECK(status.target.find("/gateways/waypoint/status?fieldManager=weft-status") !=
        std::string::npos);
  CHECK(remove_request(kGateway, "a-uid").body.find(R"("preconditions":{"uid":"a-uid"})") !=
        std::string::npos);
  CHECK(remove_request(kGateway, "").body.find("preconditions") == std::string::npos);
}

TEST_CASE("a name cannot lead to another object") {
  Target target = kSecret;
  target.name = "../../pods/x?y#z";
  CHECK(get_request(target).target ==
        "/api/v1/namespaces/weft-system/secrets/..%2F..%2Fpods%2Fx%3Fy%23z");
}

TEST_CASE("a refusal says the verb, the object and the server's words") {
  const Status forbidden{.code = 403,
                         .reason = "Forbidden",
                         .message = "secrets is forbidden",
                         .retry_after_seconds = {}};
  const WriteError error = write_error("create", kSecret, forbidden);
  CHECK(error.refusal == Refusal::kForbidden);
  CHECK(error.text == "create secrets weft-system/weft-ca: 403 Forbidden: secrets is forbidden");
}

TEST_CASE("what a refusal means") {
  const auto [code, reason, refusal] =
      GENERATE(table<int, const char*, Refusal>({{404, "NotFound", Refusal::kMissing},
                                                 {409, "AlreadyExists", Refusal::kExists},
                                                 {409, "Conflict", Refusal::kConflict},
                                                 {422, "Invalid", Refusal::kInvalid},
                                                 {400, "BadRequest", Refusal::kInvalid},
                                                 {401, "Unauthorized", Refusal::kUnavailable},
                                                 {429, "TooManyRequests", Refusal::kUnavailable},
                                                 {500, "InternalError", Refusal::kUnavailable},
                                                 {0, "Unreachable", Refusal::kUnavailable}}));
  const Status status{.code = code, .reason = reason, .message = {}, .retry_after_seconds = 7};
  CHECK(write_error("get", kSecret, status).refusal == refusal);
  CHECK(write_error("get", kSecret, status).retry_after_seconds == 7);
}

}  // namespace
}  // namespace mesh::kube
