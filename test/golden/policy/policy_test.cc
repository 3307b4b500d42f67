// The recorded policy decisions, replayed: every "seen" line is what the incumbent did, every
// "ours" line what we do instead, on purpose.

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "mesh/workload/directory_builder.h"
#include "mesh/xds/decode.h"
#include "test/support/directory_text.h"
#include "test/support/policy_text.h"

namespace mesh {
namespace {

using policy::Connection;
using policy::test::take_until;
using policy::test::trimmed;

// A named case: the lines under it, by their first word.
struct Case {
  std::string name;
  std::multimap<std::string, std::string> lines = {};

  std::string text(const std::string& word) const {
    std::string all;
    for (auto [at, end] = lines.equal_range(word); at != end; ++at) all += at->second + "\n";
    return all;
  }
  // What we do: "ours" where there is such a line, else "seen".
  std::string expected() const {
    const auto ours = lines.find("ours");
    return ours != lines.end() ? ours->second : lines.find("seen")->second;
  }
};

struct Recording {
  std::vector<Connection> connections;
  std::vector<Case> cases;
};

Recording read(const std::string& name) {
  const char* folder = std::getenv("GOLDEN_POLICY");
  std::ifstream file(std::string(folder != nullptr ? folder : "test/golden/policy") + "/" + name);
  REQUIRE(file.good());
  Recording recording;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    std::string_view rest = trimmed(line);
    const std::string word(take_until(rest, " "));
    if (word == "connection") {
      recording.connections.push_back(policy::test::connection(rest));
    } else if (word == "set" || word == "case") {
      recording.cases.push_back({.name = std::string(rest)});
    } else {
      recording.cases.back().lines.emplace(word, std::string(rest));
    }
  }
  return recording;
}

// One letter a connection: A allowed, D denied by a policy, N by none that allows, U unusable.
std::string letters(const policy::Selection& policies, const std::vector<Connection>& connections) {
  std::string result;
  for (const Connection& connection : connections) {
    const policy::Verdict verdict = authorize(policies, connection);
    const policy::Explanation explanation = explain(policies, connection);
    CHECK(explanation.allowed == verdict.allowed());
    CHECK(explanation.decided_by == verdict.decided_by());
    if (verdict.permit()) {
      result += 'A';
    } else if (verdict.reason() == Reason::kPolicyUnusable) {
      result += 'U';
    } else {
      result += verdict.decided_by() == policy::kNotAllowed ? 'N' : 'D';
    }
  }
  return result;
}

std::string plain(std::string letters) {
  for (char& letter : letters) letter = letter == 'A' ? 'A' : 'd';
  return letters;
}

TEST_CASE("the 616 recorded decisions are ours, but for those we mean to differ in") {
  const Recording recording = read("decisions.txt");
  std::size_t decisions = 0;
  for (const Case& set : recording.cases) {
    INFO(set.name);
    const policy::Catalog catalog = policy::test::catalog(set.text("policy"));
    std::vector<std::string> listed;
    for (auto [at, end] = set.lines.equal_range("lists"); at != end; ++at) {
      listed.push_back(at->second);
    }
    const policy::Selection selection = catalog.select("app", listed);

    const std::string expected = set.expected();
    std::string_view by = expected;
    const std::string_view wanted = take_until(by, " by ");
    CHECK(letters(selection, recording.connections) == wanted);
    for (const Connection& connection : recording.connections) {
      const policy::Verdict verdict = authorize(selection, connection);
      const bool named = !verdict.allowed() && verdict.decided_by() != policy::kNotAllowed;
      if (named) CHECK(verdict.decided_by() == by);
      ++decisions;
    }
  }
  CHECK(decisions == 616);
}

std::string from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  }
  return bytes;
}

xds::Decoded decoded(const Case& one) {
  std::vector<xds::RawResource> resources;
  for (auto [at, end] = one.lines.equal_range("resource"); at != end; ++at) {
    std::string_view rest = at->second;
    const std::string_view name = take_until(rest, " ");
    resources.push_back({.name = name == "\"\"" ? "" : std::string(name),
                         .type_url = std::string(xds::kAuthorizationType),
                         .bytes = from_hex(rest)});
  }
  return xds::decode_authorizations(resources, {});
}

TEST_CASE("a policy that is not understood in full is rejected whole and denies its scope") {
  const Recording recording = read("decode.txt");
  CHECK(recording.cases.size() == 19);
  for (const Case& one : recording.cases) {
    INFO(one.name);
    const xds::Decoded got = decoded(one);
    INFO(got.nack_message());
    const policy::Catalog catalog = policy::Catalog().with(got.delta.policies, {});
    const std::string answer = got.complaints.empty() ? "ACK" : "NACK";
    CHECK(answer + " " + plain(letters(catalog.select("app", {}), recording.connections)) ==
          one.expected());
  }
}

workload::Delta delta_of(const Case& one, const std::string& word) {
  std::string text = one.text(word);
  workload::Delta delta;
  if (text.starts_with("remove-policy ")) {
    delta.removed_policies.emplace_back(trimmed(std::string_view(text).substr(14)));
    return delta;
  }
  return workload::test::delta(text);
}

TEST_CASE("a push is judged by the next snapshot, whichever resource it changed") {
  const Recording recording = read("live.txt");
  CHECK(recording.cases.size() == 10);
  for (const Case& one : recording.cases) {
    INFO(one.name);
    const auto allowed = [&](const workload::DirectoryPtr& directory) {
      const workload::Workload* server = directory->find_workload("K//Pod/app/server");
      return plain(letters(directory->policies_for(*server), recording.connections));
    };
    workload::DirectoryPtr directory = workload::test::directory("pod app/server 10.0.0.2");
    directory = workload::test::next(directory, delta_of(one, "before"));
    const std::string before = allowed(directory);
    directory = workload::test::next(directory, delta_of(one, "push"));
    CHECK(before + " " + allowed(directory) == one.expected());
  }
}

TEST_CASE(
    "do better 2: nothing of a policy is dropped: no DENY vanishes, no ALLOW widens, no port "
    "wraps") {
  for (const Case& one : read("decode.txt").cases) {
    if (one.name == "prefix-zero") continue;  // legal, and means every address
    INFO(one.name);
    const xds::Decoded got = decoded(one);
    CHECK(got.complaints.size() == 1);
    CHECK_FALSE(got.delta.policies.front()->usable());
  }
}

}  // namespace
}  // namespace mesh
