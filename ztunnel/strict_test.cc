#include "ztunnel/strict.h"

#include <catch2/catch_test_macros.hpp>

#include "mesh/workload/directory_builder.h"

namespace mesh::ztunnel {
namespace {

using policy::Action;
using policy::Match;
using policy::Policy;
using policy::Rule;
using policy::Scope;
using policy::StringMatch;

const StringMatch kAnyName{.kind = StringMatch::Kind::kPresence};

// A policy of one rule, all of whose clauses must hold.
Policy made(Action action, std::vector<Match> all_of) {
  Rule rule;
  for (Match& one : all_of) rule.all_of.push_back({.any_of = {std::move(one)}});
  return {.key = "shop/p", .ns = "shop", .name = "p", .action = action, .any_of = {rule}};
}

struct Case {
  const char* name;
  std::vector<Policy> policies;
  std::vector<std::string> listed;
  std::optional<std::string> refused_by;
};

OlderConnection older(std::string_view local, std::string_view remote) {
  return {.local = *net::SocketAddress::parse(local), .remote = *net::SocketAddress::parse(remote)};
}

TEST_CASE("older connections are judged as plaintext on their local port") {
  Policy strict = made(Action::kDeny, {{.not_principals = {kAnyName}}});
  Policy dry = strict;
  dry.dry_run = true;
  Policy broken = strict;
  broken.any_of.clear();
  broken.problem = "rules[0]: port 70000";
  Policy elsewhere = strict;
  elsewhere.ns = "other";
  elsewhere.key = "other/p";
  const Case cases[] = {
      {"no policy", {}, {}, std::nullopt},
      {"STRICT", {strict}, {}, "shop/p"},
      {"STRICT of another namespace", {elsewhere}, {}, std::nullopt},
      {"a dry run decides nothing", {dry}, {}, std::nullopt},
      {"one that is not understood", {broken}, {}, "shop/p"},
      {"one that is listed but unknown", {}, {"shop/absent"}, "shop/absent"},
      {"STRICT on this port",
       {made(Action::kDeny, {{.not_principals = {kAnyName}, .destination_ports = {6379}}})},
       {},
       "shop/p"},
      {"STRICT on another port",
       {made(Action::kDeny, {{.not_principals = {kAnyName}, .destination_ports = {80}}})},
       {},
       std::nullopt},
      {"STRICT but for this port",
       {made(Action::kDeny, {{.not_destination_ports = {6379}}, {.not_principals = {kAnyName}}})},
       {},
       std::nullopt},
      {"only callers with a name are allowed",
       {made(Action::kAllow, {{.principals = {kAnyName}}})},
       {},
       "(no allow policy matched)"},
      {"this address is allowed",
       {made(Action::kAllow, {{.source_ips = {*net::Cidr::parse("10.0.9.0/24")}}})},
       {},
       std::nullopt},
      {"this address is denied",
       {made(Action::kDeny, {{.source_ips = {*net::Cidr::parse("10.0.9.1")}}})},
       {},
       "shop/p"},
  };
  for (const Case& one : cases) {
    INFO(one.name);
    workload::Workload redis{.uid = "u", .name = "redis", .ns = "shop"};
    redis.authorization_policies = one.listed;
    workload::Delta delta;
    for (const Policy& each : one.policies) {
      delta.policies.push_back(std::make_shared<const Policy>(each));
    }
    workload::DirectoryBuilder builder(nullptr);
    builder.apply(delta);
    const workload::DirectoryPtr directory = std::move(builder).build();
    const std::vector connections{older("10.0.1.1:6379", "10.0.9.1:41000")};
    CHECK(refused_by(*directory, redis, connections) == one.refused_by);
    CHECK(!refused_by(*directory, redis, {}));
    if (one.refused_by) CHECK(has_policies(*directory, redis));
    // While its policies are still to come nothing is ended for them.
    redis.policies_awaited = true;
    CHECK(!refused_by(*directory, redis, connections));
  }
}

TEST_CASE("the agent's socket: requests and answers") {
  CHECK(encode_agent_request("connections", "a\"b") == R"({"op":"connections","uid":"a\"b"})");
  const auto some = decode_connections(
      R"({"connections":[{"local":"[fd00::1]:80","remote":"10.0.0.9:7","state":"established"}],)"
      R"("ok":true,"total":2})");
  REQUIRE(some.has_value());
  CHECK(some->listed.at(0).local.to_string() == "[fd00::1]:80");
  CHECK(some->listed.at(0).remote.port == 7);
  CHECK(!some->all_listed());
  CHECK(decode_ended(R"({"ended":3,"ok":true})") == 3u);
  CHECK(decode_ended(R"({"ok":false,"error":"no pod"})").error() == "no pod");
  for (const char* bad :
       {"", "[]", "{", R"({"ok":1})", R"({"ok":true})", R"({"ok":true,"ended":-1})",
        R"({"ok":true,"total":1,"connections":[7]})",
        R"({"ok":true,"total":1,"connections":[{"local":"x","remote":"10.0.0.9:7"}]})"}) {
    INFO(bad);
    CHECK(!decode_connections(bad).has_value());
    CHECK(!decode_ended(bad).has_value());
  }
}

}  // namespace
}  // namespace mesh::ztunnel
